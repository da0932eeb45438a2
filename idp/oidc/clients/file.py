"""Reading clients.yaml: each entry made a client, its defaults beneath it, every problem with its place.

`client` says what the fields may hold; this module brings that and the YAML together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode

from idp.config import ConfigError
from idp.oidc.clients.problems import (
    LATER_FIELDS,
    SUBFIELDS,
    closest,
    nearest,
    not_yet,
    phrase,
    quoted,
    shown,
)
from idp.oidc.clients.yaml_nodes import KeyAndValue, YamlFile

Model = TypeVar("Model", bound=BaseModel)

Origin = Literal["entry", "defaults", "built in"]
SECTIONS = ("version", "defaults", "clients")
MAX_FILE_BYTES = 50_000_000


def read_file(path: Path) -> bytes:
    """The file's bytes. Raises `ConfigError` when it is missing, unreadable or over 50 MB."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError([f"{path}: is larger than {MAX_FILE_BYTES // 1_000_000} MB"])
    return data


@dataclass(frozen=True, slots=True)
class _Section:
    """A mapping of client fields: `defaults`, or one client."""

    entries: Mapping[str, KeyAndValue]
    values: Mapping[str, object]
    explained: frozenset[str]  # fields that may be missing because of a problem reported already


_NOTHING = _Section({}, {}, frozenset())


class ClientFileReader(Generic[Model]):
    """A reader of clients.yaml that makes a `model` of each entry.

    A field is the entry's own, else that of `defaults`, else that of `base`. `context` reaches the model's
    validators.
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
        self._own: dict[str, frozenset[str]] = {}

    def origin(self, client_id: str, field: str) -> Origin:
        """Where the value of an entry's field comes from; the entry is one that `read` found."""
        if field in self._own[client_id]:
            return "entry"
        return "defaults" if field in self._defaults.values else "built in"

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
        for key, pair in top.items():
            if key not in SECTIONS:
                misspelt.add(closest(key, SECTIONS))
                self._file.add(pair.key, f"there is no section {quoted(key)}{nearest(key, SECTIONS)}")
        for key in ("version", "clients"):
            if key not in top and key not in misspelt:
                self._file.add(root, f"the section {key} is missing")
        version = top.get("version")
        if version is not None and shown(version.value) != "1":
            self._file.add(version.value, f"must be 1 (got {shown(version.value)})", field="version")
        self._read_defaults(self._mapping(top, "defaults"))
        clients = {key: self._client(key, entry) for key, entry in self._mapping(top, "clients").items()}
        return {client_id: client for client_id, client in clients.items() if client is not None}

    def _mapping(self, top: Mapping[str, KeyAndValue], key: str) -> dict[str, KeyAndValue]:
        if key not in top:
            return {}
        node = top[key].value
        if isinstance(node, MappingNode):
            return self._file.entries(node)
        self._file.add(
            node, f"must be a mapping; write {key}: {{}} when there are none (got {shown(node)})", field=key
        )
        return {}

    def _read_defaults(self, entries: dict[str, KeyAndValue]) -> None:
        """Report the problems of a default once, whichever entries take it, and also when none does."""
        self._defaults = self._section(entries, "defaults")
        try:
            self._model.model_validate(
                {**self._base, **self._defaults.values, "client_id": "defaults"}, context=self._context
            )
        except ValidationError as error:
            for item in error.errors(include_url=False):
                if item["loc"][0] in entries:
                    self._report(item, "defaults", None, self._defaults)

    def _client(self, client_id: str, entry: KeyAndValue) -> Model | None:
        subject = f"client {quoted(client_id)}"
        if not isinstance(entry.value, MappingNode):
            self._file.add(
                entry.value, f"must be a mapping of fields (got {shown(entry.value)})", subject=subject
            )
            return None
        own = self._section(self._file.entries(entry.value, subject), subject)
        self._own[client_id] = frozenset(own.values)
        values = {**self._base, **self._defaults.values, **own.values, "client_id": client_id}
        try:
            return self._model.model_validate(values, context=self._context)
        except ValidationError as error:
            for item in error.errors(include_url=False):
                self._report(item, subject, entry.key, own)
            return None

    def _section(self, entries: dict[str, KeyAndValue], subject: str) -> _Section:
        values: dict[str, object] = {}
        explained = set()
        for key, pair in entries.items():
            value = self._file.plain(pair.value, subject)
            if key not in self._fields:
                if key not in LATER_FIELDS:
                    explained.add(closest(key, self._fields) or "")
                self._file.add(pair.key, self._explain_key(key), subject=subject)
            elif id(pair.value) in self._file.refused:
                explained.add(key)
            elif value is None:
                explained.add(key)
                self._file.add(pair.value, "has no value: leave the key out", subject=subject, field=key)
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
    if step in SUBFIELDS:
        return f".{step}"
    # another key in here may be a secret written in the wrong place
    return f"[{step}]" if isinstance(step, int) else f".{quoted(step, 10)[1:-1]}"


def _got(node: Node, path: Sequence[int | str]) -> str:
    """The value found, as far as it may be shown: never a whole secret or its hash."""
    if path[0] == "jwks" and len(path) > 1:
        return ""  # perhaps a private key
    if path[0] != "client_secrets" or path[-1] == "not_after":
        return f" (got {shown(node)})"
    if isinstance(node, ScalarNode) and len(node.value) >= 40:
        return f" (got {quoted(node.value, 8)})"
    return ""
