"""A relying party: its metadata in clients.yaml, and what the fields demand of each other."""

import hmac
import re
from datetime import datetime
from functools import cached_property
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationInfo,
    field_validator,
)

from idp.oidc.clients.bankid import ClientBankId
from idp.oidc.clients.field_types import (
    HOW_TO_MAKE_ONE,
    NOT_EMPTY,
    AuthMethod,
    ClientSecret,
    ContentEncryption,
    GrantType,
    Jwks,
    KeyEncryption,
    PageUri,
    RedirectUri,
    RequestObjectAlg,
    Scope,
    SigningAlg,
    Text,
    WebUri,
    Word,
    hashes_of,
    problems_at,
    secret_hash,
)
from idp.oidc.clients.jwks import JwkSet
from idp.oidc.clients.problems import nearest

MAX_SECRET_LENGTH = 1024

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_LOOPBACK_REDIRECT = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]))(?::([0-9]{1,5}))?([/?].*)?")


class Client(BaseModel):
    """A relying party, by its metadata (OIDC Registration §2, where it has the field).

    A field's check may read the fields above it, so their order matters.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)

    client_id: StrictStr
    client_name: Text | None = None
    client_name_en: Annotated[Text | None, Field(alias="client_name#en")] = None
    application_type: Literal["web", "native"] = "web"
    grant_types: Annotated[tuple[GrantType, ...], NOT_EMPTY] = ("authorization_code",)
    redirect_uris: Annotated[tuple[RedirectUri, ...], Field(validate_default=True)] = ()
    post_logout_redirect_uris: tuple[RedirectUri, ...] = ()
    backchannel_logout_uri: WebUri | None = None
    backchannel_logout_session_required: StrictBool = False
    frontchannel_logout_uri: WebUri | None = None
    frontchannel_logout_session_required: StrictBool = False
    initiate_login_uri: WebUri | None = None
    client_uri: PageUri | None = None
    logo_uri: PageUri | None = None
    policy_uri: PageUri | None = None
    tos_uri: PageUri | None = None
    contacts: tuple[Text, ...] = ()
    token_endpoint_auth_method: AuthMethod = "client_secret_basic"  # noqa: S105
    client_secrets: Annotated[tuple[ClientSecret, ...], Field(validate_default=True)] = ()
    token_endpoint_auth_signing_alg: SigningAlg | None = None
    jwks: Jwks | None = None
    jwks_uri: Annotated[WebUri | None, Field(validate_default=True)] = None
    require_pkce: StrictBool = True
    require_pushed_authorization_requests: StrictBool = False
    require_signed_request_object: StrictBool = False
    request_object_signing_alg: RequestObjectAlg | None = None
    scope: Scope = "openid"
    login_methods: Annotated[tuple[StrictStr, ...], NOT_EMPTY]
    bankid: ClientBankId = ClientBankId()
    number_after_any_login: StrictBool = False
    companies: Annotated[tuple[Text, ...], NOT_EMPTY] | None = None
    consent: Literal["implicit", "explicit"] = "implicit"
    subject_type: Literal["public", "pairwise"] = "public"
    sector_identifier: Annotated[StrictStr | None, Field(validate_default=True)] = None
    default_acr_values: tuple[Word, ...] = ()
    default_max_age: Annotated[StrictInt, Field(ge=0)] | None = None
    require_auth_time: StrictBool = False
    id_token_signed_response_alg: Annotated[SigningAlg, Field(validate_default=True)] = "RS256"  # noqa: S105
    id_token_encrypted_response_alg: KeyEncryption | None = None
    id_token_encrypted_response_enc: ContentEncryption = "A128CBC-HS256"  # noqa: S105
    userinfo_signed_response_alg: SigningAlg | None = None
    userinfo_encrypted_response_alg: KeyEncryption | None = None
    userinfo_encrypted_response_enc: ContentEncryption = "A128CBC-HS256"
    access_token_format: Literal["opaque", "jwt"] = "opaque"  # noqa: S105
    dpop_bound_access_tokens: StrictBool = False
    access_token_minutes: Annotated[StrictInt, Field(ge=1, le=60)] = 10
    refresh_token_idle_minutes: Annotated[StrictInt, Field(ge=1, le=525_600)] | None = None
    refresh_token_hours: Annotated[StrictInt, Field(ge=1, le=17_520)] = 4320
    id_token_minutes: Annotated[StrictInt, Field(ge=1, le=5)] = 5

    @field_validator("client_id")
    @classmethod
    def _check_client_id(cls, value: str) -> str:
        if not re.fullmatch(r"[!-~]{1,100}", value) or set(value) & set("\"':\\"):
            raise ValueError(
                "must be 1 to 100 printable ASCII characters without space, quote, backslash or colon"
            )
        return value

    @field_validator("grant_types")
    @classmethod
    def _check_grant_types(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "refresh_token" in value and "authorization_code" not in value:
            raise ValueError("must contain authorization_code beside refresh_token")
        return value

    @field_validator("redirect_uris", mode="before")
    @classmethod
    def _check_there(cls, value: object, info: ValidationInfo) -> object:
        left_out = value == ()  # the default; the file holds lists
        if left_out and "authorization_code" in info.data.get("grant_types", ()):
            raise ValueError("is missing")
        return value

    @field_validator("redirect_uris")
    @classmethod
    def _check_any(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not value and "authorization_code" in info.data.get("grant_types", ()):
            raise ValueError("must not be empty")
        return value

    @field_validator("token_endpoint_auth_method")
    @classmethod
    def _check_authenticates(cls, value: str, info: ValidationInfo) -> str:
        if value == "none" and "client_credentials" in info.data.get("grant_types", ()):
            raise ValueError("must not be none: grant_types contains client_credentials (RFC 6749 §4.4)")
        return value

    @field_validator("redirect_uris", "post_logout_redirect_uris")
    @classmethod
    def _check_listed_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise problems_at([((i,), "is listed twice") for i, uri in enumerate(value) if uri in value[:i]])
        return value

    @field_validator("frontchannel_logout_uri")
    @classmethod
    def _check_same_origin(cls, value: str | None, info: ValidationInfo) -> str | None:
        uris = info.data.get("redirect_uris")
        if value is not None and uris is not None and _origin(value) not in map(_origin, uris):
            raise ValueError(
                "must have scheme, host and port of one of redirect_uris (Front-Channel Logout 1.0 §2)"
            )
        return value

    @field_validator("client_secrets")
    @classmethod
    def _check_secrets(
        cls, value: tuple[ClientSecret, ...], info: ValidationInfo
    ) -> tuple[ClientSecret, ...]:
        client_id = info.data.get("client_id", "")
        trivial = hashes_of([client_id, f"{client_id}-secret"])
        if weak := [i for i, secret in enumerate(value) if secret.sha256 in trivial]:
            message = f"is the hash of a low-entropy secret made from the client_id; {HOW_TO_MAKE_ONE}"
            raise problems_at([((i, "sha256"), message) for i in weak])
        method = info.data.get("token_endpoint_auth_method")
        if method in ("none", "private_key_jwt") and value:
            raise ValueError(f"must be left out: token_endpoint_auth_method {method} has no secret")
        if method in ("client_secret_basic", "client_secret_post") and not value:
            raise ValueError(f"is missing: token_endpoint_auth_method {method} needs one; {HOW_TO_MAKE_ONE}")
        return value

    @field_validator("token_endpoint_auth_signing_alg")
    @classmethod
    def _check_assertion_alg(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value and info.data.get("token_endpoint_auth_method", "private_key_jwt") != "private_key_jwt":
            raise ValueError("must be left out: it is for token_endpoint_auth_method private_key_jwt")
        return value

    @field_validator("jwks")
    @classmethod
    def _check_signs(cls, value: JwkSet | None, info: ValidationInfo) -> JwkSet | None:
        if value is None or info.data.get("token_endpoint_auth_method") != "private_key_jwt":
            return value
        alg = info.data.get("token_endpoint_auth_signing_alg")
        algs = [alg] if alg else list(get_args(SigningAlg))
        if not any(key.suits(alg) for key in value.keys for alg in algs):
            raise ValueError(f"must contain a key for {' or '.join(algs)}: private_key_jwt needs one")
        return value

    @field_validator("jwks_uri")
    @classmethod
    def _check_has_keys(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and info.data.get("jwks") is not None:
            raise ValueError("must be left out beside jwks: the keys come from one of them")
        needs_keys = info.data.get("token_endpoint_auth_method") == "private_key_jwt"
        if value is None and needs_keys and info.data.get("jwks", "reported") is None:
            raise ValueError("is missing, and so is jwks: private_key_jwt needs one of them")
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
            raise problems_at([((i,), f"must be {choices}{nearest(name, known)}") for i, name in unknown])
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

    @field_validator("id_token_signed_response_alg", "userinfo_signed_response_alg")
    @classmethod
    def _check_alg(cls, value: str | None, info: ValidationInfo) -> str | None:
        available = (info.context or {}).get("signing_algs")
        if value is not None and available is not None and value not in available:
            raise ValueError(f"there is no signing key for {value}, only for {', '.join(sorted(available))}")
        return value

    @field_validator("id_token_encrypted_response_alg", "userinfo_encrypted_response_alg")
    @classmethod
    def _check_encryption(cls, value: str | None, info: ValidationInfo) -> str | None:
        jwks: JwkSet | None = info.data.get("jwks")
        if value is None or info.data.get("jwks_uri") is not None:
            return value
        if jwks is None and "jwks" in info.data:
            raise ValueError("needs a key of the app: add jwks or jwks_uri")
        if jwks is not None and not any(key.encrypts(value) for key in jwks.keys):
            raise ValueError(f"needs a key in jwks that suits {value}")
        return value

    @field_validator("id_token_encrypted_response_enc", "userinfo_encrypted_response_enc")
    @classmethod
    def _check_encrypted(cls, value: str, info: ValidationInfo) -> str:
        alg = str(info.field_name).removesuffix("enc") + "alg"
        if info.data.get(alg, "reported") is None:
            raise ValueError(f"must be left out without {alg}")
        return value

    @cached_property
    def scopes(self) -> frozenset[str]:
        """The scopes that the client is registered for."""
        return frozenset(self.scope.split())

    @cached_property
    def sector(self) -> str:
        """The host that pairwise subjects are computed over (OIDC Core §8.1)."""
        return self.sector_identifier or urlsplit(self.redirect_uris[0]).hostname or ""

    def name(self, locale: str) -> str:
        """The name of the client on a page in this language (`sv`, `en`, `en_GB` …)."""
        english = self.client_name_en if locale.lower().startswith("en") else None
        return english or self.client_name or self.client_id

    def check_secret(self, secret: str, now: datetime) -> bool:
        """Whether this is one of the client's unexpired secrets; takes as long whichever it is."""
        if len(secret) > MAX_SECRET_LENGTH:
            return False
        given = secret_hash(secret)
        matches = [
            hmac.compare_digest(given, registered.sha256)
            for registered in self.client_secrets
            if registered.valid_at(now)
        ]
        return any(matches)

    def has_expired(self, now: datetime) -> bool:
        """Whether the client cannot authenticate any more: it has secrets, and each has expired."""
        return bool(self.client_secrets) and not any(secret.valid_at(now) for secret in self.client_secrets)

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether the client may use the grant type at the token endpoint; Authlib asks this."""
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


def _origin(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"


def _without_port(uri: str) -> str | None:
    """A loopback http URI without its port; None for any other URI."""
    match = _LOOPBACK_REDIRECT.fullmatch(uri)
    if match is None or int(match[2] or 80) > 65535:
        return None
    return match[1] + (match[3] or "")
