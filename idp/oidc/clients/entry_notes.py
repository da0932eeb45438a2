"""Notes on a refusal: the field of clients.yaml behind it, for the log and, on loopback, for developers.

A note goes with the exception, from where the entry is compared to where the refusal is logged. It never
holds a secret, a hash of one or a key.
"""

import json
from typing import TypeVar

from idp.oidc.clients.client import Client
from idp.oidc.clients.problems import quoted

Error = TypeVar("Error", bound=BaseException)
MAX_SHOWN = 300


def note(client: Client, field: str, received: object = None) -> str:
    """The field that would have to change, its value, and the received value."""
    sent = f", received {_shown(received)}" if received is not None else ""
    return f"clients.{client.client_id}.{field}: {_registered(client, field)}{sent}"


def about(error: Error, client: Client, field: str, received: object = None) -> Error:
    """The error, with a note of the field that would have to change."""
    error.add_note(note(client, field, received))
    return error


def about_keys(error: Error, client: Client) -> Error:
    """The error, with a note of the field that the client's keys come from."""
    return about(error, client, "jwks_uri" if client.jwks_uri else "jwks")


def carry(old: BaseException, new: Error) -> Error:
    """The error `new`, with the notes of the error that it replaces."""
    for note in getattr(old, "__notes__", ()):
        new.add_note(note)
    return new


def of(error: BaseException) -> str | None:
    """The error's notes, None where the entry has nothing to do with it."""
    return "; ".join(getattr(error, "__notes__", ())) or None


def _registered(client: Client, field: str) -> str:
    value = getattr(client, field)
    if field == "client_secrets":
        ends = [str(secret.not_after.date()) for secret in value if secret.not_after]
        return f"{len(value)} registered" + (f", not_after {', '.join(ends)}" if ends else "")
    if field == "jwks":
        return f"kids {_shown([key.kid for key in value.keys] if value else [])}"
    return _shown(value)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return quoted(text, MAX_SHOWN)[1:-1]
