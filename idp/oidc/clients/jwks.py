"""A client's public keys as a JWK Set (RFC 7517): those that can verify, and those to encrypt to."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.util import urlsafe_b64decode

KINDS: Mapping[str, str] = {
    "RS256": "RSA",
    "RS384": "RSA",
    "RS512": "RSA",
    "PS256": "RSA",
    "ES256": "P-256",
    "ES384": "P-384",
    "EdDSA": "Ed25519",
}
"""Signature algorithms of clients, and the kind of key that each needs."""

ENCRYPTION_KINDS: Mapping[str, tuple[str, ...]] = {
    "RSA-OAEP": ("RSA",),
    "RSA-OAEP-256": ("RSA",),
    "ECDH-ES": ("P-256", "P-384"),
    "ECDH-ES+A256KW": ("P-256", "P-384"),
}
"""Key management algorithms (RFC 7518 §4) for encryption to clients, and the kinds of key for each."""

PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
RSA_BITS = range(2048, 8193)
MAX_RSA_EXPONENT = 2**32
MAX_KID_LENGTH = 200

# Values of key_ops, any one of which allows a public key for the use (RFC 7517 §4.3).
_OPERATIONS = {"sig": {"verify"}, "enc": {"encrypt", "wrapKey", "deriveKey", "deriveBits"}}

Place = tuple[int | str, ...]


@dataclass(frozen=True)
class ClientKey:
    """A public key (RFC 7517 §4) of one kind: RSA, P-256, P-384 or Ed25519. `uses` are sig, enc or both."""

    kind: str
    kid: str | None
    alg: str | None
    uses: frozenset[str]
    key: Any = field(repr=False)

    def suits(self, alg: str) -> bool:
        """Whether signatures of this algorithm may be verified with the key."""
        return "sig" in self.uses and KINDS.get(alg) == self.kind and self.alg in (None, alg)

    def encrypts(self, alg: str) -> bool:
        """Whether content may be encrypted to the key by this algorithm."""
        fits = self.kind in ENCRYPTION_KINDS.get(alg, ())
        return "enc" in self.uses and fits and self.alg in (None, alg)


@dataclass(frozen=True)
class JwkSet:
    """The public keys of a client (RFC 7517 §5)."""

    keys: tuple[ClientKey, ...]


class _Unfit(ValueError):
    """A key cannot be used: the reason, and the member that is to blame."""

    def __init__(self, message: str, *place: str) -> None:
        super().__init__(message)
        self.place = place


def read_set(value: object) -> tuple[JwkSet, list[tuple[Place, str]]]:
    """The usable keys of a JWK Set (RFC 7517 §5), and the problems of the others: place and words.

    Raises `ValueError` for what is not a JWK Set at all.
    """
    if not isinstance(value, dict) or not isinstance(value.get("keys"), list):
        raise ValueError(
            'must be a JWK Set, such as {keys: [{kty: EC, crv: P-256, x: "…", y: "…", kid: "…"}]}'
        )
    keys: list[ClientKey] = []
    problems: list[tuple[Place, str]] = []
    for i, jwk in enumerate(value["keys"]):
        try:
            keys.append(read_key(jwk))
        except _Unfit as unfit:
            problems.append((("keys", i, *unfit.place), str(unfit)))
    return JwkSet(tuple(keys)), problems


def read_registered(value: object) -> tuple[JwkSet, list[tuple[Place, str]]]:
    """As `read_set`, for an operator's file: each key must be usable and have its own kid (RFC 7517 §4.5)."""
    found, problems = read_set(value)
    kids = [key.kid for key in found.keys]
    if not problems and not kids:
        problems.append((("keys",), "must not be empty"))
    if not problems and len(kids) > 1 and None in kids:
        problems.append((("keys", kids.index(None)), "needs a kid: there are several keys"))
    if not problems:
        problems += [
            (("keys", i, "kid"), "is also the kid of another key")
            for i, kid in enumerate(kids)
            if kid in kids[:i]
        ]
    return found, problems


def read_fetched(data: bytes) -> JwkSet:
    """The usable keys of a JWK Set in JSON; others are left out (RFC 7517 §5). Raises `ValueError`."""
    try:
        found, _ = read_set(json.loads(data))
    except (ValueError, RecursionError):
        raise ValueError("the answer is not a JWK Set") from None
    return found


