"""A logout token names its session and opens nothing (Back-Channel Logout 1.0 §2.4)."""

from pathlib import Path

import pytest
import yaml
from flask import Flask
from time_machine import Traveller

from idp.clock import utcnow
from idp.oidc.logout.backchannel import LOGOUT_EVENT
from tests.fakes import encrypted
from tests.fakes.listening_app import ListeningApp
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.oidc.logout.backchannel.post import Post, content, log_out


def test_each_app_that_listens_hears_of_its_own_login(
    clock: Traveller,
    parties: dict[str, RelyingParty],
    portal: ListeningApp,
    other: ListeningApp,
    post: Post,
) -> None:
    tokens = {name: party.tokens() for name, party in parties.items()}
    parties["portal"].tokens()  # a second login of the same session: still one notice
    log_out(parties["portal"], tokens["portal"].id_token)
    assert post.waiting() == [("other", 0), ("portal", 0)]
    clock.shift(1000)  # signed when it is delivered, not when it was queued
    assert post.deliver() == 2
    assert post.waiting() == []
    jwks = parties["portal"].browser.get("/jwks", **HTTPS).get_json()
    ids = set()
    for name, listener, alg in (("portal", portal, "RS256"), ("other", other, "ES256")):
        (heard,) = listener.heard
        assert heard.path == "/logout?from=idp"
        assert heard.content_type == "application/x-www-form-urlencoded"
        token = heard.token(jwks)
        assert (token.header["typ"], token.header["alg"]) == ("logout+jwt", alg)
        id_token = content(tokens[name].id_token, jwks)
        ids.add(token.claims.pop("jti"))
        assert token.claims == {
            "iss": "https://login.example.se",
            "aud": name,
            "sub": id_token["sub"],
            "sid": id_token["sid"],
            "iat": int(utcnow().timestamp()),
            "exp": int(utcnow().timestamp()) + 120,
            "events": {LOGOUT_EVENT: {}},
        }
    assert len(ids) == 2


def test_the_logout_token_is_encrypted_to_an_app_whose_id_tokens_are(
    app: Flask, rp: RelyingParty, portal: ListeningApp, post: Post
) -> None:
    sealed = RelyingParty(app, rp.browser, "sealed", "https://sealed.example.se/cb")
    _, hint = encrypted.opened(sealed.tokens().id_token, "RSA-OAEP-256", "A256GCM")
    log_out(sealed, hint)
    assert post.deliver() == 1
    (heard,) = portal.heard
    header, token = encrypted.opened(heard.form["logout_token"], "RSA-OAEP-256", "A256GCM")
    assert header["cty"] == "JWT"
    told = content(token, rp.browser.get("/jwks", **HTTPS).get_json())
    assert (told["aud"], "nonce" in told) == ("sealed", False)


def test_a_key_to_encrypt_to_that_cannot_be_had_is_waited_for(
    app: Flask, rp: RelyingParty, portal: ListeningApp, post: Post, clients_file: Path
) -> None:
    sealed = RelyingParty(app, rp.browser, "sealed", "https://sealed.example.se/cb")
    _, hint = encrypted.opened(sealed.tokens().id_token, "RSA-OAEP-256", "A256GCM")
    log_out(sealed, hint)
    entries = yaml.safe_load(clients_file.read_text())
    del entries["clients"]["sealed"]["jwks"]
    entries["clients"]["sealed"]["jwks_uri"] = "https://localhost:9/jwks.json"
    clients_file.write_text(yaml.safe_dump(entries))
    post.delivery.clients.refresh()
    assert post.deliver() == 1
    assert (portal.heard, post.waiting()) == ([], [("sealed", 1)])


def test_a_logout_token_opens_nothing(rp: RelyingParty, portal: ListeningApp, post: Post) -> None:
    log_out(rp, rp.tokens().id_token)
    post.deliver()
    token = portal.heard[0].form["logout_token"]
    rp.code()
    assert rp.userinfo(token).status_code == 401
    assert rp.introspect(token).get_json() == {"active": False}
    asked = rp.browser.get(f"/end_session?id_token_hint={token}", **HTTPS)
    assert asked.headers["Location"].startswith("/logout?state="), "no hint: the person is asked"


@pytest.mark.parametrize("status", [200, 204])
def test_status_200_and_204_count_as_delivered(
    rp: RelyingParty, portal: ListeningApp, post: Post, status: int
) -> None:
    portal.status = status
    log_out(rp, rp.tokens().id_token)
    post.deliver()
    assert post.waiting() == []
