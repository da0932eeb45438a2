"""Each refused `claims` parameter is a valid one with one thing changed."""

import json
from typing import Any
from uuid import UUID

import pytest

from idp.login.event import AuthenticationEvent
from idp.login.requirement import AuthnRequirement
from idp.oidc import claims_request
from idp.oidc.authorization import decision
from idp.oidc.authorization.decision import AskLogin, Decision, Issue, Refuse
from idp.oidc.authorization.parameters import MAX_PARAMETER
from idp.oidc.claims import NUMBER_SCOPE, SWEDISH, AllowedClaims
from idp.oidc.claims_request import ClaimsRequest, MalformedClaims, RequestedClaim
from tests.unit.oidc.authorization.test_decide import BERTIL, EVENT
from tests.unit.oidc.authorization.valid_request import ACR, ANNA, LOA3, client, parse, refused

VALID = (
    '{"id_token": {"email": null, "acr": {"essential": true, "values": ["a", "b"]}, "sub": {"value": "s"}},'
    ' "userinfo": {"name": {"essential": false}, "what": {"value": 3, "more": [1]}}, "else": [[1]]}'
)
BOTH = client(login_methods=["bankid", "password"])


def changed(old: str, new: str) -> str:
    assert VALID.count(old) == 1
    return VALID.replace(old, new)


def test_a_valid_claims_request_is_read_whole() -> None:
    assert claims_request.parse(VALID) == ClaimsRequest(
        id_token={
            "email": RequestedClaim(),
            "acr": RequestedClaim(True, ("a", "b")),
            "sub": RequestedClaim(False, ("s",)),
        },
        userinfo={"name": RequestedClaim(), "what": RequestedClaim(False, (3,))},
    )


@pytest.mark.parametrize(
    "text", ["{}", '{"userinfo": null}', '{"id_token": {}}', '\r\n\t{"id_token" : {} }\n']
)
def test_a_claims_request_may_ask_for_nothing(text: str) -> None:
    assert claims_request.parse(text) == ClaimsRequest()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '"id_token"',
        "1",
        VALID[:-1],
        VALID + "}",
        VALID.replace('"', "'"),
        changed("3", "NaN"),
        changed("3", "-Infinity"),
        changed("3", "1" * 5000),
        changed("3", "[" * 4000),
        changed("3", '"\x00"'),
        changed("3", '"\n"'),
        changed("3", "null"),
        changed("3", "[]"),
        changed("3", "{}"),
        changed('{"essential": false}', "true"),
        changed('{"essential": false}', "[]"),
        changed('{"essential": false}', '"essential"'),
        changed("true", '"true"'),
        changed("true", "1"),
        changed("true", "null"),
        changed('["a", "b"]', '"a"'),
        changed('["a", "b"]', "[]"),
        changed('["a", "b"]', "null"),
        changed('["a", "b"]', '{"a": "b"}'),
        changed('["a", "b"]', '["a", ["b"]]'),
        changed('["a", "b"]', '["a", null]'),
        changed('["a", "b"]', '["a"], "value": "a"'),
        changed('"email"', '"sub"'),
        changed('"userinfo"', '"id_token"'),
        changed('"more"', '"value"'),
        '{"id_token": []}',
        '{"id_token": "email"}',
        '{"userinfo": false}',
    ],
)
def test_a_claims_request_with_one_thing_changed_is_refused(text: str) -> None:
    with pytest.raises(MalformedClaims) as caught:
        claims_request.parse(text)
    description = str(caught.value)
    assert description.isascii()
    assert not set(description) & set("\"'\\")
    if text:
        error = refused(claims=text)
        assert error.error == "invalid_request"
        assert error.description == f"claims {description}"


def test_the_claims_parameter_has_a_longest_length() -> None:
    longest = '{"id_token":{}}'.ljust(MAX_PARAMETER)
    assert parse(claims=longest).claims == AllowedClaims()
    assert refused(claims=longest + " ").error == "invalid_request"


def test_the_claims_parameter_comes_once() -> None:
    assert parse(claims="{}").claims == AllowedClaims()
    assert refused(("claims", "{}"), claims="{}").error == "invalid_request"


def test_line_breaks_are_for_json_alone() -> None:
    pretty = json.dumps({"id_token": {"email": None}}, indent="\t")
    assert parse(claims=pretty).claims.id_token == ("email",)
    assert refused(claims="{}", nonce="a\nb").error == "invalid_request"


# What a client may have


def asked(*names: str, known: Any = None) -> AllowedClaims:
    member = dict.fromkeys(names)
    text = json.dumps({"id_token": member, "userinfo": member})
    return parse(scope="openid", claims=text, known=known).claims


def test_a_request_without_the_parameter_keeps_no_claims() -> None:
    assert parse().claims.to_json() is None


@pytest.mark.parametrize("claim", ["email", "name", "phone_number_verified"])
def test_a_claim_needs_its_scope_in_the_entry_though_not_in_the_request(claim: str) -> None:
    assert asked(claim) == AllowedClaims((claim,), (claim,))
    assert asked(claim, known=client(scope="openid")) == AllowedClaims()


def test_unknown_names_are_ignored_though_essential() -> None:
    text = '{"id_token": {"shoe_size": {"essential": true}, "email": null, "iss": null, "at_hash": null}}'
    assert parse(claims=text).claims == AllowedClaims(id_token=("email",))


def test_claims_about_the_login_are_for_the_id_token() -> None:
    names = [SWEDISH + name for name in ("authnProvider", "deviceIp", "credentialValidFrom")]
    assert asked("txn", *names) == AllowedClaims(id_token=("txn", *names))


