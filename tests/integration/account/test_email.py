"""A person asks for another e-mail address and confirms it by the link mailed to the new one."""

import re
from email.message import EmailMessage

import pytest
import sqlalchemy as sa
from flask.testing import FlaskClient
from time_machine import Traveller
from werkzeug.test import TestResponse

from idp import outbox
from idp.account.models import EmailChange
from idp.clock import utcnow
from idp.db import db
from idp.users import accounts
from tests.factories import PASSWORD, make_user
from tests.fakes.outbox import queued
from tests.fakes.relying_party import HTTPS
from tests.fakes.reset_pages import ANNA, NEW, choose, csrf, link, logs_in, text_of
from tests.integration.account.conftest import TITLE, Account

NEW_ADDRESS = "anna.ny+leasing@example.se"
TAKEN = "berit@example.se"


def mails(account: Account) -> dict[str, str]:
    """The text of each mail about the address that waits, by recipient."""
    both = queued(account.app, "email_change") + notices(account)
    return {one["To"].addresses[0].addr_spec: text_of(one) for one in both}


def notices(account: Account) -> list[EmailMessage]:
    return queued(account.app, "email_notice")


def path(account: Account) -> str:
    """The path of the newest link."""
    texts = "".join(text_of(one) for one in queued(account.app, "email_change"))
    return str(re.findall(r"https://login\.example\.se(/account/email/[0-9a-f]{64})\s", texts)[-1])


def ask(account: Account, email: str = NEW_ADDRESS) -> str:
    """The path of the link that is mailed when the address is asked for."""
    assert account.save(email=email).status_code == 303
    return path(account)


def follow(browser: FlaskClient, where: str) -> TestResponse:
    page = browser.get(where, **HTTPS)
    assert page.status_code == 200, page.text
    return browser.post(where, data={"csrf_token": csrf(page)}, **HTTPS)


def test_the_address_changes_when_the_link_is_followed_in_any_browser(account: Account) -> None:
    where = ask(account)
    told = mails(account)
    assert set(told) == {NEW_ADDRESS, ANNA}
    assert NEW_ADDRESS in told[ANNA]
    assert "/account/email/" not in told[ANNA], "only the new address gets the link"
    page = account.page()
    assert f"<strong>{NEW_ADDRESS}</strong> väntar på bekräftelse" in page.text
    assert account.fields(page)["email"] == ANNA
    assert account.stored().email == ANNA
    anywhere = account.app.test_client()
    for _ in range(3):
        assert anywhere.get(where, **HTTPS).status_code == 200
        assert anywhere.head(where, **HTTPS).status_code == 200
    assert account.stored().email == ANNA, "looking changes nothing"
    done = follow(anywhere, where)
    assert done.location == "/account/email/confirmed"
    assert "Din e-postadress är ändrad" in anywhere.get(done.location, **HTTPS).text
    user = account.stored()
    assert (user.email, user.email_key, user.email_verified_at) == (NEW_ADDRESS, NEW_ADDRESS, utcnow())
    assert "väntar på bekräftelse" not in account.page().text
    assert logs_in(account.app, PASSWORD, NEW_ADDRESS)
    assert not logs_in(account.app, PASSWORD, ANNA)
    assert len(queued(account.app, "email_change")) == 1
    asked, changed = notices(account)
    assert NEW_ADDRESS in text_of(changed)
    assert {one["To"].addresses[0].addr_spec for one in (asked, changed)} == {ANNA}
    assert [event for event in account.events() if event.startswith("email.")] == [
        "email.change_asked",
        "email.changed",
    ]


def test_a_link_works_once(account: Account) -> None:
    where = ask(account)
    browser = account.app.test_client()
    token = csrf(browser.get(where, **HTTPS))
    assert browser.post(where, data={"csrf_token": token}, **HTTPS).status_code == 303
    again = browser.post(where, data={"csrf_token": token}, **HTTPS)
    assert again.status_code == 410
    assert "Länken är redan använd" in again.text
    assert account.events().count("email.changed") == 1


