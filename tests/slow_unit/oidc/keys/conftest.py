"""An RSA key and an EC key, and a folder that holds both."""

from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from tests.slow_unit.oidc.keys.key_folder import put


@pytest.fixture(scope="module")
def rsa_jwk() -> dict[str, Any]:
    return dict(RSAKey.generate_key(2048).as_dict(private=True))


@pytest.fixture(scope="module")
def ec_jwk() -> dict[str, Any]:
    return dict(ECKey.generate_key("P-256").as_dict(private=True))


@pytest.fixture
def folder(tmp_path: Path, rsa_jwk: dict[str, Any], ec_jwk: dict[str, Any]) -> Path:
    """An RS256 key that stays, an ES256 key to play with."""
    put(tmp_path, "rsa", rsa_jwk)
    put(tmp_path, "ec", ec_jwk, alg="ES256")
    return tmp_path
