"""What a relying party is: the fields of an entry in clients.yaml, and what each may hold."""

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError

from idp.config import LOOPBACK_HOSTS
from idp.oidc.client_problems import LATER_VALUES, nearest, not_yet, quoted

SCOPES = ("openid", "profile", "email", "phone", "https://id.oidc.se/scope/naturalPersonNumber")
HOW_TO_MAKE_ONE = "make one with: idp clients secret"
MAX_SECRET_LENGTH = 1024

_URI_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_LOOPBACK_REDIRECT = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]))(?::([0-9]{1,5}))?([/?].*)?")
_GUESSED_FIRST = (
    "",
    "secret",
    "client_secret",
    "changeme",
    "change-me",
    "password",
    "test",
    "demo",
    "123456",
)


def _hash(secret: str) -> str:
    # surrogatepass: a header may smuggle in half a surrogate pair, which matches nothing but must not raise
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def _with_newline(words: Sequence[str]) -> frozenset[str]:
    return frozenset(_hash(word + end) for word in words for end in ("", "\n"))


_TRIVIAL_HASHES = _with_newline(_GUESSED_FIRST)


def _problems_at(found: Sequence[tuple[tuple[int | str, ...], str]]) -> PydanticCustomError:
    """An error for several places inside one field: paths below it, and what is wrong there."""
    return PydanticCustomError("items", "holds problems", {"items": list(found)})


def _not_empty(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("must hold at least one")
    return value


def _text(value: str) -> str:
    if not value.strip() or not value.isprintable() or len(value) > 200:
        raise ValueError("must be 1 to 200 printable characters")
    return value


def _word(value: str) -> str:
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be one word of printable ASCII characters")
    return value


def _uri(value: str, *, private_schemes: bool = False, fragment: bool = False) -> str:
    """The URI when it is fit to send a browser to: https, or http to this very machine (RFC 9700 §2.1)."""
    if not _URI_CHARACTERS.fullmatch(value):
        raise ValueError("must hold URI characters only: no spaces, quotes, backslashes or letters such as å")
    if "*" in value:
        raise ValueError("must hold no wildcard")
    if "#" in value and not fragment:
        raise ValueError("must have no fragment (RFC 6749 §3.1.2)")
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("is no URI") from None
    if "@" in parts.netloc:
        raise ValueError("must hold no user name or password")
    if not parts.scheme:
        raise ValueError("must be absolute, such as https://app.example.se/callback")
    if parts.scheme in ("https", "http") and not parts.hostname:
        raise ValueError("must name a host")
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS):
        return value
    if "." not in parts.scheme:
        raise ValueError("must be https; http is for loopback addresses only")
    if not private_schemes:
        raise ValueError("must be https; a private-use scheme is for application_type native only")
    if not parts.netloc and not parts.path.startswith("/"):
        raise ValueError(
            "must have a path after the scheme, such as com.example.app:/callback (RFC 8252 §7.1)"
        )
    return value


def _redirect_uri(value: str, info: ValidationInfo) -> str:
    # without a valid application_type the benefit of the doubt: that problem is reported by itself
    return _uri(value, private_schemes=info.data.get("application_type", "native") == "native")


def _web_uri(value: str) -> str:
    return _uri(value)


def _page_uri(value: str) -> str:
    return _uri(value, fragment=True)


def _scope(value: str) -> str:
    found = []
    for scope in value.split():
        if scope in LATER_VALUES["scope"]:
            found.append(not_yet(scope))
        elif scope not in SCOPES:
            found.append(f"there is no scope {quoted(scope)}{nearest(scope, SCOPES)}")
    if "openid" not in value.split():
        found.append("must contain openid (OpenID Connect Core §3.1.2.1)")
    if found:
        raise ValueError("; ".join(found))
    return value


def _sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError(f"must be the SHA-256 of a secret in 64 hex digits; {HOW_TO_MAKE_ONE}")
    if value.lower() in _TRIVIAL_HASHES or len(set(value)) < 8:
        raise ValueError(f"is the hash of a low-entropy secret; {HOW_TO_MAKE_ONE}")
    return value.lower()


