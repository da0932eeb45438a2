"""Delivery of logout tokens to relying apps (Back-Channel Logout 1.0)."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

import structlog
from authlib.oauth2.base import OAuth2Error

from idp.clock import utcnow
from idp.oidc import claims, encryption
from idp.oidc.clients.client import Client
from idp.oidc.clients.keys import ClientKeys
from idp.oidc.clients.registry import ClientRegistry
from idp.oidc.keys.ring import KeyRing
from idp.oidc.logout import notices
from idp.oidc.logout.notices import Lease
from idp.outbound import Outbound, OutboundError
from idp.tokens import new_token

LOGOUT_TOKEN_TYP = "logout+jwt"  # noqa: S105 - Back-Channel Logout 1.0 §2.4
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
LIFETIME_SECONDS = 120
MAX_REFUSALS = 3

log = structlog.get_logger("idp.oidc")


class Undelivered(Exception):
    """The relying app has not taken the notice (Back-Channel Logout 1.0 §2.8); the text says why.

    `refused`: the app has answered that it never will.
    """

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


@dataclass(frozen=True)
class LogoutDelivery:
    """Delivers logout notices (Back-Channel Logout 1.0 §2.5); safe to share between threads."""

    issuer: str
    clients: ClientRegistry
    keys: KeyRing
    subject_key: bytes
    outbound: Outbound
    client_keys: ClientKeys

    def deliver_next(self) -> bool:
        """Try to deliver one notice that is due. False: no notice is due."""
        lease = notices.lease_next(now=utcnow())
        if lease is None:
            return False
        client = self.clients.get(lease.client_id)
        if client is None or client.backchannel_logout_uri is None:
            notices.remove(lease)
            return True
        try:
            self._post(client, client.backchannel_logout_uri, lease)
        except Undelivered as error:
            _defer_or_give_up(lease, error)
        else:
            notices.remove(lease)
            log.info("logout_notice_delivered", **_facts(lease))
        return True

    def logout_token(self, client: Client, lease: Lease, *, now: datetime) -> str:
        """The logout token for a client and an ended session (Back-Channel Logout 1.0 §2.4).

        Encrypted where the client's ID tokens are (§2.6). Raises `LookupError` when there is no key for the
        client's algorithm, and as `encryption.find_recipient_key` does.
        """
        content = {
            "iss": self.issuer,
            "aud": client.client_id,
            "sub": claims.subject(client, lease.user_id, self.subject_key),
            "sid": str(lease.session_id),
            "exp": int(now.timestamp()) + LIFETIME_SECONDS,
            "jti": new_token(),
            "events": {LOGOUT_EVENT: {}},
        }
        alg = client.id_token_signed_response_alg
        token = self.keys.sign(content, alg=alg, typ=LOGOUT_TOKEN_TYP, now=now)
        return encryption.encrypt_as_id_token(token, self.client_keys, client, now)

    def _post(self, client: Client, uri: str, lease: Lease) -> None:
        """Post the logout token (Back-Channel Logout 1.0 §2.5, §2.8). Raises `Undelivered`."""
        try:
            token = self.logout_token(client, lease, now=utcnow())
            answer = self.outbound.request(
                "POST",
                uri,
                headers={"Content-Type": "application/x-www-form-urlencoded"},
                body=urlencode({"logout_token": token}).encode(),
            )
        except OAuth2Error as error:
            raise Undelivered(error.description) from None
        except (LookupError, OutboundError) as error:
            raise Undelivered(str(error)) from None
        if answer.status not in (200, 204):
            raise Undelivered(f"the answer is {answer.status}", refused=answer.status == 400)


def _defer_or_give_up(lease: Lease, error: Undelivered) -> None:
    """Try again later, or give up: sooner when the app refuses than when it does not answer."""
    final = error.refused and lease.attempt >= MAX_REFUSALS
    again = None if final else notices.retry_later(lease, now=utcnow())
    if again is not None:
        log.warning("logout_notice_deferred", reason=str(error), again=again.isoformat(), **_facts(lease))
        return
    ended = notices.give_up(lease, str(error), now=utcnow())
    log.error("logout_notice_given_up", reason=str(error), notices=ended, **_facts(lease))


def _facts(lease: Lease) -> dict[str, str | int]:
    return {"notice": str(lease.id), "client_id": lease.client_id, "attempt": lease.attempt}
