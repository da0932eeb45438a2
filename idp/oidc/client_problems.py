"""How problems of clients.yaml are worded: what was found, what was meant, what comes in a later version."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

# What the contract promises for later versions: an entry that asks for it must hear that it gets nothing yet.
LATER_FIELDS = frozenset(
    {
        "jwks",
        "jwks_uri",
        "token_endpoint_auth_signing_alg",
        "require_pushed_authorization_requests",
        "dpop_bound_access_tokens",
        "access_token_format",
        "userinfo_signed_response_alg",
        "userinfo_encrypted_response_alg",
        "userinfo_encrypted_response_enc",
        "id_token_encrypted_response_alg",
        "id_token_encrypted_response_enc",
        "request_object_signing_alg",
        "request_object_encryption_alg",
        "request_object_encryption_enc",
        "require_signed_request_object",
        "request_uris",
        "backchannel_logout_uri",
        "backchannel_logout_session_required",
        "frontchannel_logout_uri",
        "frontchannel_logout_session_required",
        "bankid",
    }
)
LATER_VALUES = {
    "token_endpoint_auth_method": frozenset({"private_key_jwt"}),
    "grant_types": frozenset({"refresh_token", "client_credentials"}),
    "scope": frozenset(
        {
            "offline_access",
            "https://id.oidc.se/scope/naturalPersonInfo",
            "https://id.oidc.se/scope/naturalPersonOrgId",
        }
    ),
}

SECRET_FIELDS = ("sha256", "not_after")
SHOWN_LENGTH = 80


def not_yet(what: str) -> str:
    """What is said of something that the contract promises for a later version."""
    return f"this version does not support {quoted(what)} yet"


def quoted(text: str, length: int = SHOWN_LENGTH) -> str:
    """Text in double quotes, safe in a log line: cut to `length`, what cannot be printed escaped."""
    cut = text if len(text) <= length else text[:length] + "…"
    return f'"{"".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)}"'


def shown(node: Node) -> str:
    """How a problem quotes the value it found."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    if node.tag == "tag:yaml.org,2002:str":
        return quoted(node.value)
    return quoted(node.value)[1:-1] or "nothing"


def nearest(word: object, choices: Iterable[str]) -> str:
    """`, did you mean "…"?` for a misspelt word, or nothing when no choice comes close."""
    near = closest(word, choices)
    return f", did you mean {quoted(near)}?" if near else ""


def closest(word: object, choices: Iterable[str]) -> str | None:
    """The choice that looks most like the word, if any does."""
    folded = {choice.lower().replace("-", "_"): choice for choice in choices}
    found = difflib.get_close_matches(str(word)[:SHOWN_LENGTH].lower().replace("-", "_"), folded, 1)
    return folded[found[0]] if found else None


def phrase(error: Mapping[str, Any]) -> str:
    """A pydantic error (`ValidationError.errors()`) as the end of the sentence "this field …"."""
    kind: str = error["type"]
    context: Mapping[str, Any] = error.get("ctx", {})
    if kind == "literal_error" and error["input"] in LATER_VALUES.get(error["loc"][0], ()):
        return not_yet(error["input"])
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        return f"must be {' or '.join(choices)}{nearest(error['input'], choices)}"
    if kind == "string_type":
        odd = isinstance(error["input"], int | ScalarNode)
        return "must be text: quote it" if odd else "must be text"
    sentences = {
        "missing": "is missing",
        "extra_forbidden": f"there is no such field{nearest(error['loc'][-1], SECRET_FIELDS)}",
        "bool_type": "must be true or false",
        "int_type": "must be a whole number",
        "tuple_type": "must be a list, such as [one, two]",
        "model_type": "must be a mapping such as {sha256: 5f2b…, not_after: 2027-06-30}",
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "less_than_equal": f"must be at most {context.get('le')}",
    }
    return sentences.get(kind) or str(error["msg"]).removeprefix("Value error, ")
