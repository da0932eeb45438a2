"""A session that ends while a grant is made gives no tokens."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask

from idp.clock import utcnow
from idp.db import db
from idp.login import sessions
from idp.login.models import BrowserSession
from idp.oidc.models import Grant
from idp.oidc.tokens import codes
from idp.users import accounts
from idp.users.models import Status, User
from tests.fakes.relying_party import RelyingParty


def end_sessions(user_id: UUID) -> None:
    sessions.end_all_of(user_id, now=utcnow(), reason="test")
    db.session.commit()


def disable(user_id: UUID) -> None:
    accounts.disable(user_id, now=utcnow())


def grants_in_force(app: Flask) -> int:
    with app.app_context():
        return len(db.session.scalars(sa.select(Grant).where(Grant.revoked_at.is_(None))).all())


@pytest.fixture(params=[end_sessions, disable])
def _ends_too_soon(request: pytest.FixtureRequest, anna: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make = codes.issue_code

    def late(*args: Any, **kwargs: Any) -> str | None:
        if db.session.scalar(sa.select(Grant.id)):  # not the first one
            db.session.rollback()
            request.param(UUID(anna))
        return make(*args, **kwargs)

    monkeypatch.setattr(codes, "issue_code", late)


@pytest.mark.usefixtures("_ends_too_soon")
@pytest.mark.parametrize("stored", [False, True])
def test_a_session_that_ends_before_its_grant_is_made_gives_none(
    rp: RelyingParty, app: Flask, stored: bool
) -> None:
    rp.code()
    assert grants_in_force(app) == 1
    if stored:  # a POST is stored and answered at its own address
        page = rp.follow(rp.authorize("POST"))
        assert 'id="login-form"' in page.text
    else:
        assert rp.answer(rp.authorize(prompt="none"))["error"] == "login_required"
    assert grants_in_force(app) == 0


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_end_that_is_not_committed_yet_is_waited_for(rp: RelyingParty, app: Flask, anna: str) -> None:
    rp.code()
    with app.app_context(), ThreadPoolExecutor(1) as elsewhere:
        connection = db.engine.connect()
        connection.execute(sa.update(BrowserSession).values(ended_at=utcnow()))
        answer = elsewhere.submit(rp.authorize, prompt="none")
        with pytest.raises(TimeoutError):
            answer.result(0.5)
        connection.commit()
        connection.close()
        assert rp.answer(answer.result(10))["error"] == "login_required"


def test_a_code_of_somebody_disabled_is_not_exchanged(rp: RelyingParty, app: Flask, anna: str) -> None:
    code = rp.code()
    with app.app_context():
        # The account alone: as if its grants had been missed.
        db.session.execute(sa.update(User).values(status=Status.DISABLED.value))
        db.session.commit()
    assert rp.exchange(code).error == "invalid_grant"
    with app.app_context():
        db.session.execute(sa.update(User).values(status=Status.ACTIVE.value))
        db.session.commit()
    assert rp.exchange(code).status == 200
