"""Logout pages of relying apps in frames of ours (Front-Channel Logout 1.0)."""

from urllib.parse import urlencode
from uuid import UUID

from idp.oidc import consents
from idp.oidc.clients.client import Client
from idp.oidc.provider import Provider


def frame_urls(provider: Provider, session_id: UUID) -> list[str]:
    """The pages to load in frames: one of each app that the session reached and that registered one.

    Front-Channel Logout 1.0 §3.
    """
    reached = map(provider.clients.get, consents.reached_clients([session_id])[session_id])
    return [
        frame_url(provider.issuer, client.frontchannel_logout_uri, client, session_id)
        for client in reached
        if client is not None and client.frontchannel_logout_uri is not None
    ]


def frame_url(issuer: str, uri: str, client: Client, session_id: UUID) -> str:
    """The client's logout page, with iss and sid if it registered for them (Front-Channel Logout 1.0 §2)."""
    if not client.frontchannel_logout_session_required:
        return uri
    separator = "&" if "?" in uri else "?"
    return uri + separator + urlencode({"iss": issuer, "sid": str(session_id)})
