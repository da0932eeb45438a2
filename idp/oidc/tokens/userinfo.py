"""What the userinfo endpoint tells, and in which form: JSON, or a JWT signed, encrypted or both."""

import json
from datetime import datetime
from typing import Any

from idp.oidc import claims, encryption
from idp.oidc.claims import AskedClaims
from idp.oidc.clients.client import Client
from idp.oidc.provider import Provider
from idp.oidc.tokens import content as tokens
from idp.oidc.tokens.access_tokens import TokenFacts

PLAIN, JWT = "application/json", "application/jwt"


def answer(provider: Provider, client: Client, facts: TokenFacts, *, now: datetime) -> tuple[str, str]:
    """The answer as the client's entry wants it, and its media type (OIDC Core §5.3.2).

    Raises as `encryption.recipient` does: what should be encrypted is never sent in the clear.
    """
    told = _told(provider, client, facts)
    alg, enc = client.userinfo_encrypted_response_alg, client.userinfo_encrypted_response_enc
    key = encryption.recipient(provider.client_keys, client, alg, now) if alg else None
    signing_alg = client.userinfo_signed_response_alg
    if signing_alg is not None:
        content = {"iss": provider.issuer, "aud": client.client_id, **told}
        signed = provider.keys.sign(content, alg=signing_alg, now=now)
        return encryption.nested(signed, key, alg, enc) if key and alg else signed, JWT
    if key and alg:
        return encryption.claims(told, key, alg, enc), JWT
    return json.dumps(told), PLAIN


def _told(provider: Provider, client: Client, facts: TokenFacts) -> dict[str, Any]:
    """The claims that the token's scope and its request's `claims` parameter release.

    Of both only what the client's entry still lists: a token may be older than the entry.
    """
    scopes = [scope for scope in facts.scope.split() if scope in client.scopes]
    names = [*claims.of_scopes(scopes), *AskedClaims.allowed(facts.claims, client).userinfo]
    sub = claims.subject(client, facts.person.id, provider.subject_key)
    return {
        "sub": sub,
        **claims.about(facts.person, names, sub=sub),
        **tokens.number_claims(provider, facts.person.id, names),
    }
