"""A relying app's encryption keys, and how it opens what was encrypted to them."""

from typing import Any

from joserfc import jwe
from joserfc.jwk import ECKey, RSAKey

KEYS: dict[str, Any] = {
    "RSA": RSAKey.generate_key(2048, {"kid": "enc-rsa", "use": "enc"}),
    "P-256": ECKey.generate_key("P-256", {"kid": "enc-p256", "use": "enc"}),
}
JWKS = {"keys": [key.as_dict(private=False) for key in KEYS.values()]}
ALGS = {"RSA-OAEP": "RSA", "RSA-OAEP-256": "RSA", "ECDH-ES": "P-256", "ECDH-ES+A256KW": "P-256"}
ENCS = ("A128CBC-HS256", "A128GCM", "A256GCM")


def opened(token: str, alg: str, enc: str) -> tuple[dict[str, Any], str]:
    """Header and content of a compact JWE that must be of exactly these algorithms."""
    found = jwe.decrypt_compact(token, KEYS[ALGS[alg]], algorithms=[alg, enc])
    header = found.headers()
    assert (header["alg"], header["enc"]) == (alg, enc)
    assert found.plaintext is not None
    return header, found.plaintext.decode()
