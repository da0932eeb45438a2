"""clients.yaml as YAML: values that know their line and column, and every problem in words.

What the fields of a client may hold is said in `clients`; this file only brings the two together.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.composer import Composer
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import Reader
from yaml.resolver import Resolver

from idp.config import ConfigError

try:
    from yaml._yaml import CParser

    class _Loader(Composer, CParser, Resolver):
        """Scans in C, composes in Python: the composer in C overruns the stack on a deeply nested file."""

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            Composer.__init__(self)
            Resolver.__init__(self)

    LOADER: Any = _Loader
except ImportError:
    LOADER = yaml.SafeLoader

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
            "https://id.oidc.se/scope/naturalPersonNumber",
            "https://id.oidc.se/scope/naturalPersonOrgId",
        }
    ),
}

Model = TypeVar("Model", bound=BaseModel)

SECTIONS = ("version", "defaults", "clients")
SECRET_FIELDS = ("sha256", "not_after")
MAX_FILE_BYTES = 50_000_000
SHOWN_LENGTH = 80

_STR, _INT, _BOOL, _NULL, _TIMESTAMP, _SEQ, _MAP, _MERGE = (
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "bool", "null", "timestamp", "seq", "map", "merge")
)
_PLAIN_TAGS = frozenset({_INT, _BOOL, "tag:yaml.org,2002:float", "tag:yaml.org,2002:value", _MERGE})
_BOOLS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_DECIMAL = re.compile(r"0|-?[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping and its value, both with their places."""

    key: ScalarNode
    value: Node


class YamlFile:
    """One file being read: nodes in, plain values out, problems gathered on the way.

    A problem is added once for its place, field and message, however many clients share that place
    through `defaults` or an anchor.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._problems: dict[tuple[int, int, str, str], str] = {}
        self.refused: set[int] = set()  # ids of nodes whose tag is a problem: nothing more is said of them
        self._plain: dict[int, object] = {}
        self._entries: dict[int, dict[str, Entry]] = {}

    def add(self, node: Node, message: str, *, subject: str = "", field: str = "") -> None:
        """Note a problem at `node`; `subject` (whose) and `field` are put before the message."""
        self._add(node.start_mark.line, node.start_mark.column, message, subject, field)

    def _add(self, line: int, column: int, message: str, subject: str = "", field: str = "") -> None:
        where = ", ".join(part for part in (subject, field) if part)
        text = f"{self.name}:{line + 1}:{column + 1}: {where}{': ' if where else ''}{message}"
        self._problems.setdefault((line, column, field, message), text)

    def problems(self) -> list[str]:
        """One line for each problem, in the order of the file."""
        return [text for _, text in sorted(self._problems.items())]

    def compose(self, data: bytes) -> MappingNode | None:
        """The file's top mapping, or None when there is none: then `problems` says why.

        This and what walks the nodes may raise `RecursionError` on a deeply nested file.
        """
        text = self._decode(data)
        if text is None:
            return None
        try:
            node = yaml.compose(text, Loader=LOADER)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line, mark.column) if mark else (0, 0)
            words = " ".join(part for part in (error.context, error.problem) if part)
            self._add(line, column, f"this is not YAML: {words}{_tab_hint(text, line)}")
            return None
        if node is None:
            self._add(0, 0, "the file is empty")
            return None
        if not isinstance(node, MappingNode):
            self.add(node, "must be a mapping with version, defaults and clients")
            return None
        return node

    def _decode(self, data: bytes) -> str | None:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = data[: error.start].decode(errors="replace")
            self._add(*_end_of(before), "is not UTF-8 text")
            return None
        odd = Reader.NON_PRINTABLE.search(text)
        if odd is not None:
            self._add(*_end_of(text[: odd.start()]), f"holds a control character (U+{ord(odd[0]):04X})")
            return None
        return text

    def entries(self, node: MappingNode, subject: str = "") -> dict[str, Entry]:
        """A mapping's keys and values, `<<` merged in. A key that is no text or there twice is a problem."""
        if id(node) in self._entries:
            return self._entries[id(node)]
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        self._entries[id(node)] = own  # what a mapping that merges itself finds, instead of no end
        self._check_tag(node, subject)
        for key, value in node.value:
            if key.tag == _MERGE:
                for source in self._merge_sources(key, value, subject):
                    merged = {**self.entries(source, subject), **merged}
            elif not isinstance(key, ScalarNode) or key.tag != _STR:
                advice = ": quote it" if isinstance(key, ScalarNode) else ""
                self.add(key, f"a key must be text{advice} (got {shown(key)})", subject=subject)
            elif key.value in own:
                first = own[key.value].key.start_mark.line + 1
                self.add(
                    key, f"the key {quoted(key.value)} is here twice, first on line {first}", subject=subject
                )
            else:
                own[key.value] = Entry(key, value)
        self._entries[id(node)] = {**merged, **own}
        return self._entries[id(node)]

    def _merge_sources(self, key: Node, value: Node, subject: str) -> list[MappingNode]:
        sources = value.value if isinstance(value, SequenceNode) else [value]
        if not all(isinstance(source, MappingNode) for source in sources):
            self.add(key, f"<< takes a mapping, or a list of them (got {shown(value)})", subject=subject)
        return [source for source in sources if isinstance(source, MappingNode)]

    def plain(self, node: Node, subject: str = "") -> object:
        """The value in str, int, bool, None, list and dict.

        Dates stay the text they are. A scalar that YAML 1.1 reads as anything else (007, 1:30, 0x1F,
        1.5) stays a node, which no field takes.
        """
        if isinstance(node, ScalarNode):
            return self._scalar(node, subject)
        if id(node) not in self._plain:
            self._plain[id(node)] = node  # what an alias inside itself finds, instead of no end
            if isinstance(node, MappingNode):
                entries = self.entries(node, subject)
                self._plain[id(node)] = {
                    key: self.plain(entry.value, subject) for key, entry in entries.items()
                }
            else:
                self._check_tag(node, subject)
                self._plain[id(node)] = [self.plain(item, subject) for item in node.value]
        return self._plain[id(node)]

    def _scalar(self, node: ScalarNode, subject: str) -> object:
        tag = node.tag
        if tag in (_STR, _TIMESTAMP):
            return node.value
        if tag == _NULL:
            return None
        if tag == _BOOL:
            return _BOOLS.get(node.value.lower(), node)
        if tag == _INT and _DECIMAL.fullmatch(node.value):
            return int(node.value)
        if tag not in _PLAIN_TAGS:
            self._refuse_tag(node, subject)
        return node

    def _check_tag(self, node: Node, subject: str) -> None:
        if node.tag != (_MAP if isinstance(node, MappingNode) else _SEQ):
            self._refuse_tag(node, subject)

    def _refuse_tag(self, node: Node, subject: str) -> None:
        self.refused.add(id(node))
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        self.add(node, f"YAML tags are not allowed (got {quoted(tag)})", subject=subject)

    def key(self, node: Node, name: str) -> Node:
        """The node of a mapping's key."""
        assert isinstance(node, MappingNode)
        return self.entries(node)[name].key

    def locate(self, entries: Mapping[str, Entry], path: Sequence[int | str]) -> Node:
        """The node at `path` below `entries`, or the innermost one on the way there that exists.

        The first step must be one of `entries`.
        """
        node = entries[str(path[0])].value
        for step in path[1:]:
            if isinstance(node, SequenceNode) and isinstance(step, int):
                node = node.value[step]
            elif isinstance(node, MappingNode) and step in self.entries(node):
                node = self.entries(node)[str(step)].value
        return node


