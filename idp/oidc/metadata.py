"""The discovery document, derived from what is registered (OIDC Discovery §3, RFC 8414 §2)."""

from typing import Any

from idp.extensions import Slot
from idp.oidc import encryption
from idp.oidc.authentication import client_assertion, client_auth, dpop
from idp.oidc.authorization import request_object
from idp.oidc.authorization.authorize import RESPONSE_MODES
from idp.oidc.authorization.requested_login import PROMPTS
from idp.oidc.authorization.user_message import MIME_TYPES
from idp.oidc.claims import (
    AUTHN_PROVIDER,
    CLAIMS_OF_A_NUMBER,
    EVIDENCE_CLAIMS,
    NUMBER_SCOPE,
    SCOPE_CLAIMS,
    claims_of_scopes,
)
from idp.oidc.keys.ring import CONTENT_ENCS
from idp.oidc.tokens.grants import GRANTS

DISCOVERY_PATHS = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
SWEDISH_DISCO = "https://id.oidc.se/disco/"
ENDPOINTS = {
    "authorization_endpoint": "/authorize",
    "pushed_authorization_request_endpoint": "/par",
    "token_endpoint": "/token",
    "userinfo_endpoint": "/userinfo",
    "introspection_endpoint": "/introspect",
    "revocation_endpoint": "/revoke",
    "jwks_uri": "/jwks",
    "end_session_endpoint": "/end_session",
}
"""Metadata names and the paths of our endpoints; a test compares them with the registered routes."""

ID_TOKEN_CLAIMS = ("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash")


DOCUMENTS: Slot[dict[str, tuple[int, bytes]]] = Slot("documents")
"""Documents as they are sent, each with the generation of the key ring that it was made for."""


def document(
    issuer: str,
    *,
    algs: tuple[str, ...],
    decryption_algs: tuple[str, ...],
    acrs: tuple[str, ...],
    languages: tuple[str, ...],
    numbers: bool,
    evidence: bool,
    messages: bool,
) -> dict[str, Any]:
    """The discovery document (OIDC Discovery §3, RFC 8414 §2).

    `algs` have an active signing key, `decryption_algs` one to encrypt to. `acrs` are those that the
    registered login methods reach, `languages` those of our pages. `numbers` says whether personal numbers
    are known, `evidence` whether a login method leaves evidence, `messages` whether one shows relying apps'
    messages.
    """
    scopes = [scope for scope in SCOPE_CLAIMS if numbers or scope != NUMBER_SCOPE]
    of_people = [name for name in claims_of_scopes(scopes) if numbers or name not in CLAIMS_OF_A_NUMBER]
    claims = [*ID_TOKEN_CLAIMS, *of_people, AUTHN_PROVIDER, *(EVIDENCE_CLAIMS if evidence else ())]
    return {
        "issuer": issuer,
        **{name: issuer + path for name, path in ENDPOINTS.items()},
        "scopes_supported": scopes,
        "claims_supported": claims,
        "claim_types_supported": ["normal"],
        "claims_parameter_supported": True,
        "response_types_supported": ["code"],
        "response_modes_supported": list(RESPONSE_MODES),
        "grant_types_supported": [grant.GRANT_TYPE for grant in GRANTS],
        "prompt_values_supported": list(PROMPTS),
        "code_challenge_methods_supported": ["S256"],
        "subject_types_supported": ["public", "pairwise"],
        "id_token_signing_alg_values_supported": list(algs),
        "userinfo_signing_alg_values_supported": list(algs),
        **{
            f"{answer}_encryption_{part}_values_supported": list(known)
            for answer in ("id_token", "userinfo")
            for part, known in (("alg", encryption.KEY_ALGS), ("enc", encryption.CONTENT_ENCS))
        },
        **_client_authentication(),
        "acr_values_supported": list(acrs),
        "display_values_supported": ["page"],  # for every value of `display`
        "ui_locales_supported": list(languages),
        **_request_objects(decryption_algs),
        "require_pushed_authorization_requests": False,
        "require_signed_request_object": False,
        "request_uri_parameter_supported": False,
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "frontchannel_logout_supported": True,
        "frontchannel_logout_session_supported": True,
        f"{SWEDISH_DISCO}authnProviderSupported": True,
        f"{SWEDISH_DISCO}userMessageSupported": messages,
        **({f"{SWEDISH_DISCO}userMessageSupportedMimeTypes": list(MIME_TYPES)} if messages else {}),
    }


def _client_authentication() -> dict[str, Any]:
    """How clients authenticate, and prove that tokens are theirs (RFC 8414 §2, RFC 9449 §5.1)."""
    return {
        "token_endpoint_auth_methods_supported": list(client_auth.METHODS),
        "introspection_endpoint_auth_methods_supported": [m for m in client_auth.METHODS if m != "none"],
        "revocation_endpoint_auth_methods_supported": list(client_auth.METHODS),
        **{
            f"{endpoint}_endpoint_auth_signing_alg_values_supported": list(client_assertion.ALGS)
            for endpoint in ("token", "introspection", "revocation")
        },
        "dpop_signing_alg_values_supported": list(dpop.ALGS),
    }


def _request_objects(decryption_algs: tuple[str, ...]) -> dict[str, Any]:
    """How request objects by value may be signed and encrypted (OIDC Discovery §3)."""
    facts: dict[str, Any] = {
        "request_parameter_supported": True,
        "request_object_signing_alg_values_supported": list(request_object.ALGS),
    }
    if decryption_algs:
        facts["request_object_encryption_alg_values_supported"] = list(decryption_algs)
        facts["request_object_encryption_enc_values_supported"] = list(CONTENT_ENCS)
    return facts
