"""The client that waits for a login or a logout, as pages name it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from idp import i18n
from idp.errors import IdpError
from idp.extensions import Slot


@dataclass(frozen=True)
class WaitingClient:
    """Who waits for a login, as the pages name it; `restart_url` begins a new login there.

    `terms` holds, by login method, what it demands of that method's logins, in the method's own type.
    """

    name: str
    restart_url: str | None
    terms: Mapping[str, Any] = field(default_factory=dict)


DESCRIBE_CLIENT: Slot[Callable[[str, str], WaitingClient | None]] = Slot("describe_client")


class ClientGone(IdpError):
    code = "unknown_client"
    status = 400


def describe_client(client_id: str | None) -> WaitingClient | None:
    """Who waits, by the describer that `create_app` put in; raises `ClientGone` for a removed client."""
    if client_id is None:
        return None
    client = DESCRIBE_CLIENT.current()(client_id, i18n.current_language())
    if client is None:
        raise ClientGone(f"client {client_id!r} is no longer in the clients file")
    return client
