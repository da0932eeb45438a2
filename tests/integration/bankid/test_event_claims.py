"""A relying app gets claims about a BankID login, and the personal number, only when it asks for them."""

import json
from base64 import b64decode
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from cryptography import x509
from flask import Flask
from flask.testing import FlaskClient
from lxml import etree

from idp.app import create_app
from idp.bankid.models import Evidence, Order
from idp.clock import utcnow
from idp.config import Settings
from idp.crypto import NUMBER_KEYS
from idp.db import db
from idp.oidc.claims import (
    AUTHN_PROVIDER,
    COORDINATION_NUMBER,
    EVIDENCE_CLAIMS,
    NUMBER_CLAIMS,
    NUMBER_SCOPE,
    PERSONAL_IDENTITY_NUMBER,
    SWEDISH,
)
from idp.oidc.metadata import ID_TOKEN_CLAIMS
from idp.oidc.provider import PROVIDER
from idp.users import bankid_links
from idp.users.personal_number import PersonalNumber
from tests.factories import make_client
from tests.fakes.relying_party import HTTPS, RelyingParty, Tokens
from tests.integration.bankid.conftest import ANNA, BankIdVisitor, Phone, link

COORDINATION = "197010632391"
EVENT_CLAIMS = (AUTHN_PROVIDER, *EVIDENCE_CLAIMS)
on_sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    both = {"login_methods": ["bankid", "password"]}
    return {
        "portal": make_client(scope=f"openid profile email phone {NUMBER_SCOPE}", **both),
        "any-login": make_client(
            scope=f"openid profile email phone {NUMBER_SCOPE}", number_after_any_login=True, **both
        ),
        "keeps": make_client(
            scope=f"openid {NUMBER_SCOPE} offline_access",
            grant_types=["authorization_code", "refresh_token"],
            **both,
        ),
        "untrusted": make_client(**both),
    }


def asking(*names: str, where: str = "id_token") -> str:
    return json.dumps({where: dict.fromkeys(names)})


def with_bankid(app: Flask, visitor: BankIdVisitor, phone: Phone, **changes: Any) -> Tokens:
    """Tokens of a login with Anna's BankID."""
    visitor.open(**changes)
    with app.app_context():
        token = db.session.scalars(sa.select(Order.autostart_token).order_by(Order.started_at.desc())).first()
    phone.do("open", autostart_token=str(token))
    phone.do("approve")
    with app.app_context():
        db.session.execute(sa.update(Order).values(next_collect_at=utcnow()))
        db.session.commit()
    done = visitor.poll()
    assert done["state"] == "complete"
    return visitor.rp.exchange(visitor.rp.answer(visitor.rp.follow(visitor.get(done["url"])))["code"])


def told(rp: RelyingParty, tokens: Tokens) -> dict[str, Any]:
    """The ID token's claims beside those of the protocol."""
    claims: dict[str, Any] = PROVIDER.of(rp.app).keys.verify(tokens.id_token)
    assert claims.keys() >= set(ID_TOKEN_CLAIMS)
    return {name: value for name, value in claims.items() if name not in ID_TOKEN_CLAIMS}


def userinfo(rp: RelyingParty, tokens: Tokens) -> dict[str, Any]:
    found: dict[str, Any] = rp.userinfo(tokens.access_token).get_json()
    return found


