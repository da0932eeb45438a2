"""The `claims` parameter releases what is asked for, where it is asked for, and no more (OIDC Core §5.5)."""

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient

from idp.audit import AuditRow, Event
from idp.db import db
from idp.oidc.claims import AUTHN_PROVIDER, EVIDENCE_CLAIMS, NUMBER_CLAIMS, NUMBER_SCOPE
from idp.oidc.models import Grant
from idp.oidc.provider import PROVIDER
from tests.factories import make_client, make_user
from tests.fakes.relying_party import HTTPS, RelyingParty, Tokens

LOA3 = "http://id.swedenconnect.se/loa/1.0/uncertified-loa3"
PASSWORD_ACR = "https://login.example.se/acr/password"


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(),
        "few": make_client(scope="openid email"),
        "pairwise": make_client(subject_type="pairwise"),
        "asking": make_client(scope=f"openid email phone {NUMBER_SCOPE}", consent="explicit"),
    }


def asking(id_token: Any = (), userinfo: Any = ()) -> str:
    """A claims parameter; names alone are asked for with null."""
    members = {"id_token": id_token, "userinfo": userinfo}
    return json.dumps(
        {name: spec if isinstance(spec, dict) else dict.fromkeys(spec) for name, spec in members.items()}
    )


def id_token(rp: RelyingParty, tokens: Tokens) -> dict[str, Any]:
    told: dict[str, Any] = PROVIDER.of(rp.app).keys.verify(tokens.id_token)
    return told


def userinfo(rp: RelyingParty, tokens: Tokens) -> dict[str, Any]:
    told: dict[str, Any] = rp.userinfo(tokens.access_token).get_json()
    return told


def added(rp: RelyingParty, **changes: Any) -> tuple[set[str], set[str]]:
    """The names in ID token and userinfo that the same request without `claims` does not bring."""
    plain = rp.tokens(**changes | {"claims": None})
    asked = rp.tokens(**changes)
    return (
        id_token(rp, asked).keys() - id_token(rp, plain).keys(),
        userinfo(rp, asked).keys() - userinfo(rp, plain).keys(),
    )


def test_each_claim_goes_where_it_was_asked_for(rp: RelyingParty, anna: str) -> None:
    tokens = rp.tokens(scope="openid", claims=asking(["email", "family_name"], ["name"]))
    told = id_token(rp, tokens)
    assert (told["email"], told["family_name"], told["sub"]) == ("anna@example.se", "Åsén", anna)
    assert "name" not in told
    assert userinfo(rp, tokens) == {"sub": anna, "name": "Anna Åsén"}
    assert tokens.body["scope"] == "openid"


@pytest.mark.usefixtures("anna")
def test_claims_not_asked_for_are_not_released(rp: RelyingParty) -> None:
    assert added(rp, scope="openid", claims=asking(["email"], ["name"])) == ({"email"}, {"name"})
    assert added(rp, scope="openid email", claims=asking([], ["email"])) == (set(), set())
    assert added(rp, claims="{}") == (set(), set())
    assert added(rp, claims=asking(["shoe_size", "password_hash"], ["shoe_size", "id"])) == (set(), set())


@pytest.mark.usefixtures("anna")
def test_the_claims_of_the_protocol_are_not_replaced(rp: RelyingParty) -> None:
    protocol = {"iss": {"value": "https://evil.example"}, "aud": None, "exp": {"value": 9}, "amr": None}
    told = id_token(rp, rp.tokens(claims=asking(protocol, {"sub": {"value": "x"}})))
    assert (told["iss"], told["aud"]) == ("https://login.example.se", "portal")
    assert told["amr"] == ["pwd"]


@pytest.mark.usefixtures("anna")
def test_a_client_gets_what_its_entry_lists(app: Flask, browser: FlaskClient, rp: RelyingParty) -> None:
    names = ["email", "name", "phone_number", *NUMBER_CLAIMS]
    few = RelyingParty(app, browser, "few")
    assert added(few, scope="openid", claims=asking(names, names)) == ({"email"}, {"email"})
    assert added(rp, scope="openid", claims=asking(names, names)) == ({"email", "name"}, {"email", "name"})


@pytest.mark.usefixtures("anna")
def test_a_password_login_tells_its_method_and_nothing_else(rp: RelyingParty) -> None:
    names = [AUTHN_PROVIDER, *EVIDENCE_CLAIMS]
    claims = asking(names, names)
    assert added(rp, claims=claims) == ({AUTHN_PROVIDER}, set())
    assert id_token(rp, rp.tokens(claims=claims))[AUTHN_PROVIDER] == "password"


def test_claims_survive_the_login_in_between(rp: RelyingParty, app: Flask, anna: str) -> None:
    response = rp.authorize("POST", scope="openid", claims=asking(["email"], ["name"]))
    response = rp.follow(response)
    assert 'id="login-form"' in response.text
    answer = rp.answer(
        rp.follow(rp.submit(response, email="anna@example.se", password="korrekt häst batteri klammer"))
    )
    tokens = rp.exchange(answer["code"])
    assert id_token(rp, tokens)["email"] == "anna@example.se"
    assert userinfo(rp, tokens) == {"sub": anna, "name": "Anna Åsén"}
    with app.app_context():
        grant = db.session.scalars(sa.select(Grant)).one()
        assert grant.claims == {"id_token": ["email"], "userinfo": ["name"]}


