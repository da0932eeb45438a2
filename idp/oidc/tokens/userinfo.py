"""The userinfo response: JSON, or a JWT that is signed, encrypted or both."""

import json
from datetime import datetime
from typing import Any

from idp.oidc import claims, encryption
from idp.oidc.claims import AllowedClaims
from idp.oidc.clients.client import Client
from idp.oidc.provider import Provider
from idp.oidc.tokens import content as tokens
from idp.oidc.tokens.access_tokens import TokenHolder

PLAIN, JWT = "application/json", "application/jwt"


def userinfo_response(
    provider: Provider, client: Client, holder: TokenHolder, *, now: datetime
) -> tuple[str, str]:
    """The userinfo response in the form that the client registered, and its media type (OIDC Core §5.3.2).

    Raises as `encryption.find_recipient_key` does: what should be encrypted is never sent in the clear.
    """
    released = _released_claims(provider, client, holder)
    alg, enc = client.userinfo_encrypted_response_alg, client.userinfo_encrypted_response_enc
    key = encryption.find_recipient_key(provider.client_keys, client, alg, now) if alg else None
    signing_alg = client.userinfo_signed_response_alg
    if signing_alg is not None:
        content = {"iss": provider.issuer, "aud": client.client_id, **released}
        signed = provider.keys.sign(content, alg=signing_alg, now=now)
        return encryption.encrypt_token(signed, key, alg, enc) if key and alg else signed, JWT
    if key and alg:
        return encryption.encrypt_claims(released, key, alg, enc), JWT
    return json.dumps(released), PLAIN


def _released_claims(provider: Provider, client: Client, holder: TokenHolder) -> dict[str, Any]:
    """The claims that the token's scope and its request's `claims` parameter release.

    Only what the client is still registered for counts: a token may be older than clients.yaml.
    """
    scopes = [scope for scope in holder.scope.split() if scope in client.scopes]
    names = [*claims.claims_of_scopes(scopes), *AllowedClaims.of(holder.claims, client).userinfo]
    sub = claims.subject(client, holder.person.id, provider.subject_key)
    return {
        "sub": sub,
        **claims.person_claims(holder.person, names, sub=sub),
        **tokens.find_number_claims(provider, client, holder.person.id, names, method=holder.method),
    }
