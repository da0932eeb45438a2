"""What was paid for password hashes: counted in the libraries that compute them, not by the clock."""

from collections.abc import Callable
from typing import Any

import argon2
import bcrypt
import pytest


def count_hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A list that grows by `argon2` or `bcrypt` with every hash computed from now on."""
    computed: list[str] = []

    def counting(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            computed.append(kind)
            return function(*args, **kwargs)

        return counted

    monkeypatch.setattr(bcrypt, "hashpw", counting("bcrypt", bcrypt.hashpw))
    for name in ("hash_secret", "verify_secret"):
        monkeypatch.setattr(argon2.low_level, name, counting("argon2", getattr(argon2.low_level, name)))
    return computed
