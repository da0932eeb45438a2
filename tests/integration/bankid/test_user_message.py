"""A relying app's own message is shown in the BankID app."""

import json
from base64 import b64encode
from typing import Any

import pytest
from flask import Flask

from idp.bankid.simulator.server import Simulator
from tests.fakes.relying_party import HTTPS
from tests.integration.bankid.conftest import BankIdVisitor, Phone
from tests.integration.bankid.orders import audited, complete

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
PARAMETER = "https://id.oidc.se/param/userMessage"


def message(mime_type: str = "text/plain", **texts: str) -> dict[str, str]:
    """The request parameter with these texts, by language."""
    members = {f"message#{language}": b64encode(text.encode()).decode() for language, text in texts.items()}
    return {PARAMETER: json.dumps({**members, "mime_type": mime_type})}


@on_sqlite
@pytest.mark.usefixtures("linked")
@pytest.mark.parametrize(
    ("mime_type", "format_"), [("text/plain", None), ("text/markdown", "simpleMarkdownV1")]
)
def test_the_message_is_shown_signed_and_accepted(
    app: Flask, visitor: BankIdVisitor, simulator: Simulator, mime_type: str, format_: str | None
) -> None:
    phone = Phone(simulator)
    complete(app, visitor, phone, **message(mime_type, sv="Godkänn *köpet*", en="Approve"))
    assert len(audited(app, "login.succeeded")) == 1
    assert phone.orders()[0]["visible_text"] == "Logga in hos Portalen\n\nGodkänn *köpet*"
    assert simulator.orders.all()[0].request.userVisibleDataFormat == format_
    phone.http.close()


@on_sqlite
def test_the_pages_language_chooses_the_text(visitor: BankIdVisitor, phone: Phone) -> None:
    visitor.open(ui_locales="en", **message(sv="Godkänn", en="Approve"))
    assert phone.orders()[0]["visible_text"] == "Log in at The portal\n\nApprove"


@pytest.fixture
def silent(clients: dict[str, dict[str, Any]]) -> None:
    """The portal may not show messages of its own."""
    clients["portal"]["bankid"] = {"user_message": False}


@on_sqlite
@pytest.mark.usefixtures("silent")
def test_an_app_that_may_not_show_messages_shows_none(
    silent: None, visitor: BankIdVisitor, phone: Phone
) -> None:
    visitor.open(**message(sv="Godkänn"))
    assert phone.orders()[0]["visible_text"] == "Logga in hos Portalen"


@on_sqlite
def test_the_message_is_on_no_page(visitor: BankIdVisitor) -> None:
    page = visitor.open(**message(sv="<b>Godkänn</b>"))
    assert "Godkänn" not in page.text
    assert "Godkänn" not in visitor.rp.browser.get(f"/login/{visitor.uid}/password", **HTTPS).text
