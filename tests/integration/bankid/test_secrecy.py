"""After an account's whole life, from the welcome to the unlinking, no secret is kept in clear."""

import json
import re
from email.message import EmailMessage
from io import StringIO
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask

from idp import audit
from idp.clock import utcnow
from idp.db import db
from idp.extensions import SETTINGS
from idp.users import accounts
from tests.factories import make_client, make_company
from tests.fakes.outbox import queued
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.fakes.reset_pages import choose, link, text_of
from tests.integration.bankid.conftest import ANNA, BankIdVisitor, Phone
from tests.integration.bankid.linking import Account
from tests.integration.bankid.orders import newest_order, qr_text, scan_and_approve

OLD, NEW = "gammal saxofon trampar gräs", "tretton blå kanoter utan åror"
EMAIL, NEW_EMAIL = "anna@example.se", "anna.ny@example.se"
NUMBER = ANNA.personal_number
RESET, CONFIRM = "Återställning av lösenord", "Bekräfta din nya e-postadress"


def in_every_table(app: Flask) -> str:
    """All that the database holds, as text: bytes as they are written in hex, JSON with its letters."""
    with app.app_context():
        rows = [
            (table.name, *row)
            for table in db.metadata.sorted_tables
            for row in db.session.execute(sa.text(f'SELECT * FROM "{table.name}"'))
        ]
    return "\n".join(json.dumps(row, ensure_ascii=False, default=_readable) for row in rows)


def _readable(value: Any) -> str:
    if isinstance(value, bytes | memoryview):
        raw = bytes(value)
        return f"{raw.hex()} {raw.decode(errors='replace')}"
    return str(value)


def parts(message: EmailMessage) -> str:
    """A mail, header and both of its parts, as it is read."""
    texts = [str(part.get_content()) for part in message.walk() if not part.is_multipart()]
    return "\n".join([*map(str, message.values()), *texts])


def spelled(number: str) -> list[str]:
    """A personal number in every usual spelling."""
    return [number, number[2:], f"{number[:8]}-{number[8:]}", f"{number[2:8]}-{number[8:]}"]


class Run:
    """One account's life. `links` and `handles` are kept nowhere; `untold` may be, but is told nobody."""

    def __init__(self, app: Flask, rp: RelyingParty, phone: Phone) -> None:
        self.app, self.rp, self.phone = app, rp, phone
        self.account = Account(app, rp.browser)
        self.links: list[str] = []
        self.handles: list[str] = []
        self.untold: list[str] = []

    def welcome(self) -> None:
        with self.app.app_context():
            make_company()
            anna = accounts.NewUser(email=EMAIL, name="Anna Åkesson", company="Exempel AB")
            accounts.add(anna, now=utcnow(), welcome=SETTINGS.of(self.app))

    def reset(self, password: str) -> None:
        path = link(self.app, self.rp.browser, EMAIL)
        self.links.append(path.split("/")[3].split("?")[0])
        self.rp.browser.post(path, data={"password": password}, **HTTPS)  # refused: no CSRF token
        assert choose(self.rp.browser, path, password).status_code == 303

    def log_in(self, email: str, password: str) -> None:
        """To the relying app, wrongly at first; its code is used twice, its tokens once."""
        asked = self.rp.authorize(prompt="login", scope="openid offline_access")
        uid = asked.headers["Location"].rsplit("/", 1)[-1]
        page = self.account.get(f"/login/{uid}/password")
        form = page.request.path
        assert self.account.post(page, form, email=email, password=password + "x").status_code == 401
        code = self.rp.answer(self.rp.follow(self.account.post(page, form, email=email, password=password)))[
            "code"
        ]
        tokens = self.rp.exchange(code)
        assert tokens.status == 200, tokens
        assert self.rp.userinfo(tokens.access_token).status_code == 200
        assert self.rp.exchange(code).error == "invalid_grant"
        handle = self.rp.browser.get_cookie("__Host-idp_session", "login.example.se")
        assert handle is not None
        self.handles += [code, tokens.access_token, tokens.id_token, handle.value]
        self.handles += [value for name, value in tokens.body.items() if name == "refresh_token"]

    def link_bankid(self) -> None:
        page = self.account.prove(self.phone)
        # An order's secret makes its QR codes, and is kept as long as the order: told to nobody.
        self.untold = [newest_order(self.app).qr_start_secret, newest_order(self.app).qr_start_token]
        self.handles.append(qr_text(self.app))
        assert self.account.answer(page).status_code == 303

    def save(self, **changes: str) -> None:
        """Change details in "Mina uppgifter"."""
        page = self.account.get("/account")
        form = page.text.split('id="account-form"')[1].split("</form>")[0]
        fields = dict(re.findall(r'name="(\w+)"[^>]* value="([^"]*)"', form))
        fields |= {"locale": "sv", "start_page": "", "notices": "y", **changes}
        fields.pop("csrf_token")
        saved = self.account.post(page, "/account", **fields)
        assert (saved.status_code, saved.location) == (303, "/account"), saved.text[:3000]

    def confirm_address(self) -> None:
        mails = [message for message in queued(self.app) if message["Subject"] == CONFIRM]
        found = re.search(r"/account/email/(\S+)", text_of(mails[-1]))
        assert found is not None
        self.links.append(found[1])
        path = f"/account/email/{found[1]}"
        self.rp.browser.post(path, **HTTPS)  # refused: no CSRF token
        assert self.account.post(self.account.get(path), path).status_code == 303

    def log_in_with_bankid(self) -> None:
        visitor = BankIdVisitor(RelyingParty(self.app, self.app.test_client()))
        visitor.open(prompt="login")
        scan_and_approve(self.app, self.phone)
        assert visitor.poll()["state"] == "complete"