@dataclass(frozen=True, slots=True)
class _Section:
    """A mapping of client fields: `defaults`, or one client."""

    entries: Mapping[str, Entry]
    values: Mapping[str, object]
    explained: frozenset[str]  # what may be missing because of a problem reported already


_NOTHING = _Section({}, {}, frozenset())


class ClientFileReader(Generic[Model]):
    """Makes a `model` of each entry of `clients`, with fields from the entry, else `defaults`, else `base`.

    `context` reaches the model's validators.
    """

    def __init__(
        self, name: str, model: type[Model], *, base: Mapping[str, object], context: Mapping[str, object]
    ) -> None:
        self._file = YamlFile(name)
        self._model = model
        self._fields = {field.alias or name for name, field in model.model_fields.items()} - {"client_id"}
        self._base = base
        self._context = dict(context)
        self._defaults = _NOTHING

    def read(self, data: bytes) -> dict[str, Model]:
        """The entries by client_id. Raises `ConfigError` with every problem, in the order of the file."""
        try:
            found = self._read(data)
        except RecursionError:
            raise ConfigError([f"{self._file.name}:1:1: is nested too deeply"]) from None
        if problems := self._file.problems():
            raise ConfigError(problems)
        return found

    def _read(self, data: bytes) -> dict[str, Model]:
        root = self._file.compose(data)
        if root is None:
            return {}
        top = self._file.entries(root)
        misspelt = set()
        for key, entry in top.items():
            if key not in SECTIONS:
                misspelt.add(closest(key, SECTIONS))
                self._file.add(entry.key, f"there is no section {quoted(key)}{nearest(key, SECTIONS)}")
        for key in ("version", "clients"):
            if key not in top and key not in misspelt:
                self._file.add(root, f"the section {key} is missing")
        version = top.get("version")
        if version is not None and shown(version.value) != "1":
            self._file.add(version.value, f"must be 1 (got {shown(version.value)})", field="version")
        self._read_defaults(self._mapping(top, "defaults"))
        clients = {key: self._client(key, entry) for key, entry in self._mapping(top, "clients").items()}
        return {client_id: client for client_id, client in clients.items() if client is not None}

    def _mapping(self, top: Mapping[str, Entry], key: str) -> dict[str, Entry]:
        if key not in top:
            return {}
        node = top[key].value
        if isinstance(node, MappingNode):
            return self._file.entries(node)
        self._file.add(
            node, f"must be a mapping; {key}: {{}} when there is none (got {shown(node)})", field=key
        )
        return {}

    def _read_defaults(self, entries: dict[str, Entry]) -> None:
        """Report what is wrong with a default whoever takes it, even when nobody does."""
        self._defaults = self._section(entries, "defaults")
        try:
            self._model.model_validate(
                {**self._base, **self._defaults.values, "client_id": "defaults"}, context=self._context
            )
        except ValidationError as error:
            for item in error.errors(include_url=False):
                if item["loc"][0] in entries:
                    self._report(item, "defaults", None, self._defaults)

    def _client(self, client_id: str, entry: Entry) -> Model | None:
        subject = f"client {quoted(client_id)}"
        if not isinstance(entry.value, MappingNode):
            self._file.add(
                entry.value, f"must be a mapping of fields (got {shown(entry.value)})", subject=subject
            )
            return None
        own = self._section(self._file.entries(entry.value, subject), subject)
        values = {**self._base, **self._defaults.values, **own.values, "client_id": client_id}
        try:
            return self._model.model_validate(values, context=self._context)
        except ValidationError as error:
            for item in error.errors(include_url=False):
                self._report(item, subject, entry.key, own)
            return None

    def _section(self, entries: dict[str, Entry], subject: str) -> _Section:
        values: dict[str, object] = {}
        explained = set()
        for key, entry in entries.items():
            value = self._file.plain(entry.value, subject)
            if key not in self._fields:
                if key not in LATER_FIELDS:
                    explained.add(closest(key, self._fields) or "")
                self._file.add(entry.key, self._explain_key(key), subject=subject)
            elif id(entry.value) in self._file.refused:
                explained.add(key)
            elif value is None:
                explained.add(key)
                self._file.add(entry.value, "has no value: leave the key out", subject=subject, field=key)
            else:
                values[key] = value
        return _Section(entries, values, frozenset(explained))

    def _explain_key(self, key: str) -> str:
        if key in LATER_FIELDS:
            return not_yet(key)
        if key == "client_secret":
            return (
                "client_secret: a clear-text secret must not be in the file; list its SHA-256 under"
                " client_secrets instead (idp clients secret makes both)"
            )
        if key == "client_id":
            return "client_id: leave it out, the entry's own key is the client_id"
        return f"there is no field {quoted(key)}{nearest(key, self._fields)}"

    def _report(self, error: Any, subject: str, key: Node | None, own: _Section) -> None:
        """Turn a pydantic error into problems, at the client's `key` where the file lacks the field."""
        top = str(error["loc"][0])
        explained = own.explained | self._defaults.explained
        if top in explained and top not in own.values and top not in self._defaults.values:
            return
        if top not in own.entries and top in self._defaults.entries:
            own, subject = self._defaults, f"{subject} (from defaults)"
        for below, message in error.get("ctx", {}).get("items", [((), phrase(error))]):
            path = (*error["loc"], *below)
            field = top + "".join(_step(step) for step in path[1:])
            if top in own.entries and error["type"] == "extra_forbidden":
                parent = self._file.locate(own.entries, path[:-1])
                self._file.add(self._file.key(parent, str(path[-1])), message, subject=subject, field=field)
            elif top in own.entries:
                node = self._file.locate(own.entries, path)
                self._file.add(node, message + _got(node, path), subject=subject, field=field)
            elif key is not None:
                self._file.add(key, message, subject=subject, field=field)


