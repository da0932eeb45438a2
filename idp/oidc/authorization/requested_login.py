"""The login that an authorization request asks for: how strong, how fresh, by which method, of whom. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from idp.login.requirement import AuthnRequirement
from idp.oidc.authorization.parameters import AUTHN_PROVIDER, RequestError
from idp.oidc.claims_request import ClaimsRequest, RequestedClaim
from idp.oidc.clients import entry_notes
from idp.oidc.clients.client import Client

PROMPTS = ("none", "login", "consent", "select_account")
MAX_AGE_DIGITS = 9
UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Hint:
    """The person of an `id_token_hint` (OIDC Core §3.1.2.1): `subject`, and `user_id` where it is known."""

    subject: str
    user_id: UUID | None
    active: bool = True  # False: the account may not log in any more


@dataclass(frozen=True)
class RequestedPerson:
    """The person who must answer (OIDC Core §5.5.1): an account, and one of the `subjects` of the client.

    None and empty: anybody.
    """

    user_id: UUID | None
    subjects: tuple[str, ...]


def prompt(parameters: Mapping[str, str]) -> frozenset[str]:
    """The values of `prompt` (OIDC Core §3.1.2.1). Raises `RequestError`."""
    values = frozenset(parameters.get("prompt", "").split())
    if not values <= set(PROMPTS):
        raise RequestError("invalid_request", "prompt contains an unknown value")
    if "none" in values and len(values) > 1:
        raise RequestError("invalid_request", "prompt none must not be combined with another value")
    return values


def requested_person(
    client: Client,
    parameters: Mapping[str, str],
    *,
    requested_claims: ClaimsRequest,
    read_hint: Callable[[str, Client], Hint],
) -> RequestedPerson:
    """The person who must answer, by `claims` (OIDC Core §5.5.1) and `id_token_hint` (§3.1.2.1).

    `read_hint` raises `ValueError` for a foreign token. Raises `RequestError`.
    """
    subjects = _subjects(client, requested_claims)
    # A login can be required of one known account; otherwise only its result is checked.
    user_id = UUID(subjects[0]) if client.subject_type == "public" and len(subjects) == 1 else None
    if "id_token_hint" not in parameters:
        return RequestedPerson(user_id, subjects)
    try:
        hint = read_hint(parameters["id_token_hint"], client)
    except ValueError:
        raise RequestError(
            "invalid_request", "id_token_hint is not an ID token issued to this client"
        ) from None
    if not hint.active:
        raise RequestError("login_required", "the person of the id_token_hint can no longer log in")
    different = RequestError("login_required", "id_token_hint and claims name different people")
    if hint.user_id is None:
        if subjects and hint.subject not in subjects:
            raise different
        return RequestedPerson(None, (hint.subject,))
    if user_id not in (None, hint.user_id):
        raise different
    return RequestedPerson(hint.user_id, subjects)


def requirement(
    client: Client,
    parameters: Mapping[str, str],
    *,
    requested_claims: ClaimsRequest,
    user_id: UUID | None,
    acrs: Mapping[str, str],
    now: datetime,
) -> AuthnRequirement:
    """The requirement on the login (OIDC Core §3.1.2.1).

    prompt=login and max_age are the same question: how old may the login be? `acrs` holds the acr that each
    registered login method reaches. Raises `RequestError`.
    """
    not_before: datetime | None = None
    max_age = _max_age(client, parameters)
    if max_age is not None:
        not_before = now - timedelta(seconds=max_age)
    if prompt(parameters) & {"login", "select_account"}:
        not_before = now
    methods = _methods(client, parameters, acrs)
    return AuthnRequirement(
        acr_values=_acr_values(
            client,
            parameters,
            requested_claims.id_token.get("acr", RequestedClaim()),
            {acrs[method] for method in methods if method in acrs},
        ),
        methods=methods,
        not_before=not_before,
        user_id=user_id,
    )


def _subjects(client: Client, requested_claims: ClaimsRequest) -> tuple[str, ...]:
    """The subs that may answer: those that the `claims` parameter asks for (OIDC Core §5.5.1)."""
    values = requested_claims.id_token.get("sub", RequestedClaim()).values
    found = tuple(value for value in values if isinstance(value, str))
    if client.subject_type == "public":
        found = tuple(value for value in found if UUID_TEXT.fullmatch(value))
    if values and not found:
        raise RequestError("login_required", "no account has the sub that the claims parameter asks for")
    return found


def _methods(client: Client, parameters: Mapping[str, str], acrs: Mapping[str, str]) -> tuple[str, ...]:
    """The accepted login methods: the client's, or the one that `authnProvider` names.

    Swedish request parameter extensions §2.2.
    """
    requested = parameters.get(AUTHN_PROVIDER)
    if requested is None:
        return tuple(client.login_methods)
    if requested not in client.login_methods or requested not in acrs:
        error = RequestError(
            "unmet_authentication_requirements", "this client has no login method with that authnProvider"
        )
        raise entry_notes.about(error, client, "login_methods", requested)
    return (requested,)


def _acr_values(
    client: Client, parameters: Mapping[str, str], claim: RequestedClaim, reachable: set[str]
) -> tuple[str, ...]:
    """The accepted acrs, the preferred first; empty: any.

    An essential acr claim is a demand (OIDC Core §5.5.1.1). Everything else is a wish (§3.1.2.1): values that
    no method reaches ask for nothing.
    """
    reachable_values = tuple(value for value in claim.values if isinstance(value, str) and value in reachable)
    if claim.essential and claim.values:
        if not reachable_values:
            error = RequestError(
                "unmet_authentication_requirements",
                "no login method reaches the essential acr",
            )
            raise entry_notes.about(error, client, "login_methods", claim.values)
        return reachable_values
    if "acr_values" in parameters or not claim.values:
        requested = parameters.get("acr_values", " ".join(client.default_acr_values)).split()
        return tuple(acr for acr in requested if acr in reachable)
    return reachable_values


def _max_age(client: Client, parameters: Mapping[str, str]) -> int | None:
    text = parameters.get("max_age")
    if text is None:
        return client.default_max_age
    if not (text.isascii() and text.isdigit()) or len(text) > MAX_AGE_DIGITS:
        raise RequestError("invalid_request", "max_age must be a whole number of seconds")
    return int(text)
