"""The stored page of Mina uppgifter, once filled in, is the page that rendering would give."""

from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask, render_template_string
from time_machine import Traveller

from idp.clock import utcnow
from idp.crypto import NUMBER_KEYS, PersonalNumberKeys
from idp.db import db
from idp.i18n import TEXTS
from idp.login.models import BrowserSession
from idp.prewritten import Hole
from idp.users import bankid_links
from idp.users.models import Role, User
from idp.users.personal_number import PersonalNumber
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.account.conftest import KEYS, Account
from tests.integration.account.test_email import refuse_mails

NUMBER = "199001012385"


def check(account: Account) -> str:
    """The page, the same however it comes about: anew, for the first time like this, and again."""
    anew = account.browser.get("/account?x=1", **HTTPS).text.replace("x=1&amp;", "")
    first, again = account.page().text, account.page().text
    assert first == anew
    assert again == anew
    return anew


def test_the_stored_page_is_the_rendered_page(account: Account) -> None:
    assert check(account)
    assert account.save(name="Åsa O'Brien", title="Chef \\1 {x} %s", phone="070-303 22 03").status_code == 303
    assert 'id="account-saved"' in account.page().text
    assert "Åsa O&#39;Brien" in check(account)
    assert account.save(start_page="portal", notices=None, personal_number=NUMBER).status_code == 303
    account.page()  # says once that it is saved
    assert "19900101-****" in check(account)


def test_the_stored_page_is_the_rendered_page_with_other_logins(app: Flask, account: Account) -> None:
    assert "Logga ut alla andra" not in check(account)
    RelyingParty(app, app.test_client()).code()
    page = check(account)
    assert "Appar: Portalen" in page
    assert "Logga ut alla andra" in page
    assert page.count("IP-adress 127.0.0.1") == 2
    with app.app_context():
        db.session.execute(sa.update(BrowserSession).values(address=None))
        db.session.commit()
    assert "IP-adress" not in check(account)


def test_the_stored_page_escapes_what_it_shows(app: Flask, account: Account) -> None:
    """Whatever is stored, also what no form of ours would have taken."""
    with app.app_context():
        db.session.execute(sa.update(User).values(name='<b>Åsa & "O\'B"</b>', title='"><script>'))
        db.session.commit()
    page = check(account)
    assert "<dd>&lt;b&gt;Åsa &amp; &#34;O&#39;B&#34;&lt;/b&gt;</dd>" in page
    assert 'value="&#34;&gt;&lt;script&gt;"' in page


def test_the_stored_page_is_the_rendered_page_in_every_state(
    app: Flask, account: Account, clock: Traveller
) -> None:
    assert account.save(email="ny@example.se").status_code == 303
    account.page()
    assert "<strong>ny@example.se</strong>" in check(account)
    refuse_mails(account)
    assert 'id="account-email-undelivered"' in check(account)
    clock.shift(20 * 60)
    assert 'id="account-fresh"' in check(account)
    with app.app_context():
        db.session.execute(sa.update(User).values(role=Role.COMPANY_ADMIN.value))
        keys = PersonalNumberKeys(KEYS)
        bankid_links.link(UUID(account.user_id), PersonalNumber(NUMBER), "Anna", keys=keys, now=utcnow())
    page = check(account)
    assert 'id="account-company-users"' in page
    assert 'id="bankid-unlink"' in page
    assert "Inte använt än" in page
    with app.app_context():
        bankid_links.note_use(UUID(account.user_id), now=utcnow())
        db.session.commit()
    assert "Inte använt än" not in check(account)
    account.browser.set_cookie("idp_language", "en", domain="login.example.se", secure=True)
    assert "<h1>My details</h1>" in check(account)
    NUMBER_KEYS.put(app, None)
    assert 'id="bankid-section"' not in check(account)


def test_the_kept_template_holds_nothing_personal(app: Flask, account: Account) -> None:
    account.save(title="Inköpare", phone="0708123456", personal_number=NUMBER, email="ny@example.se")
    account.page()
    account.page()
    kept = str([texts.prewritten for texts in TEXTS.of(app).values()])
    assert "Ändra mina uppgifter" in kept
    for personal in (
        *("anna@example.se", "Anna Åsén", "Inköpare", "0708123456", "708", "19900101", "ny@example.se"),
        *("Exempel AB", "127.0.0", account.csrf(), account.user_id),
    ):
        assert personal not in kept, personal


@pytest.mark.parametrize(
    "asked",
    [
        "{% if it %}{% endif %}",
        "{{ it == 'a' }}",
        "{{ it or 'a' }}",
        "{{ it | length }}",
        "{{ it | upper }}",
        "{% for one in it %}{% endfor %}",
        "{{ it[:1] }}",
        "{{ it ~ '' }}",
    ],
)
def test_no_template_decides_by_a_filled_in_value(app: Flask, asked: str) -> None:
    with app.test_request_context(), pytest.raises(TypeError, match="decides nothing"):
        render_template_string(asked, it=Hole("it"))
