"""What the protocol's views share: their blueprint and the provider."""

from flask import Blueprint, current_app

from idp.oidc.provider import Provider

blueprint = Blueprint("oidc", __name__)


def provider() -> Provider:
    found: Provider = current_app.extensions["idp.provider"]
    return found
