"""What `create_app` keeps in the app, with its type."""

from flask import current_app

from idp.config import Settings


def current_settings() -> Settings:
    """The settings of the app that serves this request or command."""
    settings: Settings = current_app.extensions["idp.settings"]
    return settings
