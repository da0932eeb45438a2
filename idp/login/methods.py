"""Which ways of logging in there are, and all that the rest of the provider needs to know of each."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from flask import Flask
from flask_babel import LazyString

from idp.extensions import Slot
from idp.login.event import AuthenticationEvent
from idp.login.interactions import Waiting
from idp.login.requirement import AuthnRequirement

EventClaims = Callable[[str, Collection[str]], dict[str, Any]]
"""From an event's `evidence_id` and the names of wanted claims to those that its evidence holds."""

AfterLogin = Callable[[Waiting, AuthenticationEvent], str | None]
"""The endpoint of a page to show before the login goes on, None when there is nothing to show."""


class Abandon(Protocol):
    """End what a method began for the interaction `uid`."""

    def __call__(self, uid: str, *, now: datetime) -> None: ...


@dataclass(frozen=True)
class LoginMethod:
    """One way to log in, whole: what the login pages, tokens, mails and policies need to know of it.

    `name` stands in clients.yaml, in sessions and in the audit; `label` on the tab; `in_words` in a mail's
    sentence ("med BankID"). `button` are the words of a button that leads to it from another page, and
    `button_id` ends that button's id. `start_endpoint` shows the tab; it takes `uid`, or nothing for a direct
    login. `acr` and `amr` are those of its logins, where a login does not have others of its own.

    `is_own`: its logins let a person change how they log in (`login.credential_change`).
    `recovery_endpoint` is the page for people who lack what the method asks for; it takes `uid`.
    `proves_number`: its logins prove the personal number, and so may release it to relying apps.
    `is_on` False: the settings switch it off. Nobody can log in by it now; what its logins led to goes on.
    `shows_messages`: the person reads `Waiting.user_message`. `refresh_idle`: how long a refresh token of
    its logins may lie unused, None: as long as any. `after_login` is asked after logins by every method.
    `abandon` is called when the person takes to another method. `terms_of`: what a client of clients.yaml
    demands of its logins, in the method's own type.
    """

    name: str
    label: LazyString
    in_words: LazyString
    button: LazyString
    button_id: str
    start_endpoint: str
    acr: str
    amr: tuple[str, ...]
    is_own: bool = True
    is_on: bool = True
    proves_number: bool = False
    recovery_endpoint: str | None = None
    shows_messages: bool = False
    refresh_idle: timedelta | None = None
    event_claims: EventClaims | None = None
    after_login: AfterLogin | None = None
    abandon: Abandon | None = None
    terms_of: Callable[[Any], object] | None = None


_METHODS: Slot[tuple[LoginMethod, ...]] = Slot("login_methods")


def register(app: Flask, methods: tuple[LoginMethod, ...]) -> None:
    """Let `app` know these methods, in the order of their tabs."""
    _METHODS.put(app, methods)


def known() -> tuple[LoginMethod, ...]:
    """Every method of this version, also those that are switched off."""
    return _METHODS.current()


def switched_on() -> list[LoginMethod]:
    """The methods that people can log in by, in the order of their tabs."""
    return [method for method in known() if method.is_on]


def find(name: str | None) -> LoginMethod | None:
    """The method of this name; None when this version has none such."""
    return next((method for method in known() if method.name == name), None)


def named(name: str) -> LoginMethod:
    """The method of this name, for the method itself. Raises `KeyError` when `app` does not know it."""
    return {method.name: method for method in known()}[name]


def own_names() -> tuple[str, ...]:
    """The names of the methods whose logins let a person change how they log in."""
    return tuple(method.name for method in known() if method.is_own)


def offered(requirement: AuthnRequirement) -> list[LoginMethod]:
    """The methods that can meet `requirement`."""
    return [method for method in switched_on() if requirement.allows(method.name, method.acr)]


def page_after_login(waiting: Waiting, event: AuthenticationEvent) -> str:
    """Where the browser goes after a login: to the first page that a method still has to show, else on."""
    for method in switched_on():
        page = method.after_login(waiting, event) if method.after_login else None
        if page is not None:
            return page
    return waiting.return_endpoint


def abandon_others(_sender: object, *, uid: str, method: str | None, now: datetime) -> None:
    """End what the other methods began for the interaction `uid` (hears `moved_on`)."""
    for other in switched_on():
        if other.abandon is not None and other.name != method:
            other.abandon(uid, now=now)
