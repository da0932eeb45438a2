"""Discovery: the facts of this provider, derived from what is registered (Discovery §3, RFC 8414 §2)."""

from typing import Any

from idp.oidc.authorize import PROMPTS, RESPONSE_MODES
from idp.oidc.claims import AUTHN_PROVIDER, EVIDENCE_CLAIMS, NUMBER_SCOPE, SCOPE_CLAIMS, of_scopes
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
    issuer: str,
    *,
    algs: tuple[str, ...],
    acrs: tuple[str, ...],
    languages: tuple[str, ...],
    numbers: bool,
    evidence: bool,
) -> dict[str, Any]:
    """The discovery document. `algs` have an active signing key, `acrs` a registered login method.

    `numbers` says whether personal numbers are known, `evidence` whether a login method leaves any.
    """
    scopes = [scope for scope in SCOPE_CLAIMS if numbers or scope != NUMBER_SCOPE]
    claims = [*ID_TOKEN_CLAIMS, *of_scopes(scopes), AUTHN_PROVIDER, *(EVIDENCE_CLAIMS if evidence else ())]
    return {
        "issuer": issuer,
        **{name: issuer + path for name, path in ENDPOINTS.items()},
        "scopes_supported": scopes,
        "claims_supported": claims,
        "claim_types_supported": ["normal"],
        "claims_parameter_supported": True,
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
