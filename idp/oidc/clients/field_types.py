"""The types of an entry's fields in clients.yaml, each with the check of its values."""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictStr,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from idp.config import LOOPBACK_HOSTS
from idp.oidc.clients.jwks import JwkSet, read_registered
from idp.oidc.clients.problems import nearest, quoted

SCOPES = (
    *("openid", "profile", "email", "phone", "offline_access"),
    "https://id.oidc.se/scope/naturalPersonInfo",
    "https://id.oidc.se/scope/naturalPersonNumber",
    "https://id.oidc.se/scope/naturalPersonOrgId",
)
HOW_TO_MAKE_ONE = "make one with: idp clients secret"

_URI_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
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


def secret_hash(secret: str) -> str:
    """The hash that stands for a secret in clients.yaml."""
    # surrogatepass: a header may smuggle in half a surrogate pair, which matches nothing but must not raise
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def hashes_of(words: Sequence[str]) -> frozenset[str]:
    """The hashes of the words, with and without the newline that `echo` adds."""
    return frozenset(secret_hash(word + end) for word in words for end in ("", "\n"))


_TRIVIAL_HASHES = hashes_of(_GUESSED_FIRST)


def problems_at(found: Sequence[tuple[tuple[int | str, ...], str]]) -> PydanticCustomError:
    """An error for several places inside one field: each path below it, and what is wrong there."""
    return PydanticCustomError("items", "contains problems", {"items": list(found)})


def _not_empty(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("must not be empty")
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
    """The URI, when a browser may be sent to it: https, or http to this very machine (RFC 9700 §2.1)."""
    if not _URI_CHARACTERS.fullmatch(value):
        raise ValueError("must contain only URI characters: no space, quote, backslash or letter such as å")
    if "*" in value:
        raise ValueError("must not contain a wildcard")
    if "#" in value and not fragment:
        raise ValueError("must not contain a fragment (RFC 6749 §3.1.2)")
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError("is not a URI") from None
    if "@" in parts.netloc:
        raise ValueError("must not contain a user name or password")
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
        if scope not in SCOPES:
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


def _jwks(value: object) -> JwkSet:
    found, problems = read_registered(value)
    if problems:
        raise problems_at(problems)
    return found


def _not_after(value: object) -> object:
    """The last moment that a secret works: a date means the whole day, in UTC."""
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
Scope = Annotated[StrictStr, AfterValidator(_scope)]
GrantType = Literal["authorization_code", "refresh_token", "client_credentials"]
AuthMethod = Literal["private_key_jwt", "client_secret_basic", "client_secret_post", "none"]
SigningAlg = Literal["RS256", "PS256", "ES256", "EdDSA"]
KeyEncryption = Literal["RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW"]
ContentEncryption = Literal["A128CBC-HS256", "A128GCM", "A256GCM"]
Jwks = Annotated[JwkSet, BeforeValidator(_jwks), WithJsonSchema({"type": "object"})]
RequestObjectAlg = Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384"]


class ClientSecret(BaseModel):
    """The hash of a registered secret, and the last moment that it works (None: no end)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Annotated[StrictStr, AfterValidator(_sha256), Field(repr=False)]
    not_after: Annotated[datetime | None, BeforeValidator(_not_after)] = None

    def valid_at(self, now: datetime) -> bool:
        """Whether the secret still works."""
        return self.not_after is None or now <= self.not_after
