"""Folders of key files as tests write and read them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from joserfc.util import urlsafe_b64decode

from idp.oidc.keys import files as key_files
from idp.oidc.keys.ring import KeyRing
from idp.oidc.keys.rotation import PUBLISHED_SECONDS

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(seconds=PUBLISHED_SECONDS)
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
Change = Callable[[dict[str, Any]], object]


def put(folder: Path, kid: str, jwk: dict[str, Any], **changes: Any) -> Path:
    """A key file, active and valid unless changed, written the way a careless editor would."""
    state = changes.get("state", "active")
    body = {
        "kid": kid,
        "alg": "RS256",
        "state": state,
        "created_at": NOW.isoformat(),
        "activated_at": None if state == "next" else NOW.isoformat(),
        "retired_at": NOW.isoformat() if state == "retired" else None,
        "private_jwk": jwk,
        **changes,
    }
    path = folder / f"{kid}.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(body))
    return path


def ring_of(folder: Path, now: datetime = NOW) -> KeyRing:
    return KeyRing(folder, clock=lambda: now, check_interval_seconds=0)


def header_of(token: str) -> dict[str, Any]:
    return dict(json.loads(urlsafe_b64decode(token.split(".", 1)[0].encode())))


def kids(ring: KeyRing) -> set[str]:
    return {key["kid"] for key in json.loads(ring.jwks())["keys"]}


def states(folder: Path, alg: str = "ES256") -> list[str]:
    return [key.state for key in key_files.list_keys(folder) if key.alg == alg]
