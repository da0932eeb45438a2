"""clients.yaml as YAML: nodes that know their line and column, and the problems found on the way."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.reader import Reader
from yaml.resolver import Resolver

from idp.oidc.clients.problems import quoted, shown

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

_STR, _INT, _BOOL, _NULL, _TIMESTAMP, _SEQ, _MAP, _MERGE = (
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "bool", "null", "timestamp", "seq", "map", "merge")
)
_PLAIN_TAGS = frozenset({_INT, _BOOL, "tag:yaml.org,2002:float", "tag:yaml.org,2002:value", _MERGE})
_BOOLS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
_DECIMAL = re.compile(r"0|-?[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class KeyAndValue:
    """A key of a mapping and its value, both with their places."""

    key: ScalarNode
    value: Node


class YamlFile:
    """A file being read: nodes in, plain values out, problems collected on the way.

    A problem is added once for its place, field and message, however many clients share that place through
    `defaults` or an anchor.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._problems: dict[tuple[int, int, str, str], str] = {}
        self.refused: set[int] = (
            set()
        )  # ids of nodes whose tag is a problem, which is the only one reported of them
        self._plain: dict[int, object] = {}
        self._entries: dict[int, dict[str, KeyAndValue]] = {}

    def add(self, node: Node, message: str, *, subject: str = "", field: str = "") -> None:
        """Note a problem at `node`; `subject` (whose it is) and `field` go before the message."""
        self._add(node.start_mark.line, node.start_mark.column, message, subject, field)

    def _add(self, line: int, column: int, message: str, subject: str = "", field: str = "") -> None:
        where = ", ".join(part for part in (subject, field) if part)
        text = f"{self.name}:{line + 1}:{column + 1}: {where}{': ' if where else ''}{message}"
        self._problems.setdefault((line, column, field, message), text)

    def problems(self) -> list[str]:
        """One line for each problem, in the order of the file."""
        return [text for _, text in sorted(self._problems.items())]

    def compose(self, data: bytes) -> MappingNode | None:
        """The file's top mapping; None without one, and then `problems` says why.

        This and the methods that walk the nodes may raise `RecursionError` on a deeply nested file.
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
            self._add(*_end_of(text[: odd.start()]), f"contains a control character (U+{ord(odd[0]):04X})")
            return None
        return text

    def entries(self, node: MappingNode, subject: str = "") -> dict[str, KeyAndValue]:
        """A mapping's keys and values, `<<` merged in.

        A key that is not text or is there twice is a problem.
        """
        if id(node) in self._entries:
            return self._entries[id(node)]
        own: dict[str, KeyAndValue] = {}
        merged: dict[str, KeyAndValue] = {}
        self._entries[id(node)] = own  # found by a mapping that merges itself, which would not end otherwise
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
                    key, f"the key {quoted(key.value)} appears twice, first on line {first}", subject=subject
                )
            else:
                own[key.value] = KeyAndValue(key, value)
        self._entries[id(node)] = {**merged, **own}
        return self._entries[id(node)]

    def _merge_sources(self, key: Node, value: Node, subject: str) -> list[MappingNode]:
        sources = value.value if isinstance(value, SequenceNode) else [value]
        if not all(isinstance(source, MappingNode) for source in sources):
            self.add(key, f"<< needs a mapping or a list of mappings (got {shown(value)})", subject=subject)
        return [source for source in sources if isinstance(source, MappingNode)]

    def plain(self, node: Node, subject: str = "") -> object:
        """The value in str, int, bool, None, list and dict.

        Dates stay text. A scalar that YAML 1.1 reads as anything else (007, 1:30, 0x1F, 1.5) stays a node,
        which no field takes.
        """
        if isinstance(node, ScalarNode):
            return self._scalar(node, subject)
        if id(node) not in self._plain:
            self._plain[id(node)] = node  # found by an alias inside itself, which would not end otherwise
            if isinstance(node, MappingNode):
                entries = self.entries(node, subject)
                self._plain[id(node)] = {
                    key: self.plain(pair.value, subject) for key, pair in entries.items()
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

    def locate(self, entries: Mapping[str, KeyAndValue], path: Sequence[int | str]) -> Node:
        """The node at `path` below `entries`, or the innermost one on the way that exists.

        The first step must be one of `entries`.
        """
        node = entries[str(path[0])].value
        for step in path[1:]:
            if isinstance(node, SequenceNode) and isinstance(step, int):
                node = node.value[step]
            elif isinstance(node, MappingNode) and step in self.entries(node):
                node = self.entries(node)[str(step)].value
        return node


def _end_of(text: str) -> tuple[int, int]:
    """The line and column after `text`, both from 0."""
    return text.count("\n"), len(text) - (text.rfind("\n") + 1)


def _tab_hint(text: str, line: int) -> str:
    lines = text.split("\n")
    found = lines[line] if line < len(lines) else ""
    indent = found[: len(found) - len(found.lstrip())]
    return "; indent with spaces, not tabs" if "\t" in indent else ""