@pytest.mark.usefixtures("anna")
def test_a_grant_without_claims_keeps_none(rp: RelyingParty, app: Flask) -> None:
    rp.tokens()
    with app.app_context():
        assert db.session.scalar(sa.select(Grant.id).where(Grant.claims.is_(None))) is not None


# Demands


@pytest.mark.usefixtures("anna")
def test_an_essential_acr_out_of_reach_is_refused_before_any_login(rp: RelyingParty) -> None:
    unmet = asking({"acr": {"essential": True, "value": LOA3}})
    answer = rp.answer(rp.authorize(claims=unmet))
    assert (answer["error"], answer["state"]) == ("unmet_authentication_requirements", "the-state")
    assert answer["iss"] == "https://login.example.se"
    voluntary = asking({"acr": {"value": LOA3}})
    assert id_token(rp, rp.tokens(claims=voluntary))["acr"] == PASSWORD_ACR
    reachable = asking({"acr": {"essential": True, "values": [LOA3, PASSWORD_ACR]}})
    assert id_token(rp, rp.tokens(claims=reachable))["acr"] == PASSWORD_ACR


@pytest.mark.usefixtures("anna")
def test_a_malformed_parameter_is_refused(rp: RelyingParty) -> None:
    claims = asking(["email"])
    assert rp.answer(rp.authorize(claims=claims[:-1]))["error"] == "invalid_request"
    assert "code" in rp.answer(rp.log_in(claims=claims))


@pytest.mark.parametrize("client_id", ["portal", "pairwise"])
def test_the_sub_asked_for_must_answer(app: Flask, browser: FlaskClient, anna: str, client_id: str) -> None:
    rp = RelyingParty(app, browser, client_id)
    annas = id_token(rp, rp.tokens())["sub"]
    assert (annas == anna) is (client_id == "portal")
    hers = asking({"sub": {"value": annas}})
    assert id_token(rp, rp.tokens(claims=hers, prompt="none"))["sub"] == annas
    with app.app_context():
        make_user(email="bo@example.se", name="Bo Ek")
    other = RelyingParty(app, app.test_client(), client_id)
    other.log_in(email="bo@example.se")
    assert "code" in other.answer(other.authorize(prompt="none"))
    assert other.answer(other.authorize(prompt="none", claims=hers))["error"] == "login_required"


def test_another_person_may_not_answer_after_a_login(rp: RelyingParty, app: Flask, anna: str) -> None:
    with app.app_context():
        make_user(email="bo@example.se", name="Bo Ek")
    hers = asking({"sub": {"value": anna}})
    page = rp.log_in(email="bo@example.se", claims=hers)
    assert "gäller ett annat konto" in page.text
    assert "code" in rp.answer(rp.log_in(claims=hers))


def test_another_person_may_not_answer_a_pairwise_client(app: Flask, browser: FlaskClient, anna: str) -> None:
    rp = RelyingParty(app, browser, "pairwise")
    hers = asking({"sub": {"value": id_token(rp, rp.tokens())["sub"]}})
    with app.app_context():
        make_user(email="bo@example.se", name="Bo Ek")
    other = RelyingParty(app, app.test_client(), "pairwise")
    assert other.answer(other.log_in(email="bo@example.se", claims=hers))["error"] == "login_required"
    fresh = RelyingParty(app, app.test_client(), "pairwise")
    assert "code" in fresh.answer(fresh.log_in(claims=hers))


# Consent


@pytest.mark.usefixtures("anna")
def test_consent_is_asked_for_the_claims_too(app: Flask, browser: FlaskClient) -> None:
    rp = RelyingParty(app, browser, "asking")
    page = rp.log_in(scope="openid", claims=asking([], ["email"]))
    assert "Din e-postadress" in page.text
    assert "Ditt personnummer" not in page.text
    assert "code" in rp.answer(rp.follow(rp.submit(page, answer="allow")))
    assert "code" in rp.answer(rp.authorize(scope="openid", claims=asking([], ["email"]), prompt="none"))
    more = rp.authorize(scope="openid", claims=asking([], ["email", "phone_number"]), prompt="none")
    assert rp.answer(more)["error"] == "consent_required"
    for changes in (
        {"scope": f"openid {NUMBER_SCOPE}"},
        {"scope": "openid", "claims": asking([EVIDENCE_CLAIMS[0]])},
        {"scope": "openid", "claims": asking([], [NUMBER_CLAIMS[0]])},
    ):
        assert rp.answer(rp.authorize(prompt="none", **changes))["error"] == "consent_required"
        assert "Ditt personnummer" in rp.follow(rp.authorize(**changes)).text
    english = rp.follow(rp.authorize(scope=f"openid {NUMBER_SCOPE}", ui_locales="en"))
    assert "Your personal identity number" in english.text
    with app.app_context():
        given = db.session.scalars(sa.select(AuditRow).where(AuditRow.event == Event.CONSENT_GIVEN)).one()
        assert given.client_id == "asking"


# Discovery


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_discovery_lists_the_claims(browser: FlaskClient) -> None:
    facts = browser.get("/.well-known/openid-configuration", **HTTPS).get_json()
    assert urlsplit(facts["issuer"]).scheme == "https"
    assert facts["claims_parameter_supported"] is True
    assert AUTHN_PROVIDER in facts["claims_supported"]
    # without BankID there is no such thing
    assert not {*EVIDENCE_CLAIMS, *NUMBER_CLAIMS} & set(facts["claims_supported"])
    assert NUMBER_SCOPE not in facts["scopes_supported"]
