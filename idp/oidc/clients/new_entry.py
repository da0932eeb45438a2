"""A new entry for clients.yaml, as text with comments. The file's reader checks what it holds."""

import json
import re
from collections.abc import Sequence
from typing import get_args

from idp.oidc.clients.field_types import AuthMethod

KINDS = ("web", "native", "spa")
"""An app with a server, one on a phone or computer, one that runs in the browser alone."""

AUTH_METHODS: tuple[str, ...] = get_args(AuthMethod)
WITH_SECRET = ("client_secret_basic", "client_secret_post")

_PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_NO_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})  # to YAML 1.1


def usual_method(kind: str) -> str:
    """The authentication method of an app of this kind: only one with a server can keep a secret."""
    return "client_secret_basic" if kind == "web" else "none"


def write(
    client_id: str,
    *,
    name: str,
    kind: str,
    auth: str,
    redirect_uris: Sequence[str],
    post_logout_redirect_uris: Sequence[str],
    jwks_uri: str | None,
    scope: str,
    secret_hash: str | None,
) -> str:
    """The entry's lines, indented to stand below `clients:`."""
    plain = _PLAIN_KEY.fullmatch(client_id) and client_id.lower() not in _NO_TEXT
    lines = [f"client_name: {_quoted(name)}"]
    if kind == "native":
        lines.append("application_type: native  # a loopback redirect may vary in its port")
    lines += ["redirect_uris:  # compared byte for byte", *_listed(redirect_uris)]
    if post_logout_redirect_uris:
        lines += [
            "post_logout_redirect_uris:  # where people may land after logging out",
            *_listed(post_logout_redirect_uris),
        ]
    else:
        lines.append("# post_logout_redirect_uris: []  # where people may land after logging out")
    lines.append(f"token_endpoint_auth_method: {auth}")
    if secret_hash:
        lines += [
            "client_secrets:  # only the SHA-256; the app has the secret",
            f"  - sha256: {secret_hash}",
        ]
    if jwks_uri:
        lines.append(f"jwks_uri: {_quoted(jwks_uri)}  # the app's public keys")
    if "offline_access" in scope.split():
        lines.append("grant_types: [authorization_code, refresh_token]  # for offline_access")
    lines += [
        f"scope: {_quoted(scope)}  # the scopes that the app may ask for",
        "# login_methods: [bankid]  # left out: every method",
        "# consent: explicit  # left out: a first-party app, nobody is asked",
    ]
    key = client_id if plain else _quoted(client_id)
    return "".join([f"  {key}:\n", *(f"    {line}\n" for line in lines)])


def _listed(values: Sequence[str]) -> list[str]:
    return [f"  - {_quoted(value)}" for value in values]


def _quoted(value: str) -> str:
    """A JSON string, which YAML reads as the same text."""
    return json.dumps(value, ensure_ascii=False)
