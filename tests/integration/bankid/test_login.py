"""A person logs in with BankID by QR code and on the same device."""

from typing import Any

import sqlalchemy as sa
from flask import Flask

from idp.bankid.models import Evidence, Order
from idp.db import db
from idp.oidc.provider import PROVIDER
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.bankid.conftest import IPHONE, BankIdVisitor, Phone
from tests.integration.bankid.orders import due, newest_order, qr_text


def test_qr_login_ends_in_tokens_with_bankid_acr(
    app: Flask, rp: RelyingParty, visitor: BankIdVisitor, phone: Phone, linked: str
) -> None:
    page = visitor.open()
    assert page.status_code == 200
    assert 'id="bankid-qr"' in page.text
    assert "autostarttoken" not in page.text
    phone.do("scan", qr=qr_text(app))
    due(app)
    assert visitor.poll()["qr"] is None
    phone.do("approve")
    due(app)
    done = visitor.poll()
    assert done["state"] == "complete"
    answer = rp.answer(rp.follow(visitor.get(done["url"])))
    tokens = rp.exchange(answer["code"])
    assert tokens.status == 200
    claims = decoded(app, tokens.id_token)
    assert claims["sub"] == linked
    assert claims["acr"] == "http://id.swedenconnect.se/loa/1.0/uncertified-loa3"
    assert claims["amr"] == ["swk", "mfa", "user"]
    with app.app_context():
        kept = db.session.scalars(sa.select(Evidence)).one()
        assert str(kept.user_id) == linked
        assert "Signature" not in kept.sealed


def test_same_device_login_on_a_phone(
    app: Flask, rp: RelyingParty, visitor: BankIdVisitor, phone: Phone, linked: str
) -> None:
    page = visitor.open(headers={"User-Agent": IPHONE})
    assert 'id="bankid-open"' in page.text
    assert 'id="bankid-qr"' not in page.text
    phone.do("open", autostart_token=newest_order(app).autostart_token)
    phone.do("approve")
    due(app)
    done = visitor.poll()
    assert done["state"] == "complete"


def decoded(app: Flask, token: str) -> dict[str, Any]:
    claims: dict[str, Any] = PROVIDER.of(app).keys.verify(token)
    return claims


def test_a_second_page_of_the_same_login_starts_no_new_order(
    app: Flask, rp: RelyingParty, visitor: BankIdVisitor, phone: Phone, linked: str
) -> None:
    visitor.open()
    phone.do("scan", qr=qr_text(app))
    phone.do("approve")
    due(app)
    done = visitor.poll()
    first, second = (rp.browser.get(done["url"], **HTTPS) for _page in range(2))
    assert first.headers["Location"] == second.headers["Location"] == f"/authorize/{visitor.uid}"
    with app.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(Order)) == 1
