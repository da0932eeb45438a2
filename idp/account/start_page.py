"""Where somebody who has logged in without a relying app waiting is taken."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from idp.oidc.clients.client import Client


def offered(clients: Mapping[str, Client], *, company: str) -> dict[str, Client]:
    """The relying apps that a person of this company may begin at, by client_id."""
    return {client_id: client for client_id, client in clients.items() if _may_begin(client, company)}


def address(client: Client | None, *, company: str, issuer: str) -> str | None:
    """Where the app begins a login by itself (OIDC Core §4): it gets our `iss`, and no `login_hint`.

    None: there is no such app, or none for this company, any more.
    """
    if client is None or client.initiate_login_uri is None or not _may_begin(client, company):
        return None
    parts = urlsplit(client.initiate_login_uri)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), ("iss", issuer)])
    return urlunsplit(parts._replace(query=query))


def _may_begin(client: Client, company: str) -> bool:
    return client.initiate_login_uri is not None and (client.companies is None or company in client.companies)
