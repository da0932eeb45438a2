"""Audit events in plain words, for the person they are about."""

from collections.abc import Mapping
from typing import Any

from flask_babel import LazyString, gettext, lazy_gettext

from idp.audit import Event
from idp.login import methods

_TEXTS: Mapping[Event, LazyString] = {
    Event.USER_CREATED: lazy_gettext("Kontot skapades"),
    Event.USER_WELCOMED: lazy_gettext("Ett välkomstbrev skickades till dig"),
    Event.USER_DISABLED: lazy_gettext("Kontot stängdes av"),
    Event.USER_ENABLED: lazy_gettext("Kontot öppnades igen"),
    Event.USER_UPDATED: lazy_gettext("Kontots uppgifter ändrades"),
    Event.EMAIL_CHANGE_ASKED: lazy_gettext("Byte av e-postadress begärdes"),
    Event.EMAIL_CHANGE_LIMITED: lazy_gettext("Byte av e-postadress stoppades: för många försök"),
    Event.EMAIL_CHANGE_WITHDRAWN: lazy_gettext("Byte av e-postadress ångrades"),
    Event.EMAIL_CHANGED: lazy_gettext("E-postadressen byttes"),
    Event.PERSONAL_NUMBER_STATED: lazy_gettext("Ett personnummer angavs"),
    Event.PERSONAL_NUMBER_REMOVED: lazy_gettext("Personnumret togs bort"),
    Event.LOGIN_SUCCEEDED: lazy_gettext("Inloggning"),
    Event.LOGIN_FAILED: lazy_gettext("Misslyckat inloggningsförsök"),
    Event.LOGIN_LIMITED: lazy_gettext("Inloggningsförsök stoppades: för många försök"),
    Event.LOGIN_REFUSED: lazy_gettext("En inloggning räckte inte till för appen"),
    Event.CREDENTIAL_CHANGE_REFUSED: lazy_gettext(
        "En ändring av hur du loggar in krävde en annan inloggning"
    ),
    Event.SESSION_ENDED: lazy_gettext("Utloggning"),
    Event.PASSWORD_CHANGED: lazy_gettext("Lösenordet byttes"),
    Event.PASSWORD_RESET_ASKED: lazy_gettext("En länk för nytt lösenord begärdes"),
    Event.PASSWORD_RESET_LIMITED: lazy_gettext("Begäran om nytt lösenord stoppades: för många försök"),
    Event.CONSENT_GIVEN: lazy_gettext("Du godkände att dela uppgifter med en app"),
    Event.CONSENT_DENIED: lazy_gettext("Du nekade att dela uppgifter med en app"),
    Event.CONSENT_REVOKED: lazy_gettext("Du återkallade delningen av uppgifter med en app"),
    Event.CODE_REPLAYED: lazy_gettext("En apps åtkomst stoppades av säkerhetsskäl"),
    Event.REFRESH_TOKEN_REUSED: lazy_gettext("En apps åtkomst stoppades av säkerhetsskäl"),
    Event.BANKID_REFUSED: lazy_gettext("Inloggning med BankID nekades"),
    Event.BANKID_LINKED: lazy_gettext("BankID kopplades till kontot"),
    Event.BANKID_UNLINKED: lazy_gettext("BankID kopplades bort från kontot"),
    Event.MAIL_GIVEN_UP: lazy_gettext("Ett brev till dig gick inte att leverera"),
    Event.LOGOUT_NOTICE_GIVEN_UP: lazy_gettext("En app gick inte att nå för att logga ut dig där"),
}

SHOWN = frozenset(_TEXTS)

BY_ANYBODY = frozenset(
    {
        Event.LOGIN_FAILED,
        Event.LOGIN_LIMITED,
        Event.PASSWORD_RESET_ASKED,
        Event.PASSWORD_RESET_LIMITED,
        Event.MAIL_GIVEN_UP,
    }
)
"""Events that anybody who knows the address can cause, any number of times."""

HIDDEN = frozenset(
    {
        # About the service or a company, not about a person.
        Event.COMPANY_CREATED,
        Event.CLIENT_AUTHENTICATION_FAILED,
        Event.PERSONAL_NUMBER_KEY_ROTATED,
        Event.KEY_ROTATED,
        Event.KEY_RETIRED,
        # Steps towards an event that is shown.
        Event.BANKID_STARTED,
        Event.BANKID_COMPLETED,
        Event.BANKID_FAILED,
        # An app that gives its access back.
        Event.TOKEN_REVOKED,
        # Our own upkeep: the password stays the same.
        Event.PASSWORD_REHASHED,
    }
)
"""Events that are left out on purpose."""

_ENDINGS: Mapping[str, LazyString] = {
    "ended in Mina uppgifter": lazy_gettext("Utloggning från Mina uppgifter"),
    "ended by the operator": lazy_gettext("Utloggning av tjänstens driftpersonal"),
    "password changed": lazy_gettext("Utloggning: lösenordet byttes"),
    "user disabled": lazy_gettext("Utloggning: kontot stängdes av"),
    "e-mail address changed by an administrator": lazy_gettext("Utloggning: e-postadressen byttes"),
    "BankID unlinked": lazy_gettext("Utloggning: BankID kopplades bort"),
    "logged out by a relying app": lazy_gettext("Utloggning från en app"),
    "replaced by another login": lazy_gettext("Utloggning: en annan person loggade in i samma webbläsare"),
}

_ACTORS: Mapping[str, LazyString] = {
    "administrator": lazy_gettext("av en administratör på ditt företag"),
    "operator": lazy_gettext("av tjänstens driftpersonal"),
}


def sentence(event: Event, actor: str, detail: Mapping[str, Any]) -> str:
    """The event in words, with its actor if that was neither the person nor a machine."""
    if event is Event.LOGIN_SUCCEEDED:
        return _login(detail.get("method"))
    if event is Event.SESSION_ENDED:
        return str(_ENDINGS.get(detail.get("reason", ""), _TEXTS[event]))
    text = str(_TEXTS[event])
    by = _ACTORS.get(actor)
    return f"{text} {by}" if by else text


def _login(name: str | None) -> str:
    method = methods.find(name)
    if method is None:  # one of another version
        return str(_TEXTS[Event.LOGIN_SUCCEEDED])
    return str(gettext("Inloggning (%(method)s)", method=method.label))
