"""The values that every endpoint needs beside the request, made once in `create_app`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from idp.extensions import Slot
from idp.login.methods import LoginMethod
from idp.oidc.clients.keys import ClientKeys
from idp.oidc.clients.registry import ClientRegistry
from idp.oidc.keys.ring import KeyRing
from idp.ratelimit import RateLimiter
from idp.users.personal_number import PersonalNumber


@dataclass(frozen=True)
class Provider:
    """The issuer with its clients, keys and login methods.

    `methods` are the login methods by name, switched off or on. `person_number` returns an account's personal
    number; it is None where none are stored. `successor_key` makes the refresh token that follows another,
    `nonce_key` the nonces of DPoP proofs.
    """

    issuer: str
    clients: ClientRegistry
    keys: KeyRing
    limiter: RateLimiter
    client_keys: ClientKeys
    subject_key: bytes
    successor_key: bytes
    nonce_key: bytes
    methods: Mapping[str, LoginMethod]
    person_number: Callable[[UUID], PersonalNumber | None] | None = None


PROVIDER: Slot[Provider] = Slot("provider")
