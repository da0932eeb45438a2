"""Each scope of the Swedish claims specification releases its claims to registered clients alone (§3)."""

import json
from typing import Any

import pytest
from flask import Flask

from idp.clock import utcnow
from idp.oidc.claims import INFO_SCOPE, ORG_AFFILIATION, ORG_NAME, ORG_NUMBER, ORG_SCOPE
from idp.oidc.metadata import ID_TOKEN_CLAIMS
from idp.oidc.provider import PROVIDER
from idp.users import companies
from tests.factories import make_client, make_user
from tests.fakes.relying_party import RelyingParty, Tokens

NUMBER = "5560360793"

# Nothing here depends on the database.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    return {
        "portal": make_client(scope=f"openid profile {INFO_SCOPE} {ORG_SCOPE}"),
        "pairwise": make_client(scope=f"openid {ORG_SCOPE}", subject_type="pairwise"),
        "few": make_client(scope="openid"),
        "asking": make_client(scope=f"openid {INFO_SCOPE} {ORG_SCOPE}", consent="explicit"),
    }


@pytest.fixture
def anna(app: Flask) -> str:
    """Anna, of a company with an organisation number; her id."""
    with app.app_context():
        companies.add("Exempel AB", NUMBER, now=utcnow())
        return str(make_user().id)


def id_token(rp: RelyingParty, tokens: Tokens) -> dict[str, Any]:
    """The ID token's claims beside those of the protocol."""
    claims: dict[str, Any] = PROVIDER.of(rp.app).keys.verify(tokens.id_token)
    return {name: value for name, value in claims.items() if name not in ID_TOKEN_CLAIMS}


def userinfo(rp: RelyingParty, tokens: Tokens) -> dict[str, Any]:
    told: dict[str, Any] = rp.userinfo(tokens.access_token).get_json()
    return told


def test_natural_person_org_id_releases_the_affiliation(rp: RelyingParty, anna: str) -> None:
    tokens = rp.tokens(scope=f"openid {ORG_SCOPE}")
    assert id_token(rp, tokens) == {ORG_AFFILIATION: f"{anna}@{NUMBER}"}
    assert userinfo(rp, tokens) == {
        "sub": anna,
        "name": "Anna Åsén",
        ORG_AFFILIATION: f"{anna}@{NUMBER}",
        ORG_NAME: "Exempel AB",
        ORG_NUMBER: NUMBER,
    }


def test_a_pairwise_client_learns_no_id_that_others_know(app: Flask, anna: str) -> None:
    rp = RelyingParty(app, app.test_client(), "pairwise")
    told = userinfo(rp, rp.tokens(scope=f"openid {ORG_SCOPE}"))
    assert told[ORG_AFFILIATION] == f"{told['sub']}@{NUMBER}"
    assert anna not in json.dumps(told)


def test_a_company_without_a_number_gives_no_affiliation(app: Flask, rp: RelyingParty) -> None:
    with app.app_context():
        bo = str(make_user(email="bo@example.se", name="Bo Ek", company="Utan Nummer HB").id)
    tokens = rp.exchange(rp.code(email="bo@example.se", scope=f"openid {ORG_SCOPE}"))
    assert id_token(rp, tokens) == {}
    assert userinfo(rp, tokens) == {"sub": bo, "name": "Bo Ek", ORG_NAME: "Utan Nummer HB"}


def test_natural_person_info_releases_the_names(rp: RelyingParty, anna: str) -> None:
    tokens = rp.tokens(scope=f"openid {INFO_SCOPE}")
    assert id_token(rp, tokens) == {}
    assert userinfo(rp, tokens) == {
        "sub": anna,
        "name": "Anna Åsén",
        "given_name": "Anna",
        "family_name": "Åsén",
    }


def test_single_claims_go_where_they_were_asked_for(rp: RelyingParty, anna: str) -> None:
    asked = {"id_token": {ORG_NAME: None}, "userinfo": {ORG_NUMBER: {"essential": True}}}
    tokens = rp.tokens(scope="openid", claims=json.dumps(asked))
    assert id_token(rp, tokens) == {ORG_NAME: "Exempel AB"}
    assert userinfo(rp, tokens) == {"sub": anna, ORG_NUMBER: NUMBER}


@pytest.mark.usefixtures("anna")
def test_a_claim_asked_for_in_the_id_token_stays_in_userinfo_by_its_scope(rp: RelyingParty) -> None:
    asked = json.dumps({"id_token": {"name": None}})
    tokens = rp.tokens(scope=f"openid {INFO_SCOPE}", claims=asked)
    assert id_token(rp, tokens) == {"name": "Anna Åsén"}
    assert userinfo(rp, tokens)["name"] == "Anna Åsén"


def test_only_clients_whose_entry_lists_the_scope_get_it(app: Flask, anna: str) -> None:
    few = RelyingParty(app, app.test_client(), "few")
    for scope in (INFO_SCOPE, ORG_SCOPE):
        assert few.answer(few.authorize(scope=f"openid {scope}"))["error"] == "invalid_scope"
    asked = json.dumps({place: {ORG_AFFILIATION: None, "name": None} for place in ("id_token", "userinfo")})
    tokens = few.tokens(scope="openid", claims=asked)
    assert id_token(few, tokens) == {}
    assert userinfo(few, tokens) == {"sub": anna}


@pytest.mark.usefixtures("anna")
def test_a_consent_names_the_scope_that_the_app_may_ask_for(app: Flask) -> None:
    rp = RelyingParty(app, app.test_client(), "asking")
    page = rp.log_in(scope="openid", claims=json.dumps({"userinfo": {"name": None}}))
    assert "Ditt namn och födelsedatum" in page.text
    assert "språk" not in page.text.partition("<main")[2].partition("</main")[0]
    page = rp.log_in(scope=f"openid {ORG_SCOPE}")
    assert "Ditt namn och ditt företag" in page.text
