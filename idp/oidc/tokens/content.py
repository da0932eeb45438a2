"""The content of tokens: the token response, the ID token in it, access tokens in JWT format."""

import hashlib
from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from idp.oidc import claims, encryption, people
from idp.oidc.claims import AllowedClaims
from idp.oidc.clients.client import Client
from idp.oidc.provider import Provider
from idp.oidc.tokens.granted import Granted
from idp.tokens import base64url, sha256_hex

ACCESS_TOKEN_TYP = "at+jwt"  # noqa: S105 - RFC 9068 §2.1
ID_TOKEN_TYP = "JWT"  # noqa: S105


def token_response(
    provider: Provider,
    client: Client,
    granted: Granted,
    *,
    secret: str,
    refresh_token: str | None,
    jkt: str | None,
    now: datetime,
) -> dict[str, Any]:
    """The token response (RFC 6749 §5.1, OIDC Core §3.1.3.3, §12.2).

    It holds an access token, an ID token if `openid` is in the scope, and the refresh token if there is one.
    `secret` is the stored access token's, `jkt` the key that it is bound to (RFC 9449 §5).
    """
    token = make_access_token(provider, client, secret, granted=granted, jkt=jkt, now=now)
    body = {
        "access_token": token,
        "token_type": token_type(jkt),
        "expires_in": client.access_token_minutes * 60,
        "scope": granted.scope,
    }
    if "openid" in granted.scope.split():
        body["id_token"] = make_id_token(provider, client, granted, token, now=now)
    if refresh_token is not None:
        body["refresh_token"] = refresh_token
    return body


def client_token_response(
    provider: Provider, client: Client, secret: str, *, jkt: str | None, now: datetime
) -> dict[str, Any]:
    """The response to a client's own request (RFC 6749 §4.4.3): an access token and nothing else."""
    return {
        "access_token": make_access_token(provider, client, secret, granted=None, jkt=jkt, now=now),
        "token_type": token_type(jkt),
        "expires_in": client.access_token_minutes * 60,
    }


def token_type(jkt: str | None) -> str:
    """The type of an access token (RFC 6749 §7.1): Bearer, or DPoP when bound to a key (RFC 9449 §5)."""
    return "Bearer" if jkt is None else "DPoP"


def make_access_token(
    provider: Provider,
    client: Client,
    secret: str,
    *,
    granted: Granted | None,
    jkt: str | None,
    now: datetime,
) -> str:
    """The access token that the client gets: its secret, or a JWT that stands for it (RFC 9068 §2).

    The JWT's `jti` is the hash that the token is stored under, so a log that holds it holds no token. Without
    `granted` the token is the client's own.
    """
    if client.access_token_format != "jwt":  # noqa: S105
        return secret
    issued_at = int(now.timestamp())
    content: dict[str, Any] = {
        "iss": provider.issuer,
        "aud": provider.issuer,
        "sub": client.client_id,
        "client_id": client.client_id,
        "iat": issued_at,
        "exp": issued_at + client.access_token_minutes * 60,
        "jti": sha256_hex(secret),
    }
    if granted is not None:
        content |= {
            "sub": claims.subject(client, granted.user_id, provider.subject_key),
            "scope": granted.scope,
            "auth_time": int(granted.auth_time.timestamp()),
            "acr": granted.acr,
            "amr": list(granted.amr),
        }
    if jkt is not None:
        content["cnf"] = {"jkt": jkt}  # RFC 9449 §6.1
    return provider.keys.sign(content, alg=client.id_token_signed_response_alg, typ=ACCESS_TOKEN_TYP, now=now)


def stored_hash(provider: Provider, token: str) -> str:
    """The hash that an access token is stored under (RFC 9068 §4 for one in JWT format).

    Nothing is stored under the hash of a foreign JWT.
    """
    if token.count(".") != 2:
        return sha256_hex(token)
    try:
        return str(provider.keys.verify(token, typ=ACCESS_TOKEN_TYP).get("jti"))
    except ValueError:
        return ""


def make_id_token(
    provider: Provider, client: Client, granted: Granted, access_token: str, *, now: datetime
) -> str:
    """The ID token of a response (OIDC Core §2, §3.1.3.3; a refreshed one has no nonce, §12.2).

    Raises as `encryption.find_recipient_key` does, where the client registered encryption.
    """
    issued_at = int(now.timestamp())
    alg = client.id_token_signed_response_alg
    content: dict[str, Any] = {
        "iss": provider.issuer,
        "sub": claims.subject(client, granted.user_id, provider.subject_key),
        "aud": client.client_id,
        "exp": issued_at + client.id_token_minutes * 60,
        "iat": issued_at,
        "auth_time": int(granted.auth_time.timestamp()),
        "acr": granted.acr,
        "amr": list(granted.amr),
        "sid": str(granted.session_id),
        "at_hash": at_hash(access_token, alg),
    }
    if granted.nonce is not None:
        content["nonce"] = granted.nonce
    content |= _added_claims(provider, client, granted, content["sub"])
    token = provider.keys.sign(content, alg=alg, typ=ID_TOKEN_TYP, now=now)
    return encryption.encrypt_as_id_token(token, provider.client_keys, client, now)


def _added_claims(provider: Provider, client: Client, granted: Granted, sub: str) -> dict[str, Any]:
    """The claims that scope and `claims` parameter add, as far as the client is still registered for them."""
    names = set(AllowedClaims.of(granted.claims, client).id_token)
    for scope in client.scopes.intersection(granted.scope.split()):
        names.update(claims.SCOPE_CLAIMS_IN_ID_TOKEN.get(scope, ()))
    added: dict[str, Any] = {}
    if names & claims.ACCOUNT_CLAIMS:
        person = people.find_person(granted.user_id)
        added |= claims.person_claims(person, names, sub=sub) if person else {}
    added |= find_number_claims(provider, client, granted.user_id, names, method=granted.method)
    if claims.AUTHN_PROVIDER in names and granted.method is not None:
        added[claims.AUTHN_PROVIDER] = granted.method
    method = provider.methods.get(granted.method or "")
    evidence = names.intersection(claims.EVIDENCE_CLAIMS)
    if (
        method is not None
        and method.event_claims is not None
        and granted.evidence_id is not None
        and evidence
    ):
        added |= method.event_claims(granted.evidence_id, evidence)
    return added


def find_number_claims(
    provider: Provider, client: Client, user_id: UUID, names: Collection[str], *, method: str | None
) -> dict[str, str]:
    """The claims among `names` that the account's personal number gives, after a login by `method`.

    Only a login that proves the number releases it, unless the client's entry says otherwise: a password
    alone must not tell who its person is to the state (Swedish claims specification §2.1). The number is read
    for these claims alone.
    """
    if provider.person_number is None or claims.CLAIMS_OF_A_NUMBER.isdisjoint(names):
        return {}
    login_method = provider.methods.get(method or "")
    is_proven = login_method is not None and login_method.proves_number
    if not is_proven and not client.number_after_any_login:
        return {}
    found = provider.person_number(user_id)
    return claims.number_claims(found, names) if found else {}


def at_hash(access_token: str, alg: str) -> str:
    """The left half of the access token's hash (OIDC Core §3.1.3.6); Ed25519 signatures hash with SHA-512."""
    make_digest = hashlib.sha512 if alg == "EdDSA" else hashlib.sha256
    digest = make_digest(access_token.encode()).digest()
    return base64url(digest[: len(digest) // 2])