def test_a_link_ends_after_an_hour(account: Account, clock: Traveller) -> None:
    where = ask(account)
    clock.shift(59 * 60)
    assert account.browser.get(where, **HTTPS).status_code == 200
    clock.shift(60)
    over = account.browser.get(where, **HTTPS)
    assert over.status_code == 410
    assert "Länken har gått ut" in over.text
    assert over.headers["Referrer-Policy"] == "no-referrer"


def test_the_newest_link_voids_the_one_before(account: Account) -> None:
    first = ask(account)
    second = ask(account, "en.annan@example.se")
    assert account.browser.get(first, **HTTPS).status_code == 404
    assert follow(account.browser, second).status_code == 303
    assert account.stored().email == "en.annan@example.se"


def test_an_older_open_form_does_not_replace_a_wished_address_silently(account: Account) -> None:
    stale = account.fields()
    where = ask(account)
    page = account.send(stale | {"email": "en.annan@example.se"})
    assert page.status_code == 409
    assert 'id="account-pending"' in page.text, "what would be replaced is shown"
    assert account.browser.get(where, **HTTPS).status_code == 200


def test_an_address_that_mails_do_not_reach_is_named_by_the_field(account: Account, clock: Traveller) -> None:
    ask(account)
    assert 'id="account-email-undelivered"' not in account.page().text
    refuse_mails(account)
    page = account.page()
    assert f"Brevet till {NEW_ADDRESS} gick inte att leverera." in page.text
    field = re.findall(r'<input[^>]*id="account-email"[^>]*>', page.text)[0]
    assert 'aria-describedby="account-email-undelivered"' in field
    clock.shift(1)
    ask(account, "en.annan@example.se")
    assert 'id="account-email-undelivered"' not in account.page().text, "it may be on its way"
    refuse_mails(account)
    withdraw = {"csrf_token": account.csrf()}
    account.browser.post("/account/email/withdraw", data=withdraw, **HTTPS)
    assert 'id="account-email-undelivered"' not in account.page().text


def refuse_mails(account: Account) -> None:
    """Give up every mail that waits, as for a server that knows no such recipient."""
    with account.app.app_context():
        while (claimed := outbox.lease_next(now=utcnow())) is not None:
            outbox.give_up(claimed, "the mail server refuses the recipient (550)", now=utcnow())


def test_only_the_posted_form_with_its_token_changes_the_address(account: Account) -> None:
    where = ask(account)
    refused = account.browser.post(where, **HTTPS)
    assert refused.status_code == 400
    assert refused.headers["Referrer-Policy"] == "no-referrer"
    assert account.stored().email == ANNA


@pytest.mark.parametrize("token", ["0" * 64, "x", "A" * 64, "%00" * 64])
def test_a_made_up_link_opens_nothing(account: Account, token: str) -> None:
    assert account.browser.get(f"/account/email/{token}", **HTTPS).status_code == 404


def test_a_wished_address_can_be_withdrawn(account: Account) -> None:
    where = ask(account)
    page = account.page()
    assert 'id="account-withdraw"' in page.text
    assert account.browser.post("/account/email/withdraw", **HTTPS).status_code == 400
    back = account.browser.post("/account/email/withdraw", data={"csrf_token": csrf(page)}, **HTTPS)
    assert back.location == "/account"
    assert account.browser.get(where, **HTTPS).status_code == 404
    assert "väntar på bekräftelse" not in account.page().text
    assert account.events()[-1] == "email.change_withdrawn"
    account.browser.post("/account/email/withdraw", data={"csrf_token": csrf(page)}, **HTTPS)
    assert account.events().count("email.change_withdrawn") == 1


