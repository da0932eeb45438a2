"""This server's context of a request: its clients, keys, accounts and pushed requests."""

from datetime import datetime
from typing import Any
from uuid import UUID

from idp.clock import utcnow
from idp.login import methods, sessions
from idp.oidc import metadata, people
from idp.oidc.authorization import par, request_object
from idp.oidc.authorization.authorize import Pushed, RequestContext
from idp.oidc.authorization.requested_login import UUID_TEXT, Hint
from idp.oidc.blueprint import provider
from idp.oidc.clients.client import Client


def request_context(now: datetime) -> RequestContext:
    """The context that a request received `now` is checked in (OIDC Core §3.1.2.2)."""
    return RequestContext(
        find_client=provider().clients.get,
        acrs={method.name: method.acr for method in methods.switched_on()},
        read_hint=_read_hint,
        open_request=_open_request,
        find_pushed=_find_pushed,
        now=now,
    )


def _read_hint(token: str, client: Client) -> Hint:
    """The person of an ID token of ours that was issued to this client; its age does not matter.

    A pairwise subject does not name an account; its session does, as long as it is remembered.
    """
    found = verify_id_token(token)
    if found.get("iss") != provider().issuer or found.get("aud") != client.client_id:
        raise ValueError("another issuer or audience")
    subject = str(found["sub"])
    user_id = UUID(subject) if UUID_TEXT.fullmatch(subject) else sessions.user_of_session(str(found["sid"]))
    return Hint(subject, user_id, active=user_id is None or people.find_person(user_id) is not None)


def _find_pushed(request_uri: str, client: Client) -> Pushed:
    return par.find(request_uri, client.client_id, now=utcnow())


def _open_request(text: str, client: Client) -> dict[str, str]:
    return request_object.read(
        text,
        client=client,
        decrypt=provider().keys.decrypt,
        verify=lambda found: provider().client_keys.verify(client, found, utcnow()),
        audiences=(provider().issuer, provider().issuer + metadata.ENDPOINTS["authorization_endpoint"]),
        now=utcnow(),
    )


def verify_id_token(token: str) -> dict[str, Any]:
    """The claims of an ID token of ours, however old (OIDC Core §3.1.2.1, RP-Initiated Logout 1.0 §2).

    Raises `ValueError` for anything else.
    """
    found = provider().keys.verify_hint(token)
    if "sid" not in found:
        raise ValueError("is a signed userinfo answer")
    return found
