"""A requirement is met by a login of the right age, level, person and method."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from idp.login.event import AuthenticationEvent
from idp.login.requirement import AuthnRequirement
from tests.factories import NOON

ANNA = UUID("11111111-1111-4111-8111-111111111111")
BERTIL = UUID("22222222-2222-4222-8222-222222222222")
EVENT = AuthenticationEvent(
    user_id=ANNA, method="password", acr="urn:acr:password", amr=("pwd",), auth_time=NOON
)
MET = AuthnRequirement(
    acr_values=("urn:acr:bankid", "urn:acr:password"),
    methods=("bankid", "password"),
    not_before=NOON,
    user_id=ANNA,
)
SECOND = timedelta(seconds=1)


def test_an_empty_requirement_is_met_by_any_login_but_needs_one() -> None:
    assert AuthnRequirement().satisfied_by(EVENT)
    assert not AuthnRequirement().satisfied_by(None)


def test_a_requirement_of_everything_is_met() -> None:
    assert MET.unmet_by(EVENT) is None
    assert MET.satisfied_by(EVENT)


@pytest.mark.parametrize(
    ("change", "lacks"),
    [
        ({"methods": ("bankid",)}, "method"),
        ({"acr_values": ("urn:acr:bankid",)}, "acr"),
        ({"not_before": NOON + SECOND}, "age"),
        ({"user_id": BERTIL}, "user"),
        ({"methods": ("bankid",), "user_id": BERTIL}, "method"),
    ],
)
def test_the_part_that_a_login_does_not_meet_is_named(change: dict[str, object], lacks: str) -> None:
    requirement = replace(MET, **change)  # type: ignore[arg-type]
    assert requirement.unmet_by(EVENT) == lacks
    assert not requirement.satisfied_by(EVENT)


def test_a_login_at_the_very_moment_asked_for_counts() -> None:
    assert AuthnRequirement(not_before=NOON).satisfied_by(EVENT)
    assert not AuthnRequirement(not_before=NOON).satisfied_by(replace(EVENT, auth_time=NOON - SECOND))


@pytest.mark.parametrize(
    ("requirement", "allowed"),
    [
        (AuthnRequirement(), True),
        (AuthnRequirement(methods=("password",)), True),
        (AuthnRequirement(methods=("bankid",)), False),
        (AuthnRequirement(acr_values=("urn:acr:bankid", "urn:acr:password")), True),
        (AuthnRequirement(acr_values=("urn:acr:bankid",)), False),
        (AuthnRequirement(methods=("password",), acr_values=("urn:acr:bankid",)), False),
        (AuthnRequirement(not_before=NOON, user_id=BERTIL), True),  # a new login may still meet these
    ],
)
def test_the_methods_that_can_meet_a_requirement(requirement: AuthnRequirement, allowed: bool) -> None:
    assert requirement.allows("password", "urn:acr:password") is allowed


@pytest.mark.parametrize("requirement", [AuthnRequirement(), MET])
def test_a_requirement_survives_being_stored(requirement: AuthnRequirement) -> None:
    assert AuthnRequirement.from_json(requirement.to_json()) == requirement