@pytest.mark.parametrize("name", ["userSignature", "userCertificate", "authnEvidence"])
def test_evidence_with_the_personal_number_needs_its_scope(name: str) -> None:
    assert asked(SWEDISH + name) == AllowedClaims()
    trusted = client(scope=f"openid {NUMBER_SCOPE}")
    assert asked(SWEDISH + name, known=trusted) == AllowedClaims(id_token=(SWEDISH + name,))


def test_a_grant_keeps_the_claims() -> None:
    kept = AllowedClaims(("email", "txn"), ("name",))
    assert AllowedClaims.from_json(json.loads(json.dumps(kept.to_json()))) == kept


def test_consent_covers_the_claims() -> None:
    trusted = client(scope=f"openid email phone {NUMBER_SCOPE}")
    request = parse(
        known=trusted,
        scope="openid email",
        claims=json.dumps(
            {"id_token": {SWEDISH + "userSignature": None}, "userinfo": {"phone_number": None}}
        ),
    )
    assert request.scope == "openid email"
    assert request.shared == f"openid email {NUMBER_SCOPE} phone"


# acr


def acr(**spec: Any) -> str:
    return json.dumps({"id_token": {"acr": spec}})


@pytest.mark.parametrize(
    ("changes", "acr_values"),
    [
        ({"claims": acr(essential=True, value=LOA3)}, (LOA3,)),
        ({"claims": acr(essential=True, values=[LOA3, ACR])}, (LOA3, ACR)),
        ({"claims": acr(essential=True, values=["urn:x", 4, ACR])}, (ACR,)),
        ({"claims": acr(essential=True)}, ()),
        ({"claims": acr(essential=True), "acr_values": LOA3}, (LOA3,)),
        ({"claims": acr(essential=True, value=LOA3), "acr_values": ACR}, (LOA3,)),
        ({"claims": acr(value=LOA3)}, (LOA3,)),
        ({"claims": acr(value="urn:x")}, ()),
        ({"claims": acr(value=ACR), "acr_values": LOA3}, (LOA3,)),
        ({"claims": json.dumps({"userinfo": {"acr": {"essential": True, "value": "urn:x"}}})}, ()),
        ({"claims": '{"id_token": {"auth_time": {"essential": true}}}'}, ()),
    ],
)
def test_the_acr_that_a_login_must_have(changes: dict[str, str], acr_values: tuple[str, ...]) -> None:
    expected = AuthnRequirement(acr_values=acr_values, methods=("bankid", "password"))
    assert parse(known=BOTH, **changes).requirement == expected


def test_a_default_gives_way_to_what_is_asked() -> None:
    known = client(login_methods=["bankid", "password"], default_acr_values=[ACR])
    assert parse(known=known).requirement.acr_values == (ACR,)
    assert parse(known=known, claims=acr(value=LOA3)).requirement.acr_values == (LOA3,)


@pytest.mark.parametrize("spec", [{"value": LOA3}, {"values": [LOA3, "urn:x"]}, {"value": True}])
def test_an_essential_acr_that_no_allowed_method_reaches(spec: dict[str, Any]) -> None:
    assert refused(claims=acr(essential=True, **spec)).error == "unmet_authentication_requirements"
    assert parse(claims=acr(**spec)).requirement.acr_values == ()


# sub


def decide(
    event: AuthenticationEvent | None = EVENT, *, subject: str | None = None, **changes: Any
) -> Decision:
    return decision.decide(parse(**changes), event, company="Exempel AB", consented_at=None, subject=subject)


def sub(value: Any) -> str:
    return json.dumps({"id_token": {"sub": {"value": value}}})


def test_a_public_sub_is_a_person() -> None:
    assert parse(claims=sub(str(ANNA))).requirement.user_id == ANNA
    assert decide(claims=sub(str(ANNA)), subject=str(ANNA)) == Issue(EVENT)
    assert decide(claims=sub(str(BERTIL)), subject=str(ANNA)) == AskLogin()
    assert isinstance(decide(claims=sub(str(BERTIL)), subject=str(ANNA), prompt="none"), Refuse)


@pytest.mark.parametrize("value", ["anna", str(ANNA).upper() + "0", "{" + str(ANNA) + "}", 7, True, ""])
def test_a_sub_that_nobody_can_have(value: Any) -> None:
    assert refused(claims=sub(value)).error == "login_required"


def test_hint_and_sub_must_agree() -> None:
    assert parse(claims=sub(str(ANNA)), id_token_hint="annas").requirement.user_id == ANNA
    assert refused(claims=sub(str(BERTIL)), id_token_hint="annas").error == "login_required"


def test_a_pairwise_sub_is_compared_with_whoever_answers() -> None:
    known = client(subject_type="pairwise")
    request = parse(known=known, claims=sub("hash-of-anna"))
    assert (request.subjects, request.requirement.user_id) == (("hash-of-anna",), None)
    assert decide(known=known, claims=sub("hash-of-anna"), subject="hash-of-anna") == Issue(EVENT)
    assert decide(None, known=known, claims=sub("hash-of-anna")) == AskLogin()
    for subject in ("hash-of-bertil", None):
        refusal = decide(known=known, claims=sub("hash-of-anna"), subject=subject)
        assert isinstance(refusal, Refuse)
        assert refusal.error == "login_required"


def test_a_sub_may_be_one_of_several_people() -> None:
    text = json.dumps({"id_token": {"sub": {"values": [str(BERTIL), str(ANNA)]}}})
    assert parse(claims=text).requirement.user_id is None
    assert decide(claims=text, subject=str(ANNA)) == Issue(EVENT)
    assert isinstance(decide(claims=text, subject=str(UUID(int=1))), Refuse)


def test_a_request_without_a_sub_is_anybodys() -> None:
    assert decide(claims='{"id_token": {"sub": {"essential": true}}}', subject="whoever") == Issue(EVENT)
