"""Reading an authorization request: each refusal is a valid request with one thing changed."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import pytest

from idp.login.interactions import InteractionOver
from idp.login.requirement import AuthnRequirement
from idp.oidc.authorization import authorize, decision, parameters
from idp.oidc.authorization.authorize import (
    AuthorizationError,
    AuthorizationRequest,
    BadAuthorizationRequest,
    BadRedirectUri,
    Pushed,
    RequestContext,
    UnknownClient,
)
from idp.oidc.authorization.parameters import AUTHN_PROVIDER, RequestError
from idp.oidc.authorization.requested_login import Hint
from idp.oidc.clients.client import Client
from idp.tokens import s256_challenge
from tests.factories import NOON, make_client

ISSUER = "https://login.example.se"
ANNA = UUID("11111111-1111-4111-8111-111111111111")
ACR = f"{ISSUER}/acr/password"
LOA3 = "urn:acr:loa3"
VALID = {
    "client_id": "portal",
    "redirect_uri": "https://portal.example.se/cb",
    "response_type": "code",
    "scope": "openid profile email",
    "state": "the-state",
    "nonce": "the-nonce",
    "code_challenge": s256_challenge("v" * 43),
    "code_challenge_method": "S256",
}
PUSHED_URI = f"{authorize.PUSHED_URN}one"
HINTS = {
    "annas": Hint(str(ANNA), ANNA),
    "nobodys": Hint(str(ANNA), ANNA, active=False),
    "forgotten": Hint("pairwise-anna", None),
}


def client(**changes: Any) -> Client:
    return Client.model_validate({"client_id": "portal", **make_client(**changes)})


def read_hint(token: str, _client: Client) -> Hint:
    if token not in HINTS:
        raise ValueError("not one of ours")
    return HINTS[token]


def open_request(text: str, _client: Client) -> Mapping[str, str]:
    """Request objects here are their parameters, urlencoded."""
    if text == "broken":
        raise RequestError("invalid_request_object", "the request object is broken")
    return dict(parse_qsl(text))


def find_pushed(request_uri: str, _client: Client) -> Pushed:
    if request_uri != PUSHED_URI:
        raise InteractionOver("expired")
    return Pushed("the-hash", VALID)


def context(known: Client | None = None) -> RequestContext:
    clients: Mapping[str, Client] = {"portal": known or client()}
    return RequestContext(
        find_client=clients.get,
        acrs={"password": ACR, "bankid": LOA3},
        read_hint=read_hint,
        open_request=open_request,
        find_pushed=find_pushed,
        now=NOON,
    )


def parse(
    *extra: tuple[str, str], known: Client | None = None, **changes: str | None
) -> AuthorizationRequest:
    sent = {name: value for name, value in {**VALID, **changes}.items() if value is not None}
    return authorize.parse([*sent.items(), *extra], context(known))


def refused(
    *extra: tuple[str, str], known: Client | None = None, **changes: str | None
) -> AuthorizationError:
    with pytest.raises(AuthorizationError) as caught:
        parse(*extra, known=known, **changes)
    return caught.value


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


@pytest.mark.parametrize(
    ("changes", "extra", "kind"),
    [
        ({"client_id": None}, (), BadAuthorizationRequest),
        ({"client_id": ""}, (), BadAuthorizationRequest),
        ({}, (("client_id", "portal"),), BadAuthorizationRequest),
        ({"client_id": "nobody"}, (), UnknownClient),
        ({"client_id": "Portal"}, (), UnknownClient),
        ({"client_id": "portal\x00"}, (), UnknownClient),
        ({"redirect_uri": None}, (), BadRedirectUri),
        ({"redirect_uri": ""}, (), BadRedirectUri),
        ({}, (("redirect_uri", "https://portal.example.se/cb"),), BadRedirectUri),
        ({}, (("redirect_uri", "https://evil.example/"),), BadRedirectUri),
    ],
)
def test_errors_before_client_and_redirect_uri_hold_are_not_redirected(
    changes: dict[str, str | None], extra: tuple[tuple[str, str], ...], kind: type[Exception]
) -> None:
    # response_type is wrong too: the order of checks decides
    with pytest.raises(kind):
        parse(*extra, **changes, response_type="token")


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "https://portal.example.se/cb/",
        "https://portal.example.se/CB",
        "https://PORTAL.example.se/cb",
        "HTTPS://portal.example.se/cb",
        "http://portal.example.se/cb",
        "https://portal.example.se:443/cb",
        "https://portal.example.se:8443/cb",
        "https://portal.example.se/cb?next=1",
        "https://portal.example.se/cb?",
        "https://portal.example.se/cb#",
        "https://portal.example.se/cb#fragment",
        "https://portal.example.se/cb%2F..",
        "https://portal.example.se/a/../cb",
        "https://portal.example.se/%63b",
        "https://portal%2Eexample.se/cb",
        "https://portal.example.se@evil.example/cb",
        "https://user@portal.example.se/cb",
        "https://portal.example.se.evil.example/cb",
        "https://evil.example/https://portal.example.se/cb",
        "https://evil.example\\@portal.example.se/cb",
        " https://portal.example.se/cb",
        "https://portal.example.se/cb ",
        "https://portal.example.se/cb\x00",
        "//portal.example.se/cb",
        "/cb",
        "javascript:alert(1)",
        "https://portal.example.se/c",
    ],
)
def test_the_redirect_uri_is_compared_byte_for_byte(redirect_uri: str) -> None:
    with pytest.raises(BadRedirectUri):
        parse(redirect_uri=redirect_uri)


NATIVE = {
    "application_type": "native",
    "redirect_uris": ["http://127.0.0.1/cb", "http://[::1]/cb", "com.example.app:/cb"],
    "token_endpoint_auth_method": "none",
    "client_secrets": None,
}


@pytest.mark.parametrize(
    "redirect_uri",
    ["http://127.0.0.1/cb", "http://127.0.0.1:49152/cb", "http://[::1]:1/cb", "com.example.app:/cb"],
)
def test_a_native_client_picks_its_loopback_port(redirect_uri: str) -> None:
    assert parse(known=client(**NATIVE), redirect_uri=redirect_uri).to.redirect_uri == redirect_uri


@pytest.mark.parametrize(
    "redirect_uri",
    [
        "http://127.0.0.1:49152/other",
        "http://127.0.0.1:49152/cb?x=1",
        "https://127.0.0.1:49152/cb",
        "http://localhost:49152/cb",
        "http://127.0.0.2:49152/cb",
        "http://127.0.0.1:99999/cb",
        "http://127.0.0.1:80@evil.example/cb",
        "http://127.0.0.1.evil.example:80/cb",
        "com.example.app:/cb2",
        "com.example.app://cb",
    ],
)
def test_a_native_client_varies_nothing_but_that_port(redirect_uri: str) -> None:
    with pytest.raises(BadRedirectUri):
        parse(known=client(**NATIVE), redirect_uri=redirect_uri)


def test_a_web_client_on_loopback_has_a_fixed_port() -> None:
    web = client(redirect_uris=["http://127.0.0.1:8001/cb"])
    assert parse(known=web, redirect_uri="http://127.0.0.1:8001/cb").client is web
    with pytest.raises(BadRedirectUri):
        parse(known=web, redirect_uri="http://127.0.0.1:8002/cb")


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


def test_responses_carry_state_and_issuer() -> None:
    to = parse().to
    assert decision.success_parameters(to, "the-code", ISSUER) == [
        ("code", "the-code"),
        ("state", "the-state"),
        ("iss", ISSUER),
    ]
    error = AuthorizationError(to, "access_denied", "no")
    assert decision.error_parameters(error, ISSUER) == [
        ("error", "access_denied"),
        ("error_description", "no"),
        ("state", "the-state"),
        ("iss", ISSUER),
    ]
    assert decision.success_parameters(parse(state=None).to, "c", ISSUER) == [("code", "c"), ("iss", ISSUER)]


@pytest.mark.parametrize(
    ("redirect_uri", "url"),
    [
        ("https://a.se/cb", "https://a.se/cb?state=%C3%A5+%26%22%27%3C"),
        ("https://a.se/cb?x=1", "https://a.se/cb?x=1&state=%C3%A5+%26%22%27%3C"),
        ("com.example.app:/cb", "com.example.app:/cb?state=%C3%A5+%26%22%27%3C"),
    ],
)
def test_the_response_is_added_to_the_redirect_uri(redirect_uri: str, url: str) -> None:
    assert decision.response_url(redirect_uri, [("state", "å &\"'<")]) == url


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


# Request objects: what they hold counts, and nothing beside them


OBJECT = urlencode(VALID)


def test_a_request_object_brings_the_whole_request() -> None:
    request = authorize.parse([("client_id", "portal"), ("request", OBJECT)], context())
    assert request == parse()


def test_parameters_beside_a_request_object_are_ignored() -> None:
    request = parse(
        request=OBJECT, redirect_uri="https://evil.example/", state="other", scope="email", prompt="none"
    )
    assert request == parse()


def without(*names: str, **changes: str) -> str:
    return urlencode({name: value for name, value in {**VALID, **changes}.items() if name not in names})


def test_an_object_that_lacks_something_gets_it_from_nowhere_else() -> None:
    assert refused(request=without("scope")).error == "invalid_scope"
    assert refused(request=without("response_type"), response_type=None).error == "invalid_request"
    with pytest.raises(BadRedirectUri):
        parse(request=without("redirect_uri"))


@pytest.mark.parametrize("changes", [{"response_type": "token"}, {"request": without("response_type")}])
def test_response_type_beside_an_object_must_be_the_same(changes: dict[str, str]) -> None:
    found = refused(**{"request": OBJECT, **changes})
    assert (found.error, found.to.state) == ("invalid_request", "the-state")


def test_client_id_beside_an_object_must_be_the_same() -> None:
    assert refused(request=without(client_id="spa")).error == "invalid_request"


@pytest.mark.parametrize("redirect_uri", [None, "https://evil.example/"])
def test_a_broken_object_sends_nothing_where_the_client_is_not_registered(redirect_uri: str | None) -> None:
    with pytest.raises(BadAuthorizationRequest) as caught:
        parse(request="broken", redirect_uri=redirect_uri)
    assert caught.value.error == "invalid_request_object"


def test_errors_in_an_object_go_where_the_object_says() -> None:
    found = refused(request=without(scope="email", state="inner"), state="outer")
    assert (found.error, found.to.state) == ("invalid_scope", "inner")


def test_a_client_that_must_send_request_objects_sends_nothing_else() -> None:
    strict = client(require_signed_request_object=True)
    assert refused(known=strict).error == "invalid_request"
    request = parse(known=strict, request=OBJECT)
    assert authorize.read_stored(request.parameters, context(strict), pushed=None) == request


# Pushed requests


def test_a_pushed_request_is_found_by_its_request_uri_whatever_stands_beside() -> None:
    request = parse(request_uri=PUSHED_URI, redirect_uri="https://evil.example/", scope=None, prompt="none")
    assert request.parameters == VALID
    assert request.to.pushed == "the-hash"
    assert request.prompt == frozenset()


@pytest.mark.parametrize(
    ("changes", "extra", "kind"),
    [
        ({"client_id": None}, (), BadAuthorizationRequest),
        ({"client_id": "nobody"}, (), UnknownClient),
        ({"request": OBJECT}, (), BadAuthorizationRequest),
        ({}, (("request_uri", PUSHED_URI),), BadAuthorizationRequest),
        ({"request_uri": PUSHED_URI + "x"}, (), InteractionOver),
        ({"request_uri": authorize.PUSHED_URN}, (), InteractionOver),
    ],
)
def test_a_request_uri_that_is_not_in_order_leads_nowhere(
    changes: dict[str, str | None], extra: tuple[tuple[str, str], ...], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        parse(*extra, **{"request_uri": PUSHED_URI, **changes})


def test_a_client_that_must_push_gets_nothing_otherwise() -> None:
    strict = client(require_pushed_authorization_requests=True)
    assert refused(known=strict).error == "invalid_request"
    assert refused(known=strict, request=OBJECT).error == "invalid_request"
    request = parse(known=strict, request_uri=PUSHED_URI)
    assert authorize.read_stored(request.parameters, context(strict), pushed="the-hash") == request


def push(*extra: tuple[str, str], **changes: str | None) -> AuthorizationRequest:
    sent = {name: value for name, value in {**VALID, **changes}.items() if value is not None}
    return authorize.parse_pushed([*sent.items(), *extra], client(), context())


def test_a_pushed_request_is_checked_like_any_other() -> None:
    assert push() == parse()
    assert push(request=OBJECT, scope="email") == parse()
    with pytest.raises(AuthorizationError):
        push(scope="email")
    with pytest.raises(BadRedirectUri):
        push(redirect_uri="https://evil.example/")


@pytest.mark.parametrize(
    ("changes", "extra"),
    [
        ({"request_uri": PUSHED_URI}, ()),
        ({"request_uri": "https://portal.example.se/request.jwt"}, ()),
        ({"client_id": None}, ()),
        ({"client_id": "spa"}, ()),
        ({}, (("client_id", "portal"),)),
    ],
)
def test_a_push_names_its_own_client_and_no_request_uri(
    changes: dict[str, str | None], extra: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(BadAuthorizationRequest):
        push(*extra, **changes)
