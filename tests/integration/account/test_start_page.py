"""A direct login leads to the start page that the person chose."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa

from idp.account import start_page
from idp.db import db
from idp.oidc.clients.client import Client
from idp.users.models import User
from tests.conftest import ISSUER
from tests.factories import make_client
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.account.conftest import Account


def landed(account: Account) -> str:
    """Where a direct login in a fresh browser ends."""
    rp = RelyingParty(account.app, account.app.test_client())
    page = rp.follow(rp.browser.get("/login", **HTTPS))
    answer = rp.follow(rp.submit(page, email="anna@example.se", password="korrekt häst batteri klammer"))
    return answer.location if answer.status_code == 303 else answer.request.path


def choose(account: Account, client_id: str | None) -> None:
    with account.app.app_context():
        db.session.execute(sa.update(User).values(start_page=client_id))
        db.session.commit()


def test_mina_uppgifter_is_the_start_page_if_none_is_chosen(account: Account) -> None:
    assert landed(account) == "/account"


def test_the_chosen_app_is_asked_to_begin_a_login(account: Account) -> None:
    account.save(start_page="portal")
    parts = urlsplit(landed(account))
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://portal.example.se/login"
    assert parse_qs(parts.query) == {"tenant": ["1"], "iss": [ISSUER]}
    assert account.page().status_code == 200, "only after a login, not whenever the page is opened"


def test_a_login_in_a_live_session_leads_to_the_start_page_too(account: Account) -> None:
    account.save(start_page="portal")
    landed = account.rp.follow(account.browser.get("/login", **HTTPS))
    assert landed.location.startswith("https://portal.example.se/login?")


def test_the_start_page_sends_a_browser_on_by_a_page(account: Account) -> None:
    """Its redirect would be blocked by the form-action of the login form's page."""
    account.save(start_page="portal")
    page = account.browser.get("/account/start", headers={"Accept": "text/html,*/*;q=0.8"}, **HTTPS)
    address = "https://portal.example.se/login?tenant=1&amp;iss=https%3A%2F%2Flogin.example.se"
    assert f'<meta http-equiv="refresh" content="0; url={address}">' in page.text
    assert f'href="{address}"' in page.text


@pytest.mark.parametrize("client_id", ["gone", "other", "api", ""])
def test_an_app_that_may_not_be_opened_any_more_is_passed_over(account: Account, client_id: str) -> None:
    choose(account, client_id)
    assert landed(account) == "/account"


def test_the_start_page_needs_a_login(account: Account) -> None:
    stranger = account.app.test_client()
    assert stranger.get("/account/start", **HTTPS).location.startswith("/login/")


@pytest.mark.parametrize(
    ("changes", "company", "expected"),
    [
        ({}, "Exempel AB", "https://portal.example.se/login?iss=https%3A%2F%2Flogin.example.se"),
        (
            {"companies": ["Exempel AB"]},
            "Exempel AB",
            "https://portal.example.se/login?iss=https%3A%2F%2Flogin.example.se",
        ),
        ({"companies": ["Exempel AB"]}, "Annan AB", None),
        ({"initiate_login_uri": None}, "Exempel AB", None),
    ],
)
def test_the_companies_and_clients_that_may_begin_a_login(
    changes: dict[str, Any], company: str, expected: str | None
) -> None:
    client = Client(client_id="portal", **make_client(**changes))
    assert start_page.address(client, company=company, issuer=ISSUER) == expected
    assert bool(start_page.offered({"portal": client}, company=company)) is (expected is not None)
