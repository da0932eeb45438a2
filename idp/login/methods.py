"""Which ways of logging in there are."""

from dataclasses import dataclass

from flask import Flask, current_app
from flask_babel import LazyString

from idp.login.requirement import AuthnRequirement


@dataclass(frozen=True)
class LoginMethod:
    """One way to log in. `start_endpoint` shows its tab; it takes `uid`, or nothing for a direct login.

    `shows_messages` says whether the person gets to read `Waiting.user_message`.
    """

    name: str
    label: LazyString
    acr: str
    amr: tuple[str, ...]
    start_endpoint: str
    shows_messages: bool = False


def register(app: Flask, *methods: LoginMethod) -> None:
    app.extensions["idp.login_methods"] = methods


def registered() -> tuple[LoginMethod, ...]:
    """Every method, in the order of their tabs."""
    methods: tuple[LoginMethod, ...] = current_app.extensions["idp.login_methods"]
    return methods


def offered(requirement: AuthnRequirement) -> list[LoginMethod]:
    """The methods that can meet `requirement`."""
    return [method for method in registered() if requirement.allows(method.name, method.acr)]
