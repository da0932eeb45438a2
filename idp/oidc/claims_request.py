"""The `claims` parameter: claims requested one by one, and their values (OIDC Core §5.5). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from idp.strict_json import MalformedJson, read_object

Value = str | int | float | bool


@dataclass(frozen=True)
class RequestedClaim:
    """How one claim is requested (OIDC Core §5.5.1).

    `values` are those that it may have (a single one for `value`); empty: any.
    """

    essential: bool = False
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class ClaimsRequest:
    """Every requested claim, known or not, by the place where it should be (OIDC Core §5.5)."""

    id_token: Mapping[str, RequestedClaim] = field(default_factory=dict)
    userinfo: Mapping[str, RequestedClaim] = field(default_factory=dict)


class MalformedClaims(ValueError):
    """The parameter is not a claims request (OIDC Core §5.5).

    The text says why, in ASCII, without quotes and without what was sent.
    """


def parse(text: str) -> ClaimsRequest:
    """The claims request in `text` (OIDC Core §5.5, §5.5.1). Raises `MalformedClaims`.

    Unknown members are ignored.
    """
    try:
        found = read_object(text)
    except MalformedJson as error:
        raise MalformedClaims(str(error)) from None
    return ClaimsRequest(
        id_token=_requested_claims(found, "id_token"), userinfo=_requested_claims(found, "userinfo")
    )


def _requested_claims(found: dict[str, Any], name: str) -> dict[str, RequestedClaim]:
    member = found.get(name)
    if member is None:
        return {}
    if not isinstance(member, dict):
        raise MalformedClaims(f"has an {name} that is not an object")
    return {claim: _requested_claim(spec) for claim, spec in member.items()}


def _requested_claim(spec: Any) -> RequestedClaim:
    if spec is None:
        return RequestedClaim()
    if not isinstance(spec, dict):
        raise MalformedClaims("asks for a claim by a value that is neither null nor an object")
    essential = spec.get("essential", False)
    if not isinstance(essential, bool):
        raise MalformedClaims("has an essential that is neither true nor false")
    if "value" in spec and "values" in spec:
        raise MalformedClaims("has both value and values for one claim")
    values = [spec["value"]] if "value" in spec else spec.get("values", [])
    if not isinstance(values, list) or (not values and "values" in spec):
        raise MalformedClaims("has values that are not a list of at least one")
    if not all(isinstance(value, Value) for value in values):
        raise MalformedClaims("has a value that is not text, a number, true or false")
    return RequestedClaim(essential, tuple(values))