def test_every_claim_about_the_login(
    app: Flask, rp: RelyingParty, visitor: BankIdVisitor, phone: Phone, linked: str
) -> None:
    tokens = with_bankid(app, visitor, phone, scope="openid", claims=asking(*EVENT_CLAIMS))
    found = told(rp, tokens)
    assert found.keys() == set(EVENT_CLAIMS)
    assert found[AUTHN_PROVIDER] == "bankid"
    with app.app_context():
        assert found["txn"] == db.session.scalars(sa.select(Evidence.order_ref)).one()
    assert found[SWEDISH + "deviceIp"] == "127.0.0.1"
    certificate = x509.load_der_x509_certificate(b64decode(found[SWEDISH + "userCertificate"], validate=True))
    assert ANNA.personal_number in certificate.subject.rfc4514_string()
    assert found[SWEDISH + "credentialValidFrom"] == int(certificate.not_valid_before_utc.timestamp())
    assert found[SWEDISH + "credentialValidTo"] == int(certificate.not_valid_after_utc.timestamp())
    signature = etree.fromstring(b64decode(found[SWEDISH + "userSignature"], validate=True))
    assert etree.QName(signature).localname == "Signature"
    answer = x509.ocsp.load_der_ocsp_response(b64decode(found[SWEDISH + "authnEvidence"], validate=True))
    assert answer.response_status == x509.ocsp.OCSPResponseStatus.SUCCESSFUL
    assert userinfo(rp, tokens) == {"sub": linked}


@on_sqlite_only
@pytest.mark.usefixtures("linked")
def test_tokens_hold_no_claim_that_was_not_asked_for(
    app: Flask, rp: RelyingParty, visitor: BankIdVisitor, phone: Phone
) -> None:
    assert told(rp, with_bankid(app, visitor, phone)) == {}
    # The same login for another request: single sign-on.
    assert told(rp, rp.tokens(claims=asking("txn"))).keys() == {"txn"}
    assert told(rp, rp.tokens(claims=asking(SWEDISH + "deviceIp"))).keys() == {SWEDISH + "deviceIp"}
    assert told(rp, rp.tokens(claims=asking(*EVENT_CLAIMS, where="userinfo"))) == {}
    assert told(rp, rp.tokens(claims=asking("sub", "email"))).keys() == {"email"}


@on_sqlite_only
@pytest.mark.usefixtures("linked")
def test_the_evidence_is_for_clients_that_may_know_the_number(
    app: Flask, visitor: BankIdVisitor, phone: Phone
) -> None:
    untrusted = RelyingParty(app, visitor.rp.browser, "untrusted")
    visitor.rp = untrusted
    tokens = with_bankid(app, visitor, phone, claims=asking(*EVENT_CLAIMS, *NUMBER_CLAIMS))
    hidden = {SWEDISH + name for name in ("userSignature", "userCertificate", "authnEvidence")}
    assert told(untrusted, tokens).keys() == set(EVENT_CLAIMS) - hidden
    assert ANNA.personal_number not in json.dumps(told(untrusted, tokens))
    refused = untrusted.answer(untrusted.authorize(scope=f"openid {NUMBER_SCOPE}"))
    assert refused["error"] == "invalid_scope"


@on_sqlite_only
@pytest.mark.usefixtures("linked")
def test_a_later_password_login_is_another_event(
    app: Flask, rp: RelyingParty, visitor: BankIdVisitor, phone: Phone
) -> None:
    claims = asking(*EVENT_CLAIMS)
    assert "txn" in told(rp, with_bankid(app, visitor, phone, claims=claims))
    later = rp.tokens(claims=claims, prompt="login", acr_values="https://login.example.se/acr/password")
    assert told(rp, later) == {AUTHN_PROVIDER: "password"}


@on_sqlite_only
@pytest.mark.usefixtures("linked")
def test_deleted_evidence_is_left_out(
    app: Flask, rp: RelyingParty, visitor: BankIdVisitor, phone: Phone
) -> None:
    claims = asking(*EVENT_CLAIMS)
    assert "txn" in told(rp, with_bankid(app, visitor, phone, claims=claims))
    with app.app_context():
        db.session.execute(sa.delete(Evidence))
        db.session.commit()
    assert told(rp, rp.tokens(claims=claims)) == {AUTHN_PROVIDER: "bankid"}


