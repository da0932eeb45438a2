"""How our keys come and go: what operators do to the folder while providers read it.

A key is *next* (published, not used), *active* (signs), *retired* (published until every token it signed
is past), then gone. Nothing coordinates readers and the writer, so the writer replaces one whole file at
a time in an order that leaves a usable set at every instant: the new next, then the promoted active, then
the old one. Between the last two an algorithm has two active keys; readers let the one with the newest
`activated_at` sign and treat the others as retired.
"""

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from joserfc.jwk import ECKey, OKPKey, RSAKey

from idp.oidc.keys import files as key_files
from idp.oidc.keys.files import ALGS, RETENTION, RSA_BITS, Alg, PrivateKey, ProviderKey
from idp.oidc.keys.ring import JWKS_MAX_AGE_SECONDS, REQUIRED_ALG
from idp.tokens import new_token, sha256_hex

# Before a next key may sign, every copy of /jwks at a relying app must hold it: after the time that an app
# may keep a copy, and some more for the way from the key's file to the app (other machines, their copies of
# the folder, clocks that differ).
PUBLISHED_SECONDS = JWKS_MAX_AGE_SECONDS + 120


class RotationRefused(Exception):
    """The folder is as it was; the message says what `force` would risk."""


def rotate(directory: Path, *, alg: str = REQUIRED_ALG, now: datetime, force: bool = False) -> list[str]:
    """Let the next key sign, the active one retire and a new next wait; returns a line for each step.

    Where nothing signs yet (an empty or missing folder too) it makes an active and a next key. Keys of any
    alg whose tokens have all expired are removed (OIDC Core §10.1.1). Raises `RotationRefused` when relying
    apps may not have fetched the next key yet, unless forced; `ConfigError` with every problem of the folder;
    `ValueError` for an unknown alg.
    """
    known_alg = _known(alg)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with key_files.locked(directory):
        keys = key_files.read(directory, {})[1]
        active = [key for key in keys if key.alg == alg and key.state == "active"]
        waiting = _waiting(keys, known_alg)
        if active and not force:
            if not waiting:
                return [
                    _write_next(directory, known_alg, now),
                    f"nothing else changed: no next {alg} key had been published; rotate again in "
                    f"{PUBLISHED_SECONDS} seconds",
                ]
            _refuse_if_young(waiting[0], now)
        lines = _promote(directory, waiting, known_alg, now)
        for key in active:
            key_files.write(directory, replace(key, state="retired", retired_at=now))
            lines.append(f"{key.kid}: retired, published until {_moment(now + RETENTION)}")
        for key in keys:
            if key.is_past(now):
                if key.signs:
                    key_files.remember_past(directory, key)
                key_files.remove(directory, key)
                lines.append(f"{key.kid}: removed, every token it signed is past")
        return lines


def retire(directory: Path, kid: str, *, now: datetime, force: bool = False) -> list[str]:
    """Take a key out of service at once and remove its file; returns a line for each step.

    What an active key signed stops being accepted, and the next key signs. Raises `RotationRefused` where
    that harms tokens that may still live and `force` is not given, `LookupError` for an unknown kid,
    `ConfigError` with every problem of the folder.
    """
    if not directory.is_dir():
        raise key_files.no_folder(directory)
    with key_files.locked(directory):
        keys = key_files.list_keys(directory)
        key = next((key for key in keys if key.kid == kid), None)
        if key is None:
            raise LookupError(f"{directory} has no key {kid}")
        if key.state != "next" and not key.is_past(now) and not force:
            raise RotationRefused(
                f"{kid}: tokens it signed may still be in use; force makes them invalid at once"
            )
        lines = []
        if key.state == "active":
            lines += _promote(directory, _waiting(keys, key.alg), key.alg, now)
        elif key.state == "next" and len(_waiting(keys, key.alg)) == 1:
            lines.append(_write_next(directory, key.alg, now))
        key_files.remove(directory, key)
        return [
            *lines,
            f"{kid}: removed; relying apps may keep accepting it for {JWKS_MAX_AGE_SECONDS} seconds",
        ]


# Making and moving keys; the caller holds the folder's lock


def _known(alg: str) -> Alg:
    for known in ALGS:
        if known == alg:
            return known
    raise ValueError(f"{alg} is not one of {', '.join(ALGS)}")


def _new_key(alg: Alg, now: datetime) -> ProviderKey:
    kid = f"{now:%Y%m%d}-{sha256_hex(new_token())[:8]}"
    began = time.monotonic()
    key: PrivateKey
    if alg == "ES256":
        key = ECKey.generate_key("P-256")
    elif alg == "EdDSA":
        key = OKPKey.generate_key("Ed25519")
    else:
        key = RSAKey.generate_key(RSA_BITS)
    # An RSA key can take seconds to make, and cannot be published before: its age begins afterwards.
    made_at = now + timedelta(seconds=int(time.monotonic() - began))
    return ProviderKey(kid, alg, "next", made_at, None, None, key)


def _waiting(keys: Iterable[ProviderKey], alg: Alg) -> list[ProviderKey]:
    """The next keys, the longest published first: two of them after an interrupted rotation."""
    return sorted(
        (key for key in keys if key.alg == alg and key.state == "next"), key=lambda key: key.created_at
    )


def _refuse_if_young(key: ProviderKey, now: datetime) -> None:
    ready_at = key.created_at + timedelta(seconds=PUBLISHED_SECONDS)
    if now < ready_at:
        raise RotationRefused(
            f"{key.kid}: published less than {PUBLISHED_SECONDS} seconds ago, so relying apps may not "
            f"know it yet; wait until {_moment(ready_at)}"
        )


def _promote(directory: Path, waiting: list[ProviderKey], alg: Alg, now: datetime) -> list[str]:
    """Let the longest published next key sign, once another waits behind it."""
    chosen = waiting[0] if waiting else _new_key(alg, now)
    lines = [] if len(waiting) > 1 else [_write_next(directory, alg, now)]
    key_files.write(directory, replace(chosen, state="active", activated_at=now))
    task = "signs" if chosen.signs else "decrypts"
    return [f"{chosen.kid}: active, {task} {alg}", *lines]


def _write_next(directory: Path, alg: Alg, now: datetime) -> str:
    key = _new_key(alg, now)
    key_files.write(directory, key)
    return f"{key.kid}: next, published for {alg}"


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S %Z}"