@pytest.fixture
def clients() -> dict[str, dict[str, Any]]:
    """An app that gets refresh tokens too."""
    return {
        "portal": make_client(
            login_methods=["bankid", "password"],
            scope="openid profile email offline_access",
            grant_types=["authorization_code", "refresh_token"],
        )
    }


@pytest.fixture
def whole_run(app: Flask, rp: RelyingParty, phone: Phone, written: StringIO) -> Run:
    """Welcome, reset, login, a number typed, linked, details changed, a login by BankID, unlinked."""
    run = Run(app, rp, phone)
    run.welcome()
    run.reset(OLD)
    run.log_in(EMAIL, OLD)
    run.save(personal_number=NUMBER)
    run.link_bankid()
    run.save(password=NEW, confirm=NEW)
    run.save(email=NEW_EMAIL)
    run.confirm_address()
    run.log_in(NEW_EMAIL, NEW)
    run.log_in_with_bankid()
    assert run.account.unlink().status_code == 303
    run.log_in(NEW_EMAIL, NEW)
    return run


def test_no_table_log_page_or_mail_holds_a_secret(app: Flask, whole_run: Run, written: StringIO) -> None:
    secrets = [*whole_run.links, *whole_run.handles, OLD, NEW, *spelled(NUMBER)]
    assert len(whole_run.links) == 2
    assert len(set(whole_run.handles)) >= 8
    assert all(len(secret) >= 10 for secret in secrets)
    logged, stored = written.getvalue(), in_every_table(app)
    with app.app_context():
        audited = repr([row.__dict__ for row in audit.newest(1000)])
        events = {row.event for row in audit.newest(1000)}
    assert {"user.created", "password.changed", "bankid.linked", "bankid.unlinked", "email.changed"} <= events
    assert "Anna Åkesson" in stored, "what is looked through is there to see"
    assert "/password/reset/…" in logged
    for where, text in (("log", logged), ("database", stored), ("audit", audited)):
        sought = secrets if where == "database" else secrets + whole_run.untold
        assert [secret for secret in sought if secret in text] == [], where


def test_mails_hold_links_alone_and_each_its_own(app: Flask, whole_run: Run) -> None:
    mails = queued(app)
    subjects = [message["Subject"] for message in mails]
    assert "Välkommen till Leasify" in subjects
    assert len(subjects) >= 8, "the notices too"
    for secret, subject in zip(whole_run.links, (RESET, CONFIRM), strict=True):
        assert [message["Subject"] for message in mails if secret in parts(message)] == [subject]
    secrets = (OLD, NEW, *spelled(NUMBER), *whole_run.handles, *whole_run.untold)
    assert [secret for secret in secrets for message in mails if secret in parts(message)] == []
