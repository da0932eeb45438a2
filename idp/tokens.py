"""Random values and the hashes they are stored as."""

import hashlib
import secrets
from base64 import urlsafe_b64encode

TOKEN_BYTES = 32


def new_token() -> str:
    """A 256-bit random value in 43 characters of base64url: codes, tokens, handles, interaction ids."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def new_hex_token() -> str:
    """A 256-bit random value in 64 hex digits, which no mail program breaks or decorates: mailed links."""
    return secrets.token_hex(TOKEN_BYTES)


def sha256_hex(value: str) -> str:
    """The form in which a random value is stored: 64 hex digits.

    A plain hash is enough because the value itself holds 256 random bits; never use it for a
    password or a personal number.
    """
    return hashlib.sha256(value.encode()).hexdigest()


def s256_challenge(verifier: str) -> str:
    """The PKCE code challenge of a verifier (RFC 7636 §4.2, method S256)."""
    return base64url(hashlib.sha256(verifier.encode()).digest())


def base64url(data: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()