def test_a_taken_address_is_answered_as_a_free_one(account: Account) -> None:
    with account.app.app_context():
        make_user(email=TAKEN, name="Berit")
    free = account.save(email=NEW_ADDRESS)
    shown_free = account.page().text
    taken = account.save(email=TAKEN)
    shown_taken = account.page().text
    assert (free.status_code, free.location) == (taken.status_code, taken.location)

    def plain(text: str, email: str) -> str:
        return re.sub(r'value="[^"]*"', "", text.replace(email, "EMAIL"))

    assert plain(shown_taken, TAKEN).count("EMAIL") == 1
    assert 'id="account-pending"' in shown_taken
    assert len(plain(shown_taken, TAKEN)) <= len(plain(shown_free, NEW_ADDRESS)) + len('role="status"') * 20
    told = mails(account)
    assert "adressen redan hör till ditt konto" in told[TAKEN]
    assert "/account/email/" not in told[TAKEN]
    with account.app.app_context():
        assert len(db.session.scalars(sa.select(EmailChange)).all()) == 1
    assert account.stored().email == ANNA


def test_an_address_taken_meanwhile_is_not_given_away(account: Account) -> None:
    where = ask(account)
    page = account.browser.get(where, **HTTPS)
    with account.app.app_context():
        make_user(email=NEW_ADDRESS, name="Berit")
    over = account.browser.post(where, data={"csrf_token": csrf(page)}, **HTTPS)
    assert over.status_code == 404
    assert "email.changed" not in account.events()
    with account.app.app_context():
        found = accounts.find_by_email(ANNA)
        assert found is not None


def test_another_spelling_of_the_address_goes_by_link_too(account: Account) -> None:
    assert follow(account.browser, ask(account, "Anna@example.se")).status_code == 303
    assert account.stored().email == "Anna@example.se"
    assert account.stored().email_key == ANNA


def test_a_new_password_voids_the_link(account: Account) -> None:
    where = ask(account)
    stranger = account.app.test_client()
    assert choose(stranger, link(account.app, stranger)).status_code == 303
    assert stranger.get(where, **HTTPS).status_code == 404


def test_a_new_address_and_password_at_once(account: Account) -> None:
    assert account.save(email=NEW_ADDRESS, password=NEW, confirm=NEW, title=TITLE).status_code == 303
    assert follow(account.browser, path(account)).status_code == 303
    assert logs_in(account.app, NEW, NEW_ADDRESS)


def test_a_disabled_account_gets_no_address(account: Account) -> None:
    where = ask(account)
    page = account.browser.get(where, **HTTPS)
    with account.app.app_context():
        accounts.disable(account.stored().id, now=utcnow())
    assert account.browser.post(where, data={"csrf_token": csrf(page)}, **HTTPS).status_code == 404
    assert account.stored().email == ANNA


def test_an_older_open_form_is_not_a_wish_for_the_old_address(account: Account) -> None:
    where = ask(account)
    stale = account.fields()
    follow(account.app.test_client(), where)
    assert account.send(stale | {"title": TITLE}).status_code == 409
    assert len(notices(account)) == 2


def test_wished_addresses_are_limited_and_the_form_is_kept(account: Account, clock: Traveller) -> None:
    for number in range(5):
        assert account.save(email=f"ny{number}@example.se").status_code == 303
    limited = account.save(email="ny9@example.se", title=TITLE)
    assert limited.status_code == 429
    assert int(limited.headers["Retry-After"]) > 0
    assert 'id="account-email-error"' in limited.text
    assert account.fields(limited)["title"] == TITLE
    assert account.stored().title is None
    assert len(queued(account.app, "email_change")) == len(notices(account)) == 5
    assert "email.change_limited" in account.events()
    assert account.save(title=TITLE).status_code == 303


def test_a_conflict_asks_for_no_new_address(account: Account) -> None:
    stale = account.fields()
    account.save(title=TITLE)
    for _ in range(6):
        assert account.send(stale | {"email": NEW_ADDRESS}).status_code == 409
    assert account.save(email=NEW_ADDRESS).status_code == 303


def test_the_token_is_stored_as_a_hash(account: Account) -> None:
    token = ask(account).rpartition("/")[2]
    with account.app.app_context():
        row = db.session.scalars(sa.select(EmailChange)).one()
        assert token not in str(vars(row))
