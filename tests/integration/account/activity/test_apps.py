"""A person sees the consents they gave and revokes them with all that followed from them."""

from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask
from time_machine import Traveller

from idp.audit import Event
from idp.clock import utcnow
from idp.db import db
from idp.oidc.models import Consent, Grant
from idp.users import accounts
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.account.activity.pages import entries, events, get, post

APPS = "/account/apps"
REVOKE = "/account/apps/revoke"
pytestmark = pytest.mark.usefixtures("anna")


def agree(asking: RelyingParty, **changes: Any) -> str:
    """The code that follows on a yes."""
    question = asking.log_in(**changes)
    assert is_question(question)
    return asking.answer(asking.follow(asking.submit(question, answer="allow")))["code"]


def is_question(page: Any) -> bool:
    return 'id="consent-allow"' in page.text


@pytest.mark.usefixtures("clock")
def test_a_consent_shows_its_data_and_date(asking: RelyingParty, rp: RelyingParty) -> None:
    agree(asking, scope="openid email")
    rp.log_in()  # asks nobody, so there is nothing to take back
    (entry,) = entries(get(asking, APPS))
    assert entry == (
        "Frågande appen Din e-postadress, Ditt användar-id hos oss Godkänt 22 november 2026 13:00 Återkalla"
    )


def test_a_page_without_any_consent(rp: RelyingParty) -> None:
    rp.log_in()
    assert "Du har inte godkänt att dela uppgifter med någon app." in get(rp, APPS).text


def test_a_revoked_consent_is_asked_for_again(app: Flask, asking: RelyingParty) -> None:
    access_token = asking.exchange(agree(asking)).access_token
    assert asking.userinfo(access_token).status_code == 200
    assert "code" in asking.answer(asking.authorize())
    answer = post(asking, REVOKE, client_id="asking")
    assert (answer.status_code, answer.location) == (303, APPS)
    assert entries(get(asking, APPS)) == []
    assert asking.userinfo(access_token).status_code == 401
    assert asking.answer(asking.authorize(prompt="none"))["error"] == "consent_required"
    question = asking.follow(asking.authorize())
    assert is_question(question)
    assert asking.answer(asking.submit(question, answer="deny"))["error"] == "access_denied"
    assert events(app, Event.CONSENT_REVOKED) == [{}]


def test_a_code_of_a_revoked_consent_is_refused(asking: RelyingParty) -> None:
    code = agree(asking)
    post(asking, REVOKE, client_id="asking")
    assert asking.exchange(code).error == "invalid_grant"


def test_grants_for_offline_use_end_with_the_consent(app: Flask, asking: RelyingParty) -> None:
    agree(asking)
    with app.app_context():
        db.session.execute(sa.update(Grant).values(offline=True))
        db.session.commit()
    post(asking, REVOKE, client_id="asking")
    with app.app_context():
        assert db.session.scalars(sa.select(Grant.revoked_at)).one() is not None


def test_other_apps_and_other_people_keep_their_consents(
    app: Flask, asking: RelyingParty, rp: RelyingParty, bertil: RelyingParty
) -> None:
    his = RelyingParty(app, bertil.browser, "asking", "https://asking.example.se/cb")
    his_token = his.exchange(agree(his)).access_token
    agree(asking)
    portals_token = rp.tokens().access_token
    post(asking, REVOKE, client_id="asking")
    assert rp.userinfo(portals_token).status_code == 200
    assert his.userinfo(his_token).status_code == 200
    assert len(entries(get(his, APPS))) == 1


def test_revoking_twice_is_revoking_once(app: Flask, asking: RelyingParty) -> None:
    agree(asking)
    for _ in range(2):
        assert post(asking, REVOKE, client_id="asking").status_code == 303
    assert len(events(app, Event.CONSENT_REVOKED)) == 1


@pytest.mark.parametrize(
    "fields", [{}, {"client_id": ""}, {"client_id": "other"}, {"client_id": "a\0"}, {"client_id": "å" * 5000}]
)
def test_revoking_a_consent_never_given_changes_nothing(
    app: Flask, asking: RelyingParty, fields: dict[str, str]
) -> None:
    agree(asking)
    assert post(asking, REVOKE, **fields).status_code == 303
    assert len(entries(get(asking, APPS))) == 1
    assert events(app, Event.CONSENT_REVOKED) == []


def test_the_consent_of_a_removed_app_can_be_revoked(app: Flask, asking: RelyingParty, anna: str) -> None:
    agree(asking)
    with app.app_context():
        db.session.add(
            Consent(user_id=UUID(anna), client_id="gone", scope="openid removed-scope", given_at=utcnow())
        )
        db.session.commit()
    assert len(entries(get(asking, APPS))) == 2
    assert entries(get(asking, APPS))[1].startswith("gone ")
    post(asking, REVOKE, client_id="gone")
    assert len(entries(get(asking, APPS))) == 1


def test_revoking_needs_the_forms_token_and_a_login(app: Flask, asking: RelyingParty, anna: str) -> None:
    agree(asking)
    fields = {"client_id": "asking"}
    assert asking.browser.post(REVOKE, data=fields, **HTTPS).status_code == 400
    assert get(asking, REVOKE).status_code == 405
    stranger = RelyingParty(app, app.test_client())
    assert post(stranger, REVOKE, page="/login/password", **fields).status_code == 401
    with app.app_context():
        accounts.disable(UUID(anna), now=utcnow())
    assert post(asking, REVOKE, page="/login/password", **fields).status_code == 401
    assert events(app, Event.CONSENT_REVOKED) == []


def test_a_consent_given_again_counts_from_then(asking: RelyingParty, clock: Traveller) -> None:
    agree(asking, scope="openid email phone")
    post(asking, REVOKE, client_id="asking")
    clock.shift(3600)
    agree(asking, scope="openid email")
    (entry,) = entries(get(asking, APPS))
    assert "telefonnummer" not in entry
    assert "14:00" in entry
