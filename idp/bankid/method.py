"""Logging in with BankID, as the rest of the provider knows it."""

from datetime import timedelta
from functools import partial
from typing import Any

from flask import Flask

from idp.bankid import event_claims, link_offer, service, setup, terms
from idp.bankid.setup import BankId
from idp.clock import utcnow
from idp.config import Settings
from idp.crypto import NUMBER_KEYS, PersonalNumberKeys
from idp.i18n import lazy_gettext
from idp.login import sessions
from idp.login.methods import LoginMethod

NAME = service.METHOD
AMR = ("swk", "mfa", "user")
REFRESH_IDLE = timedelta(hours=2)


def set_up(app: Flask, settings: Settings) -> LoginMethod:
    """The method, with what `app` needs for it. Raises `ConfigError` with every problem of its settings."""
    bankid = _connect(app, settings) if settings.bankid.environment != "off" else None
    return LoginMethod(
        name=NAME,
        label=lazy_gettext("BankID"),
        in_words=lazy_gettext("med BankID"),
        button=lazy_gettext("Logga in med BankID"),
        button_id="bankid",
        start_endpoint="bankid.login",
        acr=settings.bankid.acr,
        amr=AMR,
        is_own=False,
        proves_number=True,
        is_on=bankid is not None,
        shows_messages=True,
        refresh_idle=REFRESH_IDLE,
        event_claims=partial(event_claims.read, bankid.sealer) if bankid else None,
        after_login=link_offer.page_after_login,
        abandon=partial(service.abandon, bankid) if bankid else None,
        terms_of=terms.demanded_by,
    )


def _connect(app: Flask, settings: Settings) -> BankId:
    secret = settings.personal_number_keys.get_secret_value() if settings.personal_number_keys else ""
    bankid = setup.make(settings.bankid, personal_number_keys=secret, now=utcnow())
    setup.BANKID.put(app, bankid)
    setup.OPENER.put(app, setup.opener(settings.bankid))
    NUMBER_KEYS.put(app, PersonalNumberKeys(secret))
    return bankid


def end_sessions(_sender: object, *, user_id: Any, keep_session: Any, now: Any) -> None:
    """End the sessions that a BankID has made, when it is taken away (hears `bankid_taken_away`)."""
    sessions.end_made_by(user_id, NAME, keep=keep_session, now=now, reason="BankID unlinked")
