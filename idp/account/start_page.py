"""The page that a direct login leads to."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from idp.oidc.clients.client import Client


def offered(clients: Mapping[str, Client], *, company: str) -> dict[str, Client]:
    """The relying apps that a person of this company may begin at, by client_id."""
    return {client_id: client for client_id, client in clients.items() if _may_begin(client, company)}


def address(client: Client | None, *, company: str, issuer: str) -> str | None:
    """The address where the app begins a login (OIDC Core §4), with our `iss` and without `login_hint`.

    None: the app was removed, or is not for this company any more.
    """
    if client is None or client.initiate_login_uri is None or not _may_begin(client, company):
        return None
    parts = urlsplit(client.initiate_login_uri)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), ("iss", issuer)])
    return urlunsplit(parts._replace(query=query))


def _may_begin(client: Client, company: str) -> bool:
    return client.initiate_login_uri is not None and (client.companies is None or company in client.companies)
