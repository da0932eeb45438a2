"""A relying app logs a user in, from the request to the tokens."""

from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import KeySet

from tests.fakes.relying_party import HTTPS, RelyingParty


def test_a_relying_app_logs_a_user_in(rp: RelyingParty, anna: str) -> None:
    response = rp.log_in()
    answer = rp.answer(response)
    assert (answer["state"], answer["iss"]) == ("the-state", "https://login.example.se")
    tokens = rp.exchange(answer["code"])
    assert tokens.status == 200, tokens
    jwks = KeySet.import_key_set(rp.browser.get("/jwks", **HTTPS).get_json())
    claims = jwt.decode(tokens.id_token, jwks).claims
    assert claims["sub"] == anna
    assert (claims["aud"], claims["nonce"], claims["amr"]) == ("portal", "the-nonce", ["pwd"])
    info = rp.userinfo(tokens.access_token)
    assert info.get_json()["email"] == "anna@example.se"
    assert info.get_json()["sub"] == anna


def test_head_is_answered_as_get(rp: RelyingParty) -> None:
    query = urlencode(rp.parameters())
    got = rp.browser.get(f"/authorize?{query}", **HTTPS)
    asked = rp.browser.head(f"/authorize?{query}", **HTTPS)
    assert (asked.status_code, got.status_code) == (303, 303)
