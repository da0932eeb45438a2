"""The decision on an authorization request, and the response to it (OIDC Core §3.1.2.3 to §3.1.2.6). Pure."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from idp.login.event import AuthenticationEvent
from idp.oidc.authorization.authorize import AuthorizationError, AuthorizationRequest, ReturnTo
from idp.oidc.clients.client import Client


@dataclass(frozen=True)
class Issue:
    """Answer with a code (OIDC Core §3.1.2.5)."""

    event: AuthenticationEvent


@dataclass(frozen=True)
class AskLogin:
    """A login must come first (OIDC Core §3.1.2.3)."""


@dataclass(frozen=True)
class AskConsent:
    """The person's consent must come first (OIDC Core §3.1.2.4)."""


@dataclass(frozen=True)
class Refuse:
    """Answer with an error (OIDC Core §3.1.2.6)."""

    error: str
    description: str


Decision = Issue | AskLogin | AskConsent | Refuse


def decide(
    request: AuthorizationRequest,
    event: AuthenticationEvent | None,
    *,
    company: str | None,
    consented_at: datetime | None,
    subject: str | None = None,
) -> Decision:
    """What happens to an authorization request now (OIDC Core §3.1.2.3, §3.1.2.4).

    `company` is the logged-in person's, `subject` the sub by which the client knows them, `consented_at` when
    they agreed to share (at least) what is requested, None if never.
    """
    silent = "none" in request.prompt
    if event is None or not request.requirement.satisfied_by(event):
        return Refuse("login_required", "no session meets the request") if silent else AskLogin()
    if request.subjects and subject not in request.subjects:
        return Refuse("login_required", "the person who is logged in is not the one that the request names")
    if not may_use(request.client, company):
        return Refuse("access_denied", "this person may not use this client")
    if _needs_consent(request, consented_at):
        return Refuse("consent_required", "the person has not consented") if silent else AskConsent()
    return Issue(event)


def may_use(client: Client, company: str | None) -> bool:
    """Whether a person of this company may use the client at all (RFC 6749 §4.1.2.1: `access_denied`)."""
    return not client.companies or company in client.companies


def _needs_consent(request: AuthorizationRequest, consented_at: datetime | None) -> bool:
    if "consent" in request.prompt:
        return consented_at is None or consented_at < request.received_at
    return request.client.consent == "explicit" and consented_at is None


def success_parameters(to: ReturnTo, code: str, issuer: str) -> list[tuple[str, str]]:
    """The parameters of a successful response (OIDC Core §3.1.2.5, RFC 9207 §2)."""
    return _with_state_and_issuer(to, [("code", code)], issuer)


def error_parameters(error: AuthorizationError, issuer: str) -> list[tuple[str, str]]:
    """The parameters of an error response (RFC 6749 §4.1.2.1, RFC 9207 §2)."""
    return _with_state_and_issuer(
        error.to, [("error", error.error), ("error_description", error.description)], issuer
    )


def _with_state_and_issuer(to: ReturnTo, fields: list[tuple[str, str]], issuer: str) -> list[tuple[str, str]]:
    state = [("state", to.state)] if to.state is not None else []
    return [*fields, *state, ("iss", issuer)]


def response_url(redirect_uri: str, fields: list[tuple[str, str]]) -> str:
    """`redirect_uri` with the response added to its query, which it keeps (RFC 6749 §3.1.2, §4.1.2)."""
    separator = "&" if "?" in redirect_uri else "?"
    return f"{redirect_uri}{separator}{urlencode(fields)}"
