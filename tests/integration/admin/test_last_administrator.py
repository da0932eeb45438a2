"""A company keeps an administrator, whatever two of them do at once."""

from threading import Barrier, Thread
from uuid import UUID

import pytest
from flask import Flask

from idp.admin import service
from idp.admin.service import UserDetails
from idp.clock import utcnow
from idp.config import Settings
from idp.db import db
from idp.errors import NotFound
from idp.extensions import SETTINGS
from idp.users.accounts import Profile, find_by_email
from idp.users.models import Role
from tests.integration.admin.conftest import Company, stored


def test_two_administrators_demoting_each_other_leave_one(
    environ: dict[str, str], app: Flask, company: Company
) -> None:
    if app.config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite"):
        pytest.skip("an in-memory database is one connection's")
    settings = Settings.from_environ(environ)
    pair = (company.admin, company.second_admin)
    for _ in range(3):
        answers: list[str] = []
        start = Barrier(2)

        def demote(actor: str, target: str, start: Barrier = start, answers: list[str] = answers) -> None:
            with app.app_context():
                who = service.administrator(UUID(actor))
                version = service.user(who, UUID(target)).version if who else 0
                db.session.rollback()
                start.wait()
                assert who is not None
                details = UserDetails(Profile("Namn", None, None), "sv", role=Role.USER)
                try:
                    service.update(
                        who, UUID(target), details, version=version, settings=settings, now=utcnow()
                    )
                    answers.append("done")
                except NotFound:
                    answers.append("not found")
                db.session.remove()

        threads = [Thread(target=demote, args=each) for each in (pair, pair[::-1])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers) == ["done", "not found"]
        roles = {user_id: stored(app, user_id)["role"] for user_id in pair}
        assert sorted(roles.values()) == ["company_admin", "user"]
        with app.app_context():
            found = find_by_email(stored(app, next(one for one in pair if roles[one] == "user"))["email"])
            assert found is not None
            found.role = Role.COMPANY_ADMIN.value
            db.session.commit()


def test_an_administrator_demoted_meanwhile_demotes_nobody(app: Flask, company: Company) -> None:
    with app.app_context():
        berit, cesar = (service.administrator(UUID(one)) for one in (company.admin, company.second_admin))
        assert berit is not None
        assert cesar is not None
        settings = SETTINGS.of(app)
        details = UserDetails(Profile("Namn", None, None), "sv", role=Role.USER)
        service.update(berit, cesar.id, details, version=0, settings=settings, now=utcnow())
        for attempt in (
            lambda: service.update(cesar, berit.id, details, version=0, settings=settings, now=utcnow()),
            lambda: service.disable(cesar, berit.id, settings=settings, now=utcnow()),
            lambda: service.disable(berit, berit.id, settings=settings, now=utcnow()),
        ):
            with pytest.raises(NotFound):
                attempt()
    assert stored(app, company.admin)["role"] == "company_admin"
