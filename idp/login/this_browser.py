"""A browser's own cookie: a random value, and the accounts that the browser has logged in to."""

from flask import session

from idp.extensions import current_settings
from idp.tokens import new_token, sha256_hex

MAX_KNOWN_ACCOUNTS = 8  # of which one browser is remembered as their own


def value() -> str:
    """This browser's own random value, kept in a signed cookie; interactions are bound to it."""
    found = session.get("browser")
    if not found:
        found = session["browser"] = new_token()
        session.permanent = True
    return str(found)


def knows(account: str) -> bool:
    """Whether this browser has logged in to the account (a keyed hash) before."""
    return account in session.get("known", [])


def note_known(account: str) -> None:
    """Remember that this browser has logged in to the account."""
    others = [entry for entry in session.get("known", []) if entry != account]
    session["known"] = [account, *others][:MAX_KNOWN_ACCOUNTS]


def account_key(account: str) -> str:
    """A keyed hash of an account, for counters and the browser's cookie: without the key it says nothing."""
    return sha256_hex(f"{current_settings().secret_key.get_secret_value()}:account:{account}")[:24]