def _not_after(value: object) -> object:
    """The last moment a secret works: a date means that whole day, in UTC."""
    moment = value
    if isinstance(value, str):
        day = _DATE.fullmatch(value)
        try:
            moment = datetime.fromisoformat(f"{value}T23:59:59.999999Z" if day else value)
        except ValueError:
            moment = None
    # year 1 and year 9999 may fall outside the calendar in UTC
    if not isinstance(moment, datetime) or moment.tzinfo is None or not 2000 <= moment.year < 3000:
        raise ValueError("must be a date such as 2027-06-30, or a time with its zone: 2027-06-30T12:00:00Z")
    return moment.astimezone(UTC)


NOT_EMPTY = AfterValidator(_not_empty)
Text = Annotated[StrictStr, AfterValidator(_text)]
Word = Annotated[StrictStr, AfterValidator(_word)]
RedirectUri = Annotated[StrictStr, AfterValidator(_redirect_uri)]
WebUri = Annotated[StrictStr, AfterValidator(_web_uri)]
PageUri = Annotated[StrictStr, AfterValidator(_page_uri)]
AuthMethod = Literal["client_secret_basic", "client_secret_post", "none"]
SigningAlg = Literal["RS256", "PS256", "ES256", "EdDSA"]


class ClientSecret(BaseModel):
    """A secret as it is kept: its hash, and the last moment it works (None: no end)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Annotated[StrictStr, AfterValidator(_sha256), Field(repr=False)]
    not_after: Annotated[datetime | None, BeforeValidator(_not_after)] = None

    def valid_at(self, now: datetime) -> bool:
        return self.not_after is None or now <= self.not_after


class Client(BaseModel):
    """A relying party. Fields are named as in OpenID Connect Dynamic Client Registration where it has them.

    A field's check may look at the fields above it, so their order matters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    client_id: StrictStr
    client_name: Text | None = None
    client_name_en: Annotated[Text | None, Field(alias="client_name#en")] = None
    application_type: Literal["web", "native"] = "web"
    redirect_uris: Annotated[tuple[RedirectUri, ...], NOT_EMPTY]
    post_logout_redirect_uris: tuple[RedirectUri, ...] = ()
    initiate_login_uri: WebUri | None = None
    client_uri: PageUri | None = None
    logo_uri: PageUri | None = None
    policy_uri: PageUri | None = None
    tos_uri: PageUri | None = None
    contacts: tuple[Text, ...] = ()
    token_endpoint_auth_method: AuthMethod = "client_secret_basic"  # noqa: S105
    client_secrets: Annotated[tuple[ClientSecret, ...], Field(validate_default=True)] = ()
    require_pkce: StrictBool = True
    scope: Annotated[StrictStr, AfterValidator(_scope)] = "openid"
    grant_types: Annotated[tuple[Literal["authorization_code"], ...], NOT_EMPTY] = ("authorization_code",)
    login_methods: Annotated[tuple[StrictStr, ...], NOT_EMPTY]
    companies: Annotated[tuple[Text, ...], NOT_EMPTY] | None = None
    consent: Literal["implicit", "explicit"] = "implicit"
    subject_type: Literal["public", "pairwise"] = "public"
    sector_identifier: Annotated[StrictStr | None, Field(validate_default=True)] = None
    default_acr_values: tuple[Word, ...] = ()
    default_max_age: Annotated[StrictInt, Field(ge=0)] | None = None
    require_auth_time: StrictBool = False
    id_token_signed_response_alg: Annotated[SigningAlg, Field(validate_default=True)] = "RS256"  # noqa: S105
    access_token_minutes: Annotated[StrictInt, Field(ge=1, le=60)] = 10
    id_token_minutes: Annotated[StrictInt, Field(ge=1, le=5)] = 5

    @field_validator("client_id")
    @classmethod
    def _check_client_id(cls, value: str) -> str:
        if not re.fullmatch(r"[!-~]{1,100}", value) or set(value) & set("\"':\\"):
            raise ValueError(
                "must be 1 to 100 printable ASCII characters, no space, quote, backslash or colon"
            )
        return value

    @field_validator("redirect_uris", "post_logout_redirect_uris")
    @classmethod
    def _check_listed_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise _problems_at([((i,), "is listed twice") for i, uri in enumerate(value) if uri in value[:i]])
        return value

    @field_validator("client_secrets")
    @classmethod
    def _check_secrets(
        cls, value: tuple[ClientSecret, ...], info: ValidationInfo
    ) -> tuple[ClientSecret, ...]:
        client_id = info.data.get("client_id", "")
        trivial = _with_newline([client_id, f"{client_id}-secret"])
        if weak := [i for i, secret in enumerate(value) if secret.sha256 in trivial]:
            message = f"is the hash of a low-entropy secret made from the client_id; {HOW_TO_MAKE_ONE}"
            raise _problems_at([((i, "sha256"), message) for i in weak])
        method = info.data.get("token_endpoint_auth_method")
        if method == "none" and value:
            raise ValueError("must be left out: token_endpoint_auth_method none has no secret")
        if method in ("client_secret_basic", "client_secret_post") and not value:
            raise ValueError(f"is missing: token_endpoint_auth_method {method} needs one; {HOW_TO_MAKE_ONE}")
        return value

    @field_validator("require_pkce")
    @classmethod
    def _check_pkce(cls, value: bool, info: ValidationInfo) -> bool:
        if not value and info.data.get("token_endpoint_auth_method") == "none":
            raise ValueError("must be true for token_endpoint_auth_method none (RFC 9700 §2.1.1)")
        return value

    @field_validator("login_methods")
    @classmethod
    def _check_login_methods(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        known = (info.context or {}).get("login_methods", value)
        unknown = [(i, method) for i, method in enumerate(value) if method not in known]
        if unknown:
            choices = " or ".join(known)
            raise _problems_at([((i,), f"must be {choices}{nearest(name, known)}") for i, name in unknown])
        return value

    @field_validator("sector_identifier")
    @classmethod
    def _check_sector(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and not _HOST.fullmatch(value):
            raise ValueError("must be a host name alone, in lower case, such as example.se")
        hosts = {urlsplit(uri).hostname or "" for uri in info.data.get("redirect_uris", ())}
        if value is None and info.data.get("subject_type") == "pairwise" and (len(hosts) > 1 or "" in hosts):
            raise ValueError(
                "is missing: pairwise subjects need one unless all redirect_uris are on one host"
                " (OpenID Connect Core §8.1)"
            )
        return value

    @field_validator("id_token_signed_response_alg")
    @classmethod
    def _check_alg(cls, value: str, info: ValidationInfo) -> str:
        available = (info.context or {}).get("signing_algs")
        if available is not None and value not in available:
            raise ValueError(f"there is no signing key for {value}, only for {', '.join(sorted(available))}")
        return value

    @cached_property
    def scopes(self) -> frozenset[str]:
        """The scopes that the client may ask for."""
        return frozenset(self.scope.split())

    @cached_property
    def sector(self) -> str:
        """The host that pairwise subjects are computed over (OpenID Connect Core §8.1)."""
        return self.sector_identifier or urlsplit(self.redirect_uris[0]).hostname or ""

    def name(self, locale: str) -> str:
        """What the client is called on a page in this language (`sv`, `en`, `en_GB` …)."""
        english = self.client_name_en if locale.lower().startswith("en") else None
        return english or self.client_name or self.client_id

    def check_secret(self, secret: str, now: datetime) -> bool:
        """Whether this is one of the client's unexpired secrets; takes as long whichever it is."""
        if len(secret) > MAX_SECRET_LENGTH:
            return False
        given = _hash(secret)
        matches = [
            hmac.compare_digest(given, kept.sha256) for kept in self.client_secrets if kept.valid_at(now)
        ]
        return any(matches)

    def has_expired(self, now: datetime) -> bool:
        """Whether the client cannot authenticate any more: it has secrets, and each is past its end."""
        return bool(self.client_secrets) and not any(secret.valid_at(now) for secret in self.client_secrets)

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether the client may use the grant type at the token endpoint (Authlib asks this)."""
        return grant_type in self.grant_types

    def redirect_uri_matches(self, uri: str) -> bool:
        """Whether the URI is registered, byte for byte (RFC 9700 §2.1).

        A native client's http redirect to a loopback address may differ in its port (RFC 8252 §7.3).
        """
        return uri in self.redirect_uris or _without_port(uri) in self._any_port_redirects

    @cached_property
    def _any_port_redirects(self) -> frozenset[str | None]:
        uris = self.redirect_uris if self.application_type == "native" else ()
        return frozenset(map(_without_port, uris)) - {None}


def _without_port(uri: str) -> str | None:
    """A loopback http URI without its port; None for any other URI."""
    match = _LOOPBACK_REDIRECT.fullmatch(uri)
    if match is None or int(match[2] or 80) > 65535:
        return None
    return match[1] + (match[3] or "")
