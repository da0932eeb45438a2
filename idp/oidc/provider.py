"""What every endpoint needs beside the request, put together once in `create_app`."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from idp.oidc.clients.keys import ClientKeys
from idp.oidc.clients.registry import ClientRegistry
from idp.oidc.keys.ring import KeyRing
from idp.ratelimit import RateLimiter
from idp.users.personal_number import PersonalNumber


@dataclass(frozen=True)
class Provider:
    """What issuing tokens needs beside the request.

    `person_number` tells an account's personal number, None where none are kept. `event_claims` tells, by
    login method, what its evidence of a login says: from the login's reference and the claims wanted.
    `refresh_idle` is how long a refresh token may lie unused after a login by a method, where that is
    shorter than usual; `successor_key` makes the refresh token that follows another, `nonce_key` the nonces
    of DPoP proofs.
    """

    issuer: str
    clients: ClientRegistry
    keys: KeyRing
    limiter: RateLimiter
    client_keys: ClientKeys
    subject_key: bytes
    successor_key: bytes
    nonce_key: bytes
    person_number: Callable[[UUID], PersonalNumber | None] | None = None
    refresh_idle: Mapping[str, timedelta] = field(default_factory=dict)
    event_claims: Mapping[str, Callable[[str, Collection[str]], dict[str, Any]]] = field(default_factory=dict)