@on_sqlite_only
@pytest.mark.usefixtures("linked")
def test_unreadable_evidence_is_left_out(
    app: Flask, rp: RelyingParty, visitor: BankIdVisitor, phone: Phone
) -> None:
    claims = asking(*EVENT_CLAIMS)
    with_bankid(app, visitor, phone)
    with app.app_context():
        db.session.execute(sa.update(Evidence).values(sealed="gone." + Evidence.sealed))
        db.session.commit()
    assert told(rp, rp.tokens(claims=claims)).keys() == {AUTHN_PROVIDER, "txn"}


@on_sqlite_only
@pytest.mark.usefixtures("linked")
def test_an_essential_acr_leads_to_the_method_that_reaches_it(
    app: Flask, rp: RelyingParty, visitor: BankIdVisitor, phone: Phone
) -> None:
    loa3 = "http://id.swedenconnect.se/loa/1.0/uncertified-loa3"
    claims = json.dumps({"id_token": {"acr": {"essential": True, "value": loa3}}})
    assert "code" in rp.answer(rp.log_in(acr_values="https://login.example.se/acr/password"))
    assert rp.answer(rp.authorize(prompt="none", claims=claims))["error"] == "login_required"
    tokens = with_bankid(app, visitor, phone, claims=claims)
    assert PROVIDER.of(app).keys.verify(tokens.id_token)["acr"] == loa3


# The personal number


BY_PASSWORD = {"acr_values": "https://login.example.se/acr/password"}


@pytest.fixture
def any_login(app: Flask, browser: FlaskClient) -> RelyingParty:
    """The app that gets numbers after logins by password too."""
    return RelyingParty(app, browser, "any-login")


@pytest.mark.usefixtures("linked")
def test_a_password_login_releases_no_number(rp: RelyingParty) -> None:
    """A valid request with the login's method changed: BankID's login releases the number, see below."""
    scope = f"openid profile {NUMBER_SCOPE}"
    asked = json.dumps(
        {"id_token": {PERSONAL_IDENTITY_NUMBER: {"essential": True}}, "userinfo": {"birthdate": None}}
    )
    tokens = rp.tokens(scope=scope, claims=asked, **BY_PASSWORD)
    assert told(rp, tokens) == {}
    assert not userinfo(rp, tokens).keys() & {*NUMBER_CLAIMS, "birthdate"}


@pytest.mark.usefixtures("linked")
def test_a_bankid_login_releases_the_number(
    app: Flask, rp: RelyingParty, visitor: BankIdVisitor, phone: Phone
) -> None:
    tokens = with_bankid(app, visitor, phone, scope=f"openid profile {NUMBER_SCOPE}")
    assert told(rp, tokens) == {PERSONAL_IDENTITY_NUMBER: ANNA.personal_number}
    assert userinfo(rp, tokens).keys() >= {PERSONAL_IDENTITY_NUMBER, "birthdate"}


@on_sqlite_only
@pytest.mark.usefixtures("linked")
def test_the_grants_login_decides_at_refresh_and_userinfo(
    app: Flask, browser: FlaskClient, phone: Phone
) -> None:
    """A BankID login made since, by the same person in the same session, adds nothing to the grant."""
    rp = RelyingParty(app, browser, "keeps")
    request = {"scope": f"openid {NUMBER_SCOPE} offline_access"}
    by_password = rp.tokens(**request, **BY_PASSWORD)
    by_bankid = with_bankid(app, BankIdVisitor(rp), phone, **request, prompt="login")
    refreshed = rp.refresh(by_password.refresh_token)
    verify = PROVIDER.of(app).keys.verify
    assert PERSONAL_IDENTITY_NUMBER not in verify(refreshed.id_token)
    for tokens in (by_password, refreshed):
        assert userinfo(rp, tokens).keys() == {"sub"}
    proven = verify(rp.refresh(by_bankid.refresh_token).id_token)
    assert proven[PERSONAL_IDENTITY_NUMBER] == ANNA.personal_number


