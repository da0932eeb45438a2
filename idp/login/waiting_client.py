"""The client that waits for a login or a logout, as pages name it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from idp import i18n
from idp.errors import IdpError
from idp.extensions import Slot


@dataclass(frozen=True)
class WaitingClient:
    """The client as pages name it; `restart_url` begins a new login there.

    `terms` has, by login method, the client's demands on that method's logins, in the method's own type.
    """

    name: str
    restart_url: str | None
    terms: Mapping[str, Any] = field(default_factory=dict)


DESCRIBE_CLIENT: Slot[Callable[[str, str], WaitingClient | None]] = Slot("describe_client")


class ClientGone(IdpError):
    code = "unknown_client"
    status = 400


def describe_client(client_id: str | None) -> WaitingClient | None:
    """The client with this id, None without one. Raises `ClientGone` for one that was removed."""
    if client_id is None:
        return None
    client = DESCRIBE_CLIENT.current()(client_id, i18n.current_language())
    if client is None:
        raise ClientGone(f"client {client_id!r} is no longer in the clients file")
    return client
