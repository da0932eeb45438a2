"""A request object or a pushed request counts, and nothing beside it (RFC 9101, RFC 9126)."""

from urllib.parse import urlencode

import pytest

from idp.login.interactions import InteractionOver
from idp.oidc.authorization import authorize
from idp.oidc.authorization.authorize import (
    AuthorizationError,
    AuthorizationRequest,
    BadAuthorizationRequest,
    BadRedirectUri,
    UnknownClient,
)
from tests.unit.oidc.authorization.valid_request import PUSHED_URI, VALID, client, context, parse, refused

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
