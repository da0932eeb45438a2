"""Discovery: the facts of this provider, derived from what is registered (Discovery §3, RFC 8414 §2)."""

from typing import Any

from idp.oidc.authorize import PROMPTS, RESPONSE_MODES
from idp.oidc.claims import SCOPE_CLAIMS
from idp.oidc.server import TOKEN_ENDPOINT_AUTH_METHODS, CodeGrant

ENDPOINTS = {
    "authorization_endpoint": "/authorize",
    "token_endpoint": "/token",
    "userinfo_endpoint": "/userinfo",
    "jwks_uri": "/jwks",
    "end_session_endpoint": "/end_session",
}
"""Metadata names and the paths of our endpoints; a test holds them against the registered routes."""

ID_TOKEN_CLAIMS = ("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash")


def document(
    issuer: str, *, algs: tuple[str, ...], acrs: tuple[str, ...], languages: tuple[str, ...]
) -> dict[str, Any]:
    """The discovery document. `algs` have an active signing key, `acrs` a registered login method."""
    claims = [*ID_TOKEN_CLAIMS, *(claim for group in SCOPE_CLAIMS.values() for claim in group)]
    return {
        "issuer": issuer,
        **{name: issuer + path for name, path in ENDPOINTS.items()},
        "scopes_supported": list(SCOPE_CLAIMS),
        "claims_supported": claims,
        "claim_types_supported": ["normal"],
        "claims_parameter_supported": False,
        "response_types_supported": ["code"],
        "response_modes_supported": list(RESPONSE_MODES),
        "grant_types_supported": [CodeGrant.GRANT_TYPE],
        "prompt_values_supported": list(PROMPTS),
        "code_challenge_methods_supported": ["S256"],
        "subject_types_supported": ["public", "pairwise"],
        "id_token_signing_alg_values_supported": list(algs),
        "token_endpoint_auth_methods_supported": list(TOKEN_ENDPOINT_AUTH_METHODS),
        "acr_values_supported": list(acrs),
        "ui_locales_supported": list(languages),
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "authorization_response_iss_parameter_supported": True,
    }
