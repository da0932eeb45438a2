"""The decision on an authorization request issues, asks for a login or consent, or refuses."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from idp.login.event import AuthenticationEvent
from idp.oidc.authorization import decision
from idp.oidc.authorization.decision import AskConsent, AskLogin, Issue, Refuse
from idp.oidc.clients.client import Client
from tests.factories import NOON
from tests.unit.oidc.authorization.valid_request import ACR, ANNA, client, parse

BERTIL = UUID("22222222-2222-4222-8222-222222222222")
EVENT = AuthenticationEvent(user_id=ANNA, method="password", acr=ACR, amr=("pwd",), auth_time=NOON)


def decide(
    event: AuthenticationEvent | None = EVENT,
    *,
    known: Client | None = None,
    company: str | None = "Exempel AB",
    consented_at: Any = None,
    **changes: str | None,
) -> decision.Decision:
    return decision.decide(parse(known=known, **changes), event, company=company, consented_at=consented_at)


@pytest.mark.parametrize(
    ("event", "changes", "decision"),
    [
        (EVENT, {}, Issue(EVENT)),
        (EVENT, {"prompt": "none"}, Issue(EVENT)),
        (EVENT, {"id_token_hint": "annas"}, Issue(EVENT)),
        (None, {}, AskLogin()),
        (replace(EVENT, method="bankid"), {}, AskLogin()),
        (replace(EVENT, user_id=BERTIL), {"id_token_hint": "annas"}, AskLogin()),
        (replace(EVENT, auth_time=NOON - timedelta(seconds=2)), {"max_age": "1"}, AskLogin()),
        (replace(EVENT, auth_time=NOON - timedelta(seconds=1)), {"max_age": "1"}, None),
        (replace(EVENT, auth_time=NOON - timedelta(seconds=1)), {"prompt": "login"}, AskLogin()),
    ],
)
def test_a_login_that_meets_the_request_goes_on_and_others_log_in(
    event: AuthenticationEvent | None, changes: dict[str, str], decision: decision.Decision | None
) -> None:
    assert event is not None or decision is not None
    assert decide(event, **changes) == (decision or Issue(event))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("event", "changes"),
    [
        (None, {}),
        (replace(EVENT, user_id=BERTIL), {"id_token_hint": "annas"}),
        (replace(EVENT, auth_time=NOON - timedelta(seconds=2)), {"max_age": "1"}),
    ],
)
def test_prompt_none_never_asks(event: AuthenticationEvent | None, changes: dict[str, str]) -> None:
    decision = decide(event, prompt="none", **changes)
    assert isinstance(decision, Refuse)
    assert decision.error == "login_required"


def test_only_the_companies_listed_may_use_the_client() -> None:
    closed = client(companies=["Exempel AB"])
    assert decide(known=closed) == Issue(EVENT)
    other = decide(known=closed, company="Annat AB")
    assert isinstance(other, Refuse)
    assert other.error == "access_denied"
    assert decide(None, known=closed, company=None) == AskLogin()


BEFORE, AFTER = NOON - timedelta(days=1), NOON + timedelta(seconds=5)


@pytest.mark.parametrize(
    ("consent", "prompt", "consented_at", "asks"),
    [
        ("implicit", None, None, False),
        ("implicit", "consent", None, True),
        ("implicit", "consent", BEFORE, True),
        ("implicit", "consent", AFTER, False),
        ("explicit", None, None, True),
        ("explicit", None, BEFORE, False),
        ("explicit", "consent", BEFORE, True),
        ("explicit", "consent", AFTER, False),
    ],
)
def test_consent_is_asked_for_where_it_is_missing(
    consent: str, prompt: str | None, consented_at: Any, asks: bool
) -> None:
    decision = decide(known=client(consent=consent), prompt=prompt, consented_at=consented_at)
    assert decision == (AskConsent() if asks else Issue(EVENT))


def test_prompt_none_without_consent_is_consent_required() -> None:
    decision = decide(known=client(consent="explicit"), prompt="none")
    assert isinstance(decision, Refuse)
    assert decision.error == "consent_required"
