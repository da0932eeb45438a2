"""The wording of clients.yaml's problems: the value found, the value meant, what a later version supports."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

# Fields promised for later versions: an entry that uses one must hear that it has no effect yet.
LATER_FIELDS = frozenset(
    {
        "request_uris",
    }
)

SUBFIELDS = (
    *("sha256", "not_after"),
    *("requirement", "certificate", "high_risk"),
    *("pinCode", "mrtd", "certificatePolicies", "cardReader"),
)
SHOWN_LENGTH = 80
_MAPPINGS = {
    "client_secrets": "must be a mapping such as {sha256: 5f2b…, not_after: 2027-06-30}",
    "bankid": "must be a mapping such as {requirement: {mrtd: true}, certificate: customer}",
    "requirement": "must be a mapping such as {mrtd: true, certificatePolicies: [mobile]}",
}


def not_yet(what: str) -> str:
    """The problem with something that the contract promises for a later version."""
    return f"this version does not support {quoted(what)} yet"


def quoted(text: str, length: int = SHOWN_LENGTH) -> str:
    """Text in double quotes, safe in a log line: cut to `length`, unprintable characters escaped."""
    cut = text if len(text) <= length else text[:length] + "…"
    return f'"{"".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)}"'


def shown(node: Node) -> str:
    """The value found, as a problem quotes it."""
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
    """The choice that resembles the word most, if any does."""
    folded = {choice.lower().replace("-", "_"): choice for choice in choices}
    found = difflib.get_close_matches(str(word)[:SHOWN_LENGTH].lower().replace("-", "_"), folded, 1)
    return folded[found[0]] if found else None


def phrase(error: Mapping[str, Any]) -> str:
    """A pydantic error (`ValidationError.errors()`) as the end of the sentence "this field …"."""
    kind: str = error["type"]
    context: Mapping[str, Any] = error.get("ctx", {})
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        return f"must be {' or '.join(choices)}{nearest(error['input'], choices)}"
    if kind == "string_type":
        odd = isinstance(error["input"], int | ScalarNode)
        return "must be text: quote it" if odd else "must be text"
    sentences = {
        "missing": "is missing",
        "extra_forbidden": f"there is no such field{nearest(error['loc'][-1], SUBFIELDS)}",
        "bool_type": "must be true or false",
        "int_type": "must be a whole number",
        "tuple_type": "must be a list, such as [one, two]",
        "model_type": _MAPPINGS.get(str(error["loc"][-1]), _MAPPINGS.get(str(error["loc"][0]))),
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "less_than_equal": f"must be at most {context.get('le')}",
    }
    return sentences.get(kind) or str(error["msg"]).removeprefix("Value error, ")
