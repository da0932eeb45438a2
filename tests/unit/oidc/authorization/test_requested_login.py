"""A request asks for a login of some age, level, person and method."""

import json
from datetime import timedelta

import pytest

from idp.oidc.authorization.authorize import (
    AuthorizationError,
)
from idp.oidc.authorization.parameters import AUTHN_PROVIDER
from tests.factories import NOON
from tests.unit.oidc.authorization.valid_request import ACR, ANNA, LOA3, client, parse, refused


@pytest.mark.parametrize(
    ("changes", "not_before"),
    [
        ({"max_age": "0"}, NOON),
        ({"max_age": "1"}, NOON - timedelta(seconds=1)),
        ({"max_age": "0060"}, NOON - timedelta(seconds=60)),
        ({"max_age": "999999999"}, NOON - timedelta(seconds=999999999)),
        ({"prompt": "login"}, NOON),
        ({"prompt": "select_account"}, NOON),
        ({"prompt": "login consent", "max_age": "60"}, NOON),
        ({"prompt": "consent"}, None),
        ({"prompt": "none"}, None),
    ],
)
def test_max_age_and_prompt_say_how_old_a_login_may_be(changes: dict[str, str], not_before: object) -> None:
    assert parse(**changes).requirement.not_before == not_before


def test_the_clients_default_max_age_counts_only_without_one_in_the_request() -> None:
    strict = client(default_max_age=30)
    assert parse(known=strict).requirement.not_before == NOON - timedelta(seconds=30)
    assert parse(known=strict, max_age="90").requirement.not_before == NOON - timedelta(seconds=90)


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        (ACR, (ACR,)),
        (f"{LOA3} {ACR}", (LOA3, ACR)),
        ("urn:unknown", ()),
        (f"urn:unknown {ACR}", (ACR,)),
        (None, ()),
    ],
)
def test_acr_values_are_a_wish_for_what_can_be_reached(asked: str | None, kept: tuple[str, ...]) -> None:
    both = client(login_methods=["bankid", "password"])
    assert parse(known=both, acr_values=asked).requirement.acr_values == kept


def test_an_acr_of_a_method_that_the_client_does_not_take_asks_for_nothing() -> None:
    assert parse(acr_values=LOA3).requirement.acr_values == ()


def test_the_clients_default_acr_values_count_only_without_any_in_the_request() -> None:
    both = client(login_methods=["bankid", "password"], default_acr_values=[LOA3])
    assert parse(known=both).requirement.acr_values == (LOA3,)
    assert parse(known=both, acr_values=ACR).requirement.acr_values == (ACR,)


def test_an_id_token_hint_names_the_person_who_must_log_in() -> None:
    assert parse(id_token_hint="annas").requirement.user_id == ANNA


def test_a_hint_whose_account_cannot_be_told_is_compared_by_its_subject() -> None:
    request = parse(id_token_hint="forgotten")
    assert (request.requirement.user_id, request.subjects) == (None, ("pairwise-anna",))
    pairwise = client(subject_type="pairwise")
    same = json.dumps({"id_token": {"sub": {"value": "pairwise-anna"}}})
    assert parse(known=pairwise, id_token_hint="forgotten", claims=same).subjects == ("pairwise-anna",)
    with pytest.raises(AuthorizationError) as refused:
        parse(known=pairwise, id_token_hint="forgotten", claims=same.replace("anna", "bertil"))
    assert refused.value.error == "login_required"


# The method asked for


def test_the_request_may_choose_one_of_the_clients_login_methods() -> None:
    both = client(login_methods=["password", "bankid"])
    assert parse(known=both).requirement.methods == ("password", "bankid")
    assert parse(known=both, **{AUTHN_PROVIDER: "bankid"}).requirement.methods == ("bankid",)


def test_the_chosen_method_must_reach_an_essential_acr() -> None:
    both = client(login_methods=["password", "bankid"])
    claims = json.dumps({"id_token": {"acr": {"essential": True, "value": LOA3}}})
    assert parse(known=both, claims=claims, **{AUTHN_PROVIDER: "bankid"}).requirement.acr_values == (LOA3,)
    found = refused(known=both, claims=claims, **{AUTHN_PROVIDER: "password"})
    assert found.error == "unmet_authentication_requirements"
