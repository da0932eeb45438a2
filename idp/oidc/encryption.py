"""Encryption to clients: ID tokens and userinfo answers in compact JWE (RFC 7516, OIDC Core §10.2)."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

from authlib.oauth2.base import OAuth2Error
from joserfc import jwe

from idp.oidc.authentication.client_auth import ClientKeysUnavailable
from idp.oidc.clients import entry_notes
from idp.oidc.clients.client import Client
from idp.oidc.clients.field_types import ContentEncryption, KeyEncryption
from idp.oidc.clients.jwks import ClientKey
from idp.oidc.clients.keys import ClientKeys, KeysUnavailable

KEY_ALGS: tuple[str, ...] = get_args(KeyEncryption)
CONTENT_ENCS: tuple[str, ...] = get_args(ContentEncryption)


class NoKey(OAuth2Error):  # type: ignore[misc]
    """The client asked for encryption, and none of its keys can be encrypted to: 400 (RFC 7591 §3.2.2)."""

    error = "invalid_client_metadata"  # RFC 7591 §3.2.2


def find_recipient_key(keys: ClientKeys, client: Client, alg: str, now: datetime) -> ClientKey:
    """The client's key to encrypt to by `alg` (OIDC Core §10.2).

    Raises `NoKey` and `ClientKeysUnavailable`.
    """
    try:
        suited = [key for key in keys.keys_of(client, None, now) if key.encrypts(alg)]
    except KeysUnavailable:
        raise ClientKeysUnavailable from None
    if not suited:
        raise entry_notes.about_keys(NoKey(f"none of the client's keys suits {alg}"), client)
    # A key for encryption alone goes before one that also signs; among equals the first in the set.
    return min(suited, key=lambda key: len(key.uses))


def encrypt_token(token: str, key: ClientKey, alg: str, enc: str) -> str:
    """A signed JWT, encrypted to the client's key (RFC 7519 §5.2: `cty` says that a JWT is inside)."""
    return _encrypt(token.encode(), key, {"alg": alg, "enc": enc, "cty": "JWT"})


def encrypt_claims(content: Mapping[str, Any], key: ClientKey, alg: str, enc: str) -> str:
    """Unsigned claims, encrypted to the client's key (OIDC Core §5.3.2, RFC 7516 §5.1)."""
    return _encrypt(json.dumps(content).encode(), key, {"alg": alg, "enc": enc, "typ": "JWT"})


def find_id_token_key(keys: ClientKeys, client: Client, now: datetime) -> ClientKey | None:
    """The key that the client's ID tokens are encrypted to (OIDC Core §10.2), None where they are not.

    Raises as `find_recipient_key`.
    """
    alg = client.id_token_encrypted_response_alg
    return find_recipient_key(keys, client, alg, now) if alg else None


def encrypt_as_id_token(token: str, keys: ClientKeys, client: Client, now: datetime) -> str:
    """A signed JWT in the form of the client's ID tokens: encrypted or unchanged (OIDC Core §10.2).

    Raises as `find_recipient_key`.
    """
    key = find_id_token_key(keys, client, now)
    alg, enc = client.id_token_encrypted_response_alg, client.id_token_encrypted_response_enc
    return encrypt_token(token, key, alg, enc) if key and alg else token


def _encrypt(content: bytes, key: ClientKey, header: dict[str, str]) -> str:
    if key.kid is not None:
        header["kid"] = key.kid
    algorithms: Sequence[str] = (header["alg"], header["enc"])
    return jwe.encrypt_compact(header, content, key.key, algorithms=algorithms)
