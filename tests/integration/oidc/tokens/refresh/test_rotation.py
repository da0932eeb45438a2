"""A public client's refresh token rotates, and its reuse ends the family (RFC 9700 §4.14)."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask

from idp.audit import Event, newest
from idp.db import db
from idp.oidc.models import RefreshToken
from idp.oidc.tokens import refresh
from idp.oidc.tokens.refresh import Presented
from idp.tokens import sha256_hex
from tests.fakes.relying_party import RelyingParty
from tests.integration.oidc.tokens.refresh.refreshing import access_tokens, log_in


def test_a_public_clients_token_rotates(spa: RelyingParty, anna: str) -> None:
    first = log_in(spa)
    second = spa.refresh(first.refresh_token)
    third = spa.refresh(second.refresh_token)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert [tokens.status for tokens in (second, third)] == [200, 200]
    assert spa.userinfo(third.access_token).status_code == 200


def test_a_lost_answer_is_given_again_for_thirty_seconds(
    clock: time_machine.Traveller, spa: RelyingParty, app: Flask, anna: str
) -> None:
    first = log_in(spa)
    lost = spa.refresh(first.refresh_token)
    clock.shift(29)
    again = spa.refresh(first.refresh_token)
    assert again.refresh_token == lost.refresh_token
    assert again.access_token != lost.access_token
    assert spa.refresh(again.refresh_token).status == 200
    with app.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(RefreshToken)) == 3


@pytest.mark.parametrize("how", ["late", "after its successor"])
def test_reuse_ends_the_family(
    clock: time_machine.Traveller, spa: RelyingParty, app: Flask, anna: str, how: str
) -> None:
    bystander = log_in(spa)
    first = log_in(spa)
    newest_tokens = spa.refresh(first.refresh_token)
    if how == "late":
        clock.shift(30)
    else:
        newest_tokens = spa.refresh(newest_tokens.refresh_token)
    before = access_tokens(app)
    assert spa.refresh(first.refresh_token).error == "invalid_grant"
    assert spa.refresh(newest_tokens.refresh_token).error == "invalid_grant"
    assert access_tokens(app) == before
    assert spa.userinfo(newest_tokens.access_token).status_code == 401
    assert spa.refresh(bystander.refresh_token).status == 200
    with app.app_context():
        [row] = newest(10, event=Event.REFRESH_TOKEN_REUSED)
        assert (row.client_id, row.actor, row.detail) == ("spa", "client", {})


def test_another_client_can_neither_use_nor_end_a_rotated_token(
    clock: time_machine.Traveller, spa: RelyingParty, app: Flask, anna: str
) -> None:
    first = log_in(spa)
    second = spa.refresh(first.refresh_token)
    clock.shift(60)
    assert spa.refresh(first.refresh_token, client_id="spa2").error == "invalid_grant"
    assert spa.refresh(second.refresh_token).status == 200


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_one_of_parallel_refreshes_rotates_and_all_get_the_same_token(
    spa: RelyingParty, app: Flask, anna: str
) -> None:
    token = log_in(spa).refresh_token
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(spa.refresh, [token] * 16))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.refresh_token for answer in answers}) == 1
    assert len({answer.access_token for answer in answers}) == 16
    with app.app_context():
        assert db.session.scalar(sa.select(sa.func.count()).select_from(RefreshToken)) == 2
    assert spa.refresh(answers[0].refresh_token).status == 200


def test_a_token_used_between_read_and_claim_is_read_again(
    clock: time_machine.Traveller,
    rp: RelyingParty,
    app: Flask,
    anna: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here by a worker that still has the client as a public one: its first look finds the token unused."""
    token = log_in(rp).refresh_token
    use, answers = refresh.rotate_or_extend, []

    def late(presented: Presented, **values: Any) -> tuple[str, str] | None:
        if not answers:
            answers.append(use(presented, **{**values, "rotate": True}))
        answers.append(use(presented, **values))
        return answers[-1]

    monkeypatch.setattr(refresh, "rotate_or_extend", late)
    clock.shift(120)  # its end moves
    before = access_tokens(app)
    answer = rp.refresh(token)
    elsewhere, first, second = answers
    assert elsewhere is not None
    assert first is None
    assert second == (answer.access_token, answer.refresh_token)
    assert answer.refresh_token == elsewhere[1], "as to anybody whose answer got lost"
    stored = {row[0] for row in set(access_tokens(app)) - set(before)}
    assert stored == {sha256_hex(elsewhere[0]), sha256_hex(answer.access_token)}, "none of the lost claim"


def test_tokens_are_stored_as_hashes(spa: RelyingParty, app: Flask, anna: str) -> None:
    tokens = spa.refresh(log_in(spa).refresh_token)
    with app.app_context():
        stored = [str(tuple(row)) for row in db.session.execute(sa.text("SELECT * FROM refresh_tokens"))]
        hashes = set(db.session.scalars(sa.select(RefreshToken.token_hash)))
    assert sha256_hex(tokens.refresh_token) in hashes
    assert tokens.refresh_token not in "".join(stored)
