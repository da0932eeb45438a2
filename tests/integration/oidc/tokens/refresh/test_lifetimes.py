"""A refresh token has an idle and an absolute lifetime."""

from pathlib import Path

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask

from idp.bankid.method import REFRESH_IDLE as BANKID_REFRESH_IDLE
from idp.clock import utcnow
from idp.db import db
from idp.oidc.models import Grant, RefreshToken
from tests.fakes.relying_party import RelyingParty
from tests.integration.oidc.tokens.refresh.refreshing import DAY, SCOPE, access_tokens, log_in
from tests.integration.oidc.tokens.refresh.test_ends import change_entry


@pytest.mark.parametrize(("client_id", "limits"), [("portal", (30 * DAY, 180 * DAY)), ("brief", (600, 3600))])
def test_a_refresh_token_has_idle_and_absolute_limits(
    clock: time_machine.Traveller, app: Flask, anna: str, client_id: str, limits: tuple[int, int]
) -> None:
    idle, absolute = limits
    rp = RelyingParty(app, app.test_client(), client_id, f"https://{client_id}.example.se/cb")
    token = log_in(rp).refresh_token
    clock.shift(idle)
    before = access_tokens(app)
    assert rp.refresh(token).error == "invalid_grant"
    assert access_tokens(app) == before
    token = log_in(rp, prompt="login").refresh_token
    for _ in range(absolute // idle * 2 - 1):
        clock.shift(idle / 2)
        assert rp.refresh(token).status == 200
    clock.shift(idle / 2)
    assert rp.refresh(token).error == "invalid_grant"


def test_a_use_is_noted_when_it_moves_the_end_enough(
    clock: time_machine.Traveller, app: Flask, anna: str, clients_file: Path
) -> None:
    """By a sixtieth of the idle limit: what a use right after another would write is not worth its cost."""
    rp = RelyingParty(app, app.test_client(), "brief", "https://brief.example.se/cb")
    token = log_in(rp).refresh_token

    def seconds_left() -> float:
        with app.app_context():
            end = db.session.scalars(sa.select(RefreshToken.expires_at)).one()
            return (end - utcnow()).total_seconds()

    for passed, left in ((9, 591), (1, 600), (9, 591), (590, 600)):
        clock.shift(passed)
        answer = rp.refresh(token)
        assert (answer.status, answer.refresh_token) == (200, token)
        assert rp.userinfo(answer.access_token).status_code == 200
        assert seconds_left() == pytest.approx(left, abs=0.5)
    change_entry(app, clients_file, "brief", refresh_token_idle_minutes=5)
    assert rp.refresh(token).status == 200
    assert seconds_left() == pytest.approx(300, abs=0.5), "a limit that was made shorter holds at once"


def test_rotation_does_not_lengthen_the_absolute_limit(
    clock: time_machine.Traveller, spa: RelyingParty, anna: str
) -> None:
    token = log_in(spa).refresh_token
    for _ in range(7):
        clock.shift(25 * DAY)
        token = spa.refresh(token).refresh_token
    clock.shift(5 * DAY)
    assert spa.refresh(token).error == "invalid_grant"


def test_a_refresh_token_after_bankid_lies_idle_for_two_hours_at_most(
    clock: time_machine.Traveller, rp: RelyingParty, app: Flask, anna: str, clients_file: Path
) -> None:
    code = rp.code(scope=SCOPE)
    change_entry(app, clients_file, login_methods=["bankid", "password"])
    with app.app_context():
        db.session.execute(sa.update(Grant).values(method="bankid"))
        db.session.commit()
    token = rp.exchange(code).refresh_token
    for _ in range(3):
        clock.shift(BANKID_REFRESH_IDLE.total_seconds() - 1)
        assert rp.refresh(token).status == 200
    clock.shift(BANKID_REFRESH_IDLE.total_seconds())
    assert rp.refresh(token).error == "invalid_grant"