def read_key(jwk: object) -> ClientKey:
    """A usable public key (RFC 7517 §4). Raises `ValueError` with the reason when it is not one."""
    if not isinstance(jwk, dict):
        raise _Unfit("must be a mapping")
    for member in jwk:
        if member in PRIVATE_MEMBERS:
            raise _Unfit(
                "is part of a private key, which is the app's alone: make a new key pair", str(member)
            )
    members = {name: _text(jwk, name) for name in ("kty", "kid", "use", "alg", "n", "e", "crv", "x", "y")}
    kind, key = _import(members)
    uses = _uses(jwk, members["use"])
    algs = [alg for alg, needed in KINDS.items() if needed == kind and "sig" in uses]
    algs += [alg for alg, kinds in ENCRYPTION_KINDS.items() if kind in kinds and "enc" in uses]
    if not algs:
        raise _Unfit("must be sig for this key", "use")
    if members["alg"] not in (None, *algs):
        raise _Unfit(f"must be {' or '.join(algs)} for this key", "alg")
    kid = members["kid"]
    if kid is not None and not 0 < len(kid) <= MAX_KID_LENGTH:
        raise _Unfit(f"must have 1 to {MAX_KID_LENGTH} characters", "kid")
    return ClientKey(kind, kid, members["alg"], uses, key)


def _uses(jwk: Mapping[str, object], use: str | None) -> frozenset[str]:
    """The uses of the key by `use` and `key_ops`, which must not contradict each other (RFC 7517 §4.3)."""
    if use not in (None, "sig", "enc"):
        raise _Unfit("must be sig or enc", "use")
    uses = {use} if use else set(_OPERATIONS)
    if "key_ops" in jwk:
        given = jwk["key_ops"] if isinstance(jwk["key_ops"], list) else []
        uses = {name for name in uses if any(operation in given for operation in _OPERATIONS[name])}
        if not uses:
            raise _Unfit("must contain verify, or for encryption wrapKey or deriveKey", "key_ops")
    return frozenset(uses)


def _text(jwk: Mapping[str, object], name: str) -> str | None:
    value = jwk.get(name)
    if name in jwk and not isinstance(value, str):
        raise _Unfit("must be text: quote it", name)
    return value if isinstance(value, str) else None


def _import(members: Mapping[str, str | None]) -> tuple[str, Any]:
    """The kind of the key, and the key. Raises `_Unfit`."""
    if members["kty"] == "RSA":
        return "RSA", _imported(RSAKey, _checked_rsa(members), "kty", "n", "e")
    if members["kty"] == "EC":
        if members["crv"] not in ("P-256", "P-384"):
            raise _Unfit("must be P-256 or P-384", "crv")
        return members["crv"], _imported(ECKey, members, "kty", "crv", "x", "y")
    if members["kty"] == "OKP":
        if members["crv"] != "Ed25519":
            raise _Unfit("must be Ed25519", "crv")
        return members["crv"], _imported(OKPKey, members, "kty", "crv", "x")
    raise _Unfit("must be RSA, EC or OKP", "kty")


def _checked_rsa(members: Mapping[str, str | None]) -> Mapping[str, str | None]:
    try:
        modulus, exponent = (
            int.from_bytes(urlsafe_b64decode((members[name] or "").encode("ascii"))) for name in ("n", "e")
        )
    except ValueError:
        raise _Unfit("is not an RSA key: n and e must be base64url") from None
    if modulus.bit_length() not in RSA_BITS:
        raise _Unfit(f"has {modulus.bit_length()} bits: RSA needs 2048 to 8192", "n")
    if not 3 <= exponent < MAX_RSA_EXPONENT or exponent % 2 == 0:
        raise _Unfit("is not a valid exponent of an RSA key", "e")
    return members


def _imported(
    make: type[RSAKey] | type[ECKey] | type[OKPKey], members: Mapping[str, str | None], *names: str
) -> Any:
    given = {name: members[name] for name in names}
    if None in given.values():
        raise _Unfit(f"is incomplete: it needs {', '.join(names)}")
    try:
        return make.import_key(given)  # type: ignore[arg-type]
    except (ValueError, JoseError):
        raise _Unfit("is not a valid key: its numbers do not fit together") from None
