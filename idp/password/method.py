"""Logging in with e-mail address and password, as the rest of the provider knows it."""

from flask import Flask

from idp.config import Settings
from idp.i18n import lazy_gettext
from idp.login.methods import LoginMethod
from idp.password import service
from idp.password.hashing import HASHER, PasswordHasher

NAME = service.METHOD


def set_up(app: Flask, settings: Settings) -> LoginMethod:
    """The method, with what `app` needs for it; its acr is the provider's own."""
    HASHER.put(app, PasswordHasher(settings.password, service.LegacySample()))
    return LoginMethod(
        name=NAME,
        label=lazy_gettext("E-postinloggning"),
        in_words=lazy_gettext("med e-post och lösenord"),
        button=lazy_gettext("Logga in med e-post"),
        button_id="email",
        start_endpoint="password.login",
        acr=f"{settings.issuer}/acr/password",
        amr=service.AMR,
        recovery_endpoint="password.forgot",
    )
