"""A valid clients.yaml, and changes of it."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from idp.config import ConfigError
from idp.oidc.clients.client import Client
from idp.oidc.clients.registry import load_clients

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECRET = "kUbV6Yt0r3o-XxM1cN8sQeJ5aZpLw2dG7hTfRiB4uEy"
HASH = hashlib.sha256(SECRET.encode()).hexdigest()
VALID = f"""\
version: 1
defaults:
  login_methods: [bankid, password]
clients:
  reports:
    client_name: Rapporter
    redirect_uris: [https://rapporter.example.se/cb]
    scope: openid email
    client_secrets:
      - {{sha256: {HASH}, not_after: 2027-06-30}}
  phone:
    client_name#en: Phone app
    application_type: native
    token_endpoint_auth_method: none
    redirect_uris: [com.example.app:/cb, "http://127.0.0.1/cb"]
"""


def load(tmp_path: Path, text: str | bytes = VALID) -> dict[str, Client]:
    path = tmp_path / "clients.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_clients(
        path,
        login_methods=("bankid", "password"),
        signing_algs=["RS256", "ES256"],
        bankid_certificates=["customer"],
    )


def problems(tmp_path: Path, text: str | bytes) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    return caught.value.problems


def changed(old: str, new: str) -> str:
    assert VALID.count(old) == 1
    return VALID.replace(old, new)


def with_field(line: str) -> str:
    """The valid file with one more line in the client `reports`: line 9, column 5."""
    return changed("    client_secrets:", f"    {line}\n    client_secrets:")


def with_redirect(uri: str, client: str = "reports") -> str:
    old = "https://rapporter.example.se/cb" if client == "reports" else "com.example.app:/cb"
    return changed(old, f"'{uri}'")
