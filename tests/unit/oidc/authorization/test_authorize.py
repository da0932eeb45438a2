"""Each refused authorization request is a valid one with one thing changed."""

import pytest

from idp.login.requirement import AuthnRequirement
from idp.oidc.authorization import parameters
from idp.oidc.authorization.parameters import AUTHN_PROVIDER
from tests.factories import NOON
from tests.unit.oidc.authorization.valid_request import VALID, client, parse, refused


def test_a_valid_request_is_read_whole() -> None:
    request = parse()
    assert request.client.client_id == "portal"
    assert request.to.redirect_uri == "https://portal.example.se/cb"
    assert (request.to.response_mode, request.to.state) == ("query", "the-state")
    assert (request.scope, request.nonce) == ("openid profile email", "the-nonce")
    assert request.code_challenge == VALID["code_challenge"]
    assert request.prompt == frozenset()
    assert request.requirement == AuthnRequirement(methods=("password",))
    assert request.parameters == VALID
    assert request.received_at == NOON


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": ""}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "id_token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_type": "code token"}, "unsupported_response_type"),
        ({"response_type": "none"}, "unsupported_response_type"),
        ({"response_type": "CODE"}, "unsupported_response_type"),
        ({"response_type": "code "}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"response_mode": "web_message"}, "invalid_request"),
        ({"response_mode": "query.jwt"}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "profile email"}, "invalid_scope"),
        ({"scope": "OPENID"}, "invalid_scope"),
        ({"scope": "openid,profile"}, "invalid_scope"),
        ({"code_challenge": None}, "invalid_request"),  # the method alone
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),  # would mean plain (RFC 7636 §4.3)
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": "s256"}, "invalid_request"),
        ({"code_challenge": "A" * 42}, "invalid_request"),
        ({"code_challenge": "A" * 44}, "invalid_request"),
        ({"code_challenge": "A" * 42 + "="}, "invalid_request"),
        ({"code_challenge": "A" * 42 + "+"}, "invalid_request"),
        ({"code_challenge": "A" * 42 + "Å"}, "invalid_request"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "none none consent"}, "invalid_request"),
        ({"prompt": "create"}, "invalid_request"),
        ({"prompt": "Login"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "1.5"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"max_age": "١٢"}, "invalid_request"),  # digits, but not ASCII's
        ({"max_age": "9" * 10}, "invalid_request"),
        ({"max_age": " 1"}, "invalid_request"),
        ({"id_token_hint": "somebody else's"}, "invalid_request"),
        ({"id_token_hint": "nobodys"}, "login_required"),
        ({"request": "broken"}, "invalid_request_object"),
        ({"request": "r" * 16001}, "invalid_request"),
        ({"request": "r", "request_uri": "https://portal.example.se/request.jwt"}, "invalid_request"),
        ({AUTHN_PROVIDER: "bankid"}, "unmet_authentication_requirements"),  # not one of the client's
        ({AUTHN_PROVIDER: "Password"}, "unmet_authentication_requirements"),
        ({AUTHN_PROVIDER: "password bankid"}, "unmet_authentication_requirements"),
        ({AUTHN_PROVIDER: "password\x00"}, "invalid_request"),
        ({"claims_locales": "sv\x00"}, "invalid_request"),
        ({"display": "\ud800"}, "invalid_request"),
        ({"request_uri": "https://portal.example.se/request.jwt"}, "request_uri_not_supported"),
        ({"registration": "{}"}, "registration_not_supported"),
        ({"nonce": "one\x00two"}, "invalid_request"),
        ({"nonce": "one\r\ntwo"}, "invalid_request"),
        ({"nonce": "n" * 8001}, "invalid_request"),
        ({"login_hint": "a\x7f"}, "invalid_request"),
    ],
)
def test_a_request_with_one_thing_changed_goes_back_as_an_error(
    changes: dict[str, str | None], error: str
) -> None:
    found = refused(**changes)
    assert found.error == error
    assert found.to.redirect_uri == "https://portal.example.se/cb"
    assert found.to.state == "the-state"
    assert found.description.isascii()
    assert not set(found.description) & set('"\\')


@pytest.mark.parametrize("name", sorted(parameters.KNOWN - {"client_id", "redirect_uri"}))
def test_a_parameter_given_twice_is_refused_even_when_both_say_the_same(name: str) -> None:
    value = VALID.get(name, "none")
    found = refused((name, value), **{name: value})
    assert found.error == "invalid_request"
    assert found.to.state == (None if name == "state" else "the-state")


@pytest.mark.parametrize("state", ["one\x00two", "one\ntwo", "s" * 8001])
def test_a_malformed_state_is_refused_and_not_sent_back(state: str) -> None:
    found = refused(state=state)
    assert (found.error, found.to.state) == ("invalid_request", None)


def test_unknown_parameters_are_ignored_even_twice() -> None:
    request = parse(("foo", "1"), ("foo", "2"), ("resource\x00", "x"))
    assert request.parameters == VALID


def test_empty_parameters_count_as_left_out() -> None:
    request = parse(prompt="", max_age="", response_mode="", nonce="", request="")
    assert (request.prompt, request.nonce, request.to.response_mode) == (frozenset(), None, "query")


def test_unknown_scopes_are_ignored_and_repeated_ones_counted_once() -> None:
    assert parse(scope="openid  email openid what:ever email").scope == "openid email"


def test_a_scope_of_ours_that_the_client_is_not_registered_for_is_refused() -> None:
    found = refused(known=client(scope="openid email"), scope="openid email phone")
    assert (found.error, "phone" in found.description) == ("invalid_scope", True)


def test_pkce_may_be_left_out_only_where_the_entry_says_so() -> None:
    relaxed = client(require_pkce=False)
    assert parse(known=relaxed, code_challenge=None, code_challenge_method=None).code_challenge is None
    assert refused(known=relaxed, code_challenge_method="plain").error == "invalid_request"
    assert refused(known=relaxed, code_challenge=None).error == "invalid_request"


def test_response_mode_form_post_also_carries_errors() -> None:
    assert parse(response_mode="form_post").to.response_mode == "form_post"
    assert refused(response_mode="form_post", scope="email").to.response_mode == "form_post"
    assert refused(response_mode="fragment").to.response_mode == "query"
