"""The authorization request: read it, check it, decide on an answer (OIDC Core §3.1.2). No I/O, no clock."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from idp.errors import IdpError
from idp.login.event import AuthenticationEvent
from idp.login.requirement import AuthnRequirement
from idp.oidc import claims_request
from idp.oidc.claims import SCOPE_CLAIMS, AskedClaims
from idp.oidc.claims_request import ClaimsRequest, MalformedClaims, Spec
from idp.oidc.clients import Client

RESPONSE_MODES = ("query", "form_post")
PROMPTS = ("none", "login", "consent", "select_account")
CODE_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
MAX_PARAMETER = 8000  # characters; an id_token_hint is the longest that makes sense
MAX_AGE_DIGITS = 9
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
UUID_TEXT = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
KNOWN = frozenset(
    (
        *("client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce"),
        *("code_challenge", "code_challenge_method", "prompt", "max_age", "acr_values", "display"),
        *("login_hint", "id_token_hint", "ui_locales", "claims", "claims_locales"),
        *("request", "request_uri", "registration"),
    )
)
"""The parameters that are looked at; all others are ignored (OIDC Core §3.1.2.1)."""


@dataclass(frozen=True)
class ReturnTo:
    """Where and how the response goes: known once client and redirect_uri hold."""

    client: Client
    redirect_uri: str
    response_mode: str
    state: str | None


@dataclass(frozen=True)
class AuthorizationRequest:
    """A request that holds. `parameters` is what was sent, so that it can be stored and read again.

    Somebody known to the client by one of `subjects` must answer it; empty: anybody.
    """

    to: ReturnTo
    scope: str
    claims: AskedClaims
    subjects: tuple[str, ...]
    nonce: str | None
    code_challenge: str | None
    prompt: frozenset[str]
    requirement: AuthnRequirement
    parameters: Mapping[str, str]
    received_at: datetime

    @property
    def client(self) -> Client:
        return self.to.client

    @property
    def shared(self) -> str:
        """The scopes that a consent must cover: those asked for, and those of the claims asked for."""
        return " ".join(dict.fromkeys([*self.scope.split(), *self.claims.scopes]))


class UnknownClient(IdpError):
    code = "unknown_client"
    status = 400


class BadRedirectUri(IdpError):
    code = "bad_redirect_uri"
    status = 400


class BadAuthorizationRequest(IdpError):
    """The request is wrong before anything is known about where errors should go."""

    code = "bad_authorization_request"
    status = 400


class AuthorizationError(Exception):
    """An error that goes back to the client (RFC 6749 §4.1.2.1). `description` is ASCII without quotes."""

    def __init__(self, to: ReturnTo, error: str, description: str) -> None:
        super().__init__(error)
        self.to = to
        self.error = error
        self.description = description


@dataclass(frozen=True)
class Hint:
    """What an `id_token_hint` turned out to mean."""

    user_id: UUID | None  # None: nobody who can log in here any more


@dataclass(frozen=True)
class Environment:
    """What parsing compares against."""

    find_client: Callable[[str], Client | None]
    acrs: Mapping[str, str]  # login method → the acr it reaches
    read_hint: Callable[[str, Client], Hint]  # raises ValueError for a token that is not ours
    now: datetime


def parse(sent: Iterable[tuple[str, str]], environment: Environment) -> AuthorizationRequest:
    """The request in `sent`, checked in this order: client, redirect_uri, the rest.

    Raises `UnknownClient`, `BadRedirectUri` or `BadAuthorizationRequest` (shown on our own page) before
    the first two hold, `AuthorizationError` (sent to the client) after.
    """
    parameters, repeated = _collect(sent)
    client = _client(parameters, repeated, environment)
    redirect_uri = _redirect_uri(client, parameters, repeated)
    mode = parameters.get("response_mode", "query")
    to = ReturnTo(
        client=client,
        redirect_uri=redirect_uri,
        response_mode=mode if mode in RESPONSE_MODES else "query",
        state=None
        if "state" in repeated or _malformed(parameters.get("state", ""))
        else parameters.get("state"),
    )

    def refuse(error: str, description: str) -> AuthorizationError:
        return AuthorizationError(to, error, description)

    if repeated:
        raise refuse("invalid_request", f"{min(repeated)} is given more than once")
    for name, value in parameters.items():
        # JSON may hold line breaks; its parser knows the control characters that it may not hold.
        if len(value) > MAX_PARAMETER if name == "claims" else _malformed(value):
            raise refuse("invalid_request", f"{name} is too long or holds control characters")
    if "request" in parameters:
        raise refuse("request_not_supported", "request objects are not supported")
    if "request_uri" in parameters:
        raise refuse("request_uri_not_supported", "request_uri is not supported")
    if "registration" in parameters:
        raise refuse("registration_not_supported", "registration is not supported")
    if "response_type" not in parameters:
        raise refuse("invalid_request", "response_type is missing")
    if parameters["response_type"] != "code":
        raise refuse("unsupported_response_type", "the only response_type is code")
    if mode not in RESPONSE_MODES:
        raise refuse("invalid_request", "response_mode must be query or form_post")
    asked = _claims(parameters, refuse)
    subjects = _subjects(client, asked, refuse)
    return AuthorizationRequest(
        to=to,
        scope=_scope(client, parameters, refuse),
        claims=AskedClaims.allowed(asked, client),
        subjects=subjects,
        nonce=parameters.get("nonce"),
        code_challenge=_code_challenge(client, parameters, refuse),
        prompt=_prompt(parameters, refuse),
        requirement=_requirement(client, parameters, environment, refuse, asked=asked, subjects=subjects),
        parameters=parameters,
        received_at=environment.now,
    )


Refusal = Callable[[str, str], AuthorizationError]


def _collect(sent: Iterable[tuple[str, str]]) -> tuple[dict[str, str], set[str]]:
    """The parameters we know; an empty one counts as left out (RFC 6749 §3.1). And which came twice."""
    parameters: dict[str, str] = {}
    seen: set[str] = set()
    repeated: set[str] = set()
    for name, value in sent:
        if name not in KNOWN:
            continue
        if name in seen:
            repeated.add(name)
        seen.add(name)
        if value:
            parameters.setdefault(name, value)
    return parameters, repeated


def _malformed(value: str) -> bool:
    return len(value) > MAX_PARAMETER or CONTROL.search(value) is not None


def _client(parameters: Mapping[str, str], repeated: set[str], environment: Environment) -> Client:
    client_id = parameters.get("client_id")
    if client_id is None:
        raise BadAuthorizationRequest("client_id is missing")
    if "client_id" in repeated:
        raise BadAuthorizationRequest("client_id is given more than once")
    client = environment.find_client(client_id)
    if client is None:
        raise UnknownClient(f"clients.yaml has no client {client_id[:100]!r}")
    return client


def _redirect_uri(client: Client, parameters: Mapping[str, str], repeated: set[str]) -> str:
    redirect_uri = parameters.get("redirect_uri")
    if redirect_uri is None:
        raise BadRedirectUri("redirect_uri is missing: OpenID Connect requires it (Core §3.1.2.1)")
    if "redirect_uri" in repeated:
        raise BadRedirectUri("redirect_uri is given more than once")
    if not client.redirect_uri_matches(redirect_uri):
        registered = ", ".join(client.redirect_uris)
        raise BadRedirectUri(
            f"redirect_uri {redirect_uri[:300]!r} is not among clients.{client.client_id}.redirect_uris: "
            f"{registered}"
        )
    return redirect_uri


def _scope(client: Client, parameters: Mapping[str, str], refuse: Refusal) -> str:
    """The known ones of the scopes asked for, in their order (unknown: ignored, OIDC Core §3.1.2.1)."""
    asked = list(dict.fromkeys(parameters.get("scope", "").split()))
    if "openid" not in asked:
        raise refuse("invalid_scope", "scope must hold openid")
    known = [name for name in asked if name in SCOPE_CLAIMS]
    for name in known:
        if name not in client.scopes:
            raise refuse("invalid_scope", f"this client is not registered for the scope {name}")
    return " ".join(known)


def _code_challenge(client: Client, parameters: Mapping[str, str], refuse: Refusal) -> str | None:
    """The PKCE challenge (RFC 7636 §4.3); only S256, for a plain one protects nothing (RFC 9700 §2.1.1)."""
    challenge = parameters.get("code_challenge")
    method = parameters.get("code_challenge_method")
    if challenge is None:
        if method is not None:
            raise refuse("invalid_request", "code_challenge_method without code_challenge")
        if client.require_pkce:
            raise refuse("invalid_request", "PKCE is required: send code_challenge with method S256")
        return None
    if method != "S256":
        raise refuse("invalid_request", "code_challenge_method must be S256")
    if not CODE_CHALLENGE.fullmatch(challenge):
        raise refuse("invalid_request", "code_challenge is not the base64url form of a SHA-256 value")
    return challenge


def _prompt(parameters: Mapping[str, str], refuse: Refusal) -> frozenset[str]:
    prompt = frozenset(parameters.get("prompt", "").split())
    if not prompt <= set(PROMPTS):
        raise refuse("invalid_request", "prompt holds an unknown value")
    if "none" in prompt and len(prompt) > 1:
        raise refuse("invalid_request", "prompt none goes with no other value")
    return prompt


def _claims(parameters: Mapping[str, str], refuse: Refusal) -> ClaimsRequest:
    if "claims" not in parameters:
        return ClaimsRequest()
    try:
        return claims_request.parse(parameters["claims"])
    except MalformedClaims as error:
        raise refuse("invalid_request", f"claims {error}") from None


def _subjects(client: Client, asked: ClaimsRequest, refuse: Refusal) -> tuple[str, ...]:
    """Who may answer, as the client knows them: the `sub` that is asked for (OIDC Core §5.5.1)."""
    values = asked.id_token.get("sub", Spec()).values
    subjects = tuple(value for value in values if isinstance(value, str))
    if client.subject_type == "public":
        subjects = tuple(value for value in subjects if UUID_TEXT.fullmatch(value))
    if values and not subjects:
        raise refuse("login_required", "no account has the sub that claims asks for")
    return subjects


def _requirement(
    client: Client,
    parameters: Mapping[str, str],
    environment: Environment,
    refuse: Refusal,
    *,
    asked: ClaimsRequest,
    subjects: tuple[str, ...],
) -> AuthnRequirement:
    """What the login must be. prompt=login and max_age are the same question: how old may it be?"""
    not_before: datetime | None = None
    max_age = _max_age(client, parameters, refuse)
    if max_age is not None:
        not_before = environment.now - timedelta(seconds=max_age)
    if parameters.keys() & {"prompt"} and set(parameters["prompt"].split()) & {"login", "select_account"}:
        not_before = environment.now
    acrs = {environment.acrs[method] for method in client.login_methods if method in environment.acrs}
    # A login can be asked of one account that we know by its subject; else the answer alone is checked.
    user_id = UUID(subjects[0]) if client.subject_type == "public" and len(subjects) == 1 else None
    if "id_token_hint" in parameters:
        try:
            hint = environment.read_hint(parameters["id_token_hint"], client)
        except ValueError:
            raise refuse(
                "invalid_request", "id_token_hint is not an ID token issued to this client"
            ) from None
        if hint.user_id is None:
            raise refuse("login_required", "the person of the id_token_hint cannot log in any more")
        if user_id not in (None, hint.user_id):
            raise refuse("login_required", "id_token_hint and claims name different people")
        user_id = hint.user_id
    return AuthnRequirement(
        acr_values=_acr_values(client, parameters, asked.id_token.get("acr", Spec()), acrs, refuse),
        methods=tuple(client.login_methods),
        not_before=not_before,
        user_id=user_id,
    )


def _acr_values(
    client: Client, parameters: Mapping[str, str], claim: Spec, reachable: set[str], refuse: Refusal
) -> tuple[str, ...]:
    """The acrs that will do, most wanted first; empty: any.

    An essential acr claim is a demand (OIDC Core §5.5.1.1). All else is a wish (§3.1.2.1): values that no
    method reaches ask for nothing.
    """
    wished = tuple(value for value in claim.values if isinstance(value, str) and value in reachable)
    if claim.essential and claim.values:
        if not wished:
            raise refuse("unmet_authentication_requirements", "no login method reaches the essential acr")
        return wished
    if "acr_values" in parameters or not claim.values:
        asked = parameters.get("acr_values", " ".join(client.default_acr_values)).split()
        return tuple(acr for acr in asked if acr in reachable)
    return wished


def _max_age(client: Client, parameters: Mapping[str, str], refuse: Refusal) -> int | None:
    text = parameters.get("max_age")
    if text is None:
        return client.default_max_age
    if not (text.isascii() and text.isdigit()) or len(text) > MAX_AGE_DIGITS:
        raise refuse("invalid_request", "max_age must be a whole number of seconds")
    return int(text)


@dataclass(frozen=True)
class Issue:
    """Answer with a code."""

    event: AuthenticationEvent


@dataclass(frozen=True)
class AskLogin:
    """Somebody has to log in first."""


@dataclass(frozen=True)
class AskConsent:
    """The person has to agree first."""


@dataclass(frozen=True)
class Refuse:
    """Answer with an error."""

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
    """Answer an authorization request (OIDC Core §3.1.2.3).

    `company` is the logged-in person's, `subject` what the client knows them by, `consented_at` when they
    agreed to (at least) what is to be shared, None if never.
    """
    silent = "none" in request.prompt
    if event is None or not request.requirement.satisfied_by(event):
        return Refuse("login_required", "nobody is logged in as required") if silent else AskLogin()
    if request.subjects and subject not in request.subjects:
        return Refuse("login_required", "somebody else is logged in than claims asks for")
    if request.client.companies and company not in request.client.companies:
        return Refuse("access_denied", "this person may not use this client")
    if _needs_consent(request, consented_at):
        return Refuse("consent_required", "the person has not consented") if silent else AskConsent()
    return Issue(event)


def _needs_consent(request: AuthorizationRequest, consented_at: datetime | None) -> bool:
    if "consent" in request.prompt:
        return consented_at is None or consented_at < request.received_at
    return request.client.consent == "explicit" and consented_at is None


def success(to: ReturnTo, code: str, issuer: str) -> list[tuple[str, str]]:
    """The parameters of a successful response (OIDC Core §3.1.2.5, RFC 9207)."""
    return _answer(to, [("code", code)], issuer)


def failure(error: AuthorizationError, issuer: str) -> list[tuple[str, str]]:
    """The parameters of an error response (RFC 6749 §4.1.2.1, RFC 9207)."""
    return _answer(error.to, [("error", error.error), ("error_description", error.description)], issuer)


def _answer(to: ReturnTo, fields: list[tuple[str, str]], issuer: str) -> list[tuple[str, str]]:
    state = [("state", to.state)] if to.state is not None else []
    return [*fields, *state, ("iss", issuer)]


def response_url(redirect_uri: str, fields: list[tuple[str, str]]) -> str:
    """`redirect_uri` with the response in its query; a query it already has stays as it is."""
    separator = "&" if "?" in redirect_uri else "?"
    return f"{redirect_uri}{separator}{urlencode(fields)}"
