"""RP-initiated logout: read the request and decide (RP-Initiated Logout 1.0). No I/O."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from idp.oidc.clients import entry_notes
from idp.oidc.clients.client import Client

PARAMETERS = (
    *("id_token_hint", "logout_hint", "client_id"),
    *("post_logout_redirect_uri", "state", "ui_locales"),
)
MAX_STATE = 2000


@dataclass(frozen=True)
class LogoutRequest:
    """The part of a logout request that holds (RP-Initiated Logout 1.0 §2).

    `session_id` and `subject` are the hint's, None without a hint of ours. `return_to` is None unless it is
    registered for the client.
    """

    client: Client | None
    session_id: UUID | None
    subject: str | None
    return_to: str | None
    problem: str | None  # for the log: the reason that return_to is None
    ui_locales: str | None = None
    entry: str | None = None  # for the log: the field of clients.yaml that would have to change

    def to_json(self) -> dict[str, Any]:
        """The request as JSON, to go with the browser to another address of ours: the caller signs it."""
        return {
            "client_id": self.client.client_id if self.client else None,
            "session_id": str(self.session_id) if self.session_id else None,
            "subject": self.subject,
            "return_to": self.return_to,
            "ui_locales": self.ui_locales,
        }

    @classmethod
    def from_json(
        cls, value: Mapping[str, Any], find_client: Callable[[str], Client | None]
    ) -> "LogoutRequest":
        """The request in the JSON; nothing of it holds any more when its client is gone."""
        client = find_client(value["client_id"]) if value["client_id"] else None
        if client is None:
            return cls(None, None, None, None, None, value["ui_locales"])
        session_id = UUID(value["session_id"]) if value["session_id"] else None
        return cls(client, session_id, value["subject"], value["return_to"], None, value["ui_locales"])


def parse(
    sent: Mapping[str, str],
    *,
    find_client: Callable[[str], Client | None],
    verify: Callable[[str], dict[str, Any]],
    issuer: str,
    repeated: Collection[str] = (),
) -> LogoutRequest:
    """The logout request in `sent` (RP-Initiated Logout 1.0 §2, §4).

    `verify` returns an ID token's claims, however old, or raises `ValueError`. `repeated` are parameters that
    came twice: then nothing in the request is believed (RFC 6749 §3.1).
    """
    if repeated:
        return LogoutRequest(None, None, None, None, f"{min(repeated)} is given more than once")
    claims: dict[str, Any] = {}
    problem = None
    if sent.get("id_token_hint"):
        try:
            claims = verify(sent["id_token_hint"])
        except ValueError:
            problem = "id_token_hint is not a token of ours"
        if claims and claims.get("iss") != issuer:
            claims, problem = {}, "id_token_hint is of another issuer"
    audience = str(claims.get("aud", ""))
    client_id = sent.get("client_id") or audience
    if audience and client_id != audience:
        claims, problem = {}, "client_id is not the audience of the id_token_hint"
    client = find_client(client_id) if client_id else None
    # With any problem, nobody is sent to a relying app (RP-Initiated Logout 1.0 §4).
    return_to, entry = None if problem else sent.get("post_logout_redirect_uri"), None
    if return_to and (client is None or return_to not in client.post_logout_redirect_uris):
        problem = "post_logout_redirect_uri is not among the client's post_logout_redirect_uris"
        if client is not None:
            entry = entry_notes.note(client, "post_logout_redirect_uris", return_to)
        return_to = None
    if return_to and sent.get("state"):
        separator = "&" if "?" in return_to else "?"
        return_to += separator + urlencode({"state": sent["state"][:MAX_STATE]})
    return LogoutRequest(
        client=client,
        session_id=_session_id(claims) if client else None,
        subject=str(claims["sub"]) if client and "sub" in claims else None,
        return_to=return_to or None,
        problem=problem,
        ui_locales=sent.get("ui_locales"),
        entry=entry,
    )


def _session_id(claims: Mapping[str, Any]) -> UUID | None:
    try:
        return UUID(str(claims.get("sid", "")))
    except ValueError:
        return None
