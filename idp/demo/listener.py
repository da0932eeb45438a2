"""The portal's back-channel logout endpoint: checks the logout tokens that the provider posts."""

import time
from collections.abc import Mapping
from typing import Any, cast

from flask import Blueprint, Response, abort, current_app, request
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet

from idp.demo.sessions import MemorySessions

LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
ALGS = ["RS256"]  # what an entry without id_token_signed_response_alg gets
CLOCK_SECONDS = 60

blueprint = Blueprint("listener", __name__)


@blueprint.post("/backchannel-logout", defaults={"key": "portal"})
@blueprint.post("/backchannel-logout/<any(consent, spa):key>")
def receive_logout_token(key: str) -> Response:
    """End the login here whose session has ended at the provider (Back-Channel Logout 1.0 §2.6–2.8)."""
    facts = current_app.extensions["portal"]
    client = facts.apps[key].client
    try:
        token = _decode(client, request.form.get("logout_token", ""))
    except (JoseError, ValueError):
        abort(400)
    if not _is_for_us(token, issuer=facts.issuer, client_id=client.client_id, now=time.time()):
        abort(400)
    # A token posted twice finds nothing left to end, so its jti need not be stored.
    cast(MemorySessions, current_app.session_interface).end_login(f"login:{key}", sid=token.claims["sid"])
    return Response(status=204, headers={"Cache-Control": "no-store"})


def _decode(client: Any, text: str) -> jwt.Token:
    """The token, verified with the provider's keys, which are fetched again for a key that is new."""
    try:
        return jwt.decode(text, KeySet.import_key_set(client.fetch_jwk_set()), algorithms=ALGS)
    except InvalidKeyIdError:
        return jwt.decode(text, KeySet.import_key_set(client.fetch_jwk_set(force=True)), algorithms=ALGS)


def _is_for_us(token: jwt.Token, *, issuer: str, client_id: str, now: float) -> bool:
    claims: Mapping[str, Any] = token.claims
    audience, expires = claims.get("aud"), claims.get("exp")
    return (
        token.header.get("typ") == "logout+jwt"
        and claims.get("iss") == issuer
        and client_id in (audience if isinstance(audience, list) else [audience])
        and isinstance(expires, int)
        and now < expires + CLOCK_SECONDS
        and LOGOUT_EVENT in claims.get("events", {})
        and isinstance(claims.get("sid"), str)
        and "nonce" not in claims  # else it is an ID token
    )