def _step(step: int | str) -> str:
    # a key in here may be a secret written in the wrong place
    return f"[{step}]" if isinstance(step, int) else f".{quoted(step, 10)[1:-1]}"


def _got(node: Node, path: Sequence[int | str]) -> str:
    """The value found, as far as it may be shown: never a whole secret or its hash."""
    if path[0] != "client_secrets" or path[-1] == "not_after":
        return f" (got {shown(node)})"
    if isinstance(node, ScalarNode) and len(node.value) >= 40:
        return f" (got {quoted(node.value, 8)})"
    return ""


def not_yet(what: str) -> str:
    """What is said of something that the contract promises for a later version."""
    return f"this version does not support {quoted(what)} yet"


def read_file(path: Path) -> bytes:
    """What the file holds. Raises `ConfigError` when it is missing, unreadable or over 50 MB."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError([f"{path}: is larger than {MAX_FILE_BYTES // 1_000_000} MB"])
    return data


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
    if node.tag == _STR:
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


def _end_of(text: str) -> tuple[int, int]:
    """The line and column after `text`, both from 0."""
    return text.count("\n"), len(text) - (text.rfind("\n") + 1)


def _tab_hint(text: str, line: int) -> str:
    lines = text.split("\n")
    found = lines[line] if line < len(lines) else ""
    indent = found[: len(found) - len(found.lstrip())]
    return "; indent with spaces, not tabs" if "\t" in indent else ""