@pytest.mark.usefixtures("linked")
def test_the_number_in_id_token_and_userinfo(app: Flask, any_login: RelyingParty) -> None:
    tokens = any_login.tokens(
        scope=f"openid {NUMBER_SCOPE}", acr_values="https://login.example.se/acr/password"
    )
    assert told(any_login, tokens) == {PERSONAL_IDENTITY_NUMBER: ANNA.personal_number}
    assert userinfo(any_login, tokens).keys() == {"sub", PERSONAL_IDENTITY_NUMBER}
    assert userinfo(any_login, tokens)[PERSONAL_IDENTITY_NUMBER] == ANNA.personal_number
    assert ANNA.personal_number not in tokens.access_token
    plain = any_login.tokens(scope="openid profile email phone")
    assert told(any_login, plain) == {}
    assert not userinfo(any_login, plain).keys() & set(NUMBER_CLAIMS)


@on_sqlite_only
def test_a_coordination_number_has_a_claim_of_its_own(app: Flask, any_login: RelyingParty, anna: str) -> None:
    keys = NUMBER_KEYS.of(app)
    with app.app_context():
        bankid_links.link(UUID(anna), PersonalNumber(COORDINATION), "Anna", keys=keys, now=utcnow())
    request = {"scope": f"openid {NUMBER_SCOPE}", "acr_values": "https://login.example.se/acr/password"}
    tokens = any_login.tokens(**request)
    assert told(any_login, tokens) == {COORDINATION_NUMBER: COORDINATION}
    assert userinfo(any_login, tokens) == {"sub": anna, COORDINATION_NUMBER: COORDINATION}
    one = any_login.tokens(scope="openid", claims=asking(PERSONAL_IDENTITY_NUMBER))
    assert told(any_login, one) == {}


@on_sqlite_only
def test_an_account_without_a_bankid_has_no_number_claim(
    app: Flask, any_login: RelyingParty, anna: str
) -> None:
    request = {"scope": f"openid {NUMBER_SCOPE}", "acr_values": "https://login.example.se/acr/password"}
    tokens = any_login.tokens(**request)
    assert told(any_login, tokens) == {}
    assert userinfo(any_login, tokens) == {"sub": anna}
    with app.app_context():
        link(app, UUID(anna))
    assert PERSONAL_IDENTITY_NUMBER in userinfo(any_login, tokens)
    with app.app_context():
        bankid_links.unlink(UUID(anna), now=utcnow())
    assert userinfo(any_login, tokens) == {"sub": anna}


@on_sqlite_only
@pytest.mark.usefixtures("linked")
def test_the_number_is_in_no_log(
    any_login: RelyingParty, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    claims = json.dumps({"userinfo": dict.fromkeys(NUMBER_CLAIMS)})
    tokens = any_login.tokens(claims=claims, acr_values="https://login.example.se/acr/password")
    assert userinfo(any_login, tokens)[PERSONAL_IDENTITY_NUMBER] == ANNA.personal_number
    written = capfd.readouterr()
    assert ANNA.personal_number not in written.out + written.err + caplog.text


@on_sqlite_only
def test_discovery_lists_the_claims_about_the_login(rp: RelyingParty) -> None:
    facts = rp.browser.get("/.well-known/openid-configuration", **HTTPS).get_json()
    assert {*EVENT_CLAIMS, *NUMBER_CLAIMS} <= set(facts["claims_supported"])
    assert NUMBER_SCOPE in facts["scopes_supported"]


@on_sqlite_only
def test_numbers_are_not_offered_where_bankid_is_off(environ: dict[str, str]) -> None:
    off = {name: value for name, value in environ.items() if not name.startswith("IDP_BANKID")}
    assert "IDP_PERSONAL_NUMBER_KEYS" in off
    facts = (
        create_app(Settings.from_environ(off))
        .test_client()
        .get("/.well-known/openid-configuration", **HTTPS)
        .get_json()
    )
    assert AUTHN_PROVIDER in facts["claims_supported"]
    assert not {*EVIDENCE_CLAIMS, *NUMBER_CLAIMS} & set(facts["claims_supported"])
    assert NUMBER_SCOPE not in facts["scopes_supported"]
