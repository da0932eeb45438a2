"""Templates whose texts are translated when they are compiled, once for each language, not at every page."""

from collections.abc import MutableMapping
from typing import Any, Self

from flask.templating import Environment
from jinja2 import Template, nodes
from jinja2.visitor import NodeTransformer

from idp import i18n


class LanguageEnvironment(Environment):
    """Flask's environment and, for each language that pages are requested in, one of its own.

    Compiled templates belong to a language, and so do the macros that they share.
    """

    texts: i18n.Texts | None = None
    _in_languages: dict[i18n.Texts, Self]

    def overlay(self, *args: Any, **kwargs: Any) -> Self:
        """Jinja's overlay. It has languages of its own."""
        made = super().overlay(*args, **kwargs)
        made.__dict__.pop("_in_languages", None)
        return made

    def in_language(self) -> Self:
        """The environment of the language that is in force now."""
        if self.texts is not None:
            return self
        texts = i18n.texts()
        known = self.__dict__.setdefault("_in_languages", {})
        found: Self | None = known.get(texts)
        if found is None:
            found = known[texts] = self.overlay()
            found.texts = texts
        return found

    def get_or_select_template(self, *args: Any, **kwargs: Any) -> Template:
        """The template in the language that is in force now."""
        return super(LanguageEnvironment, self.in_language()).get_or_select_template(*args, **kwargs)

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """A template's globals; in a language a plain mapping, for they are compared at every import."""
        return super().make_globals(d) if self.texts is None else {**self.globals, **(d or {})}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        if self.texts is not None:
            _Translator(self.texts).visit(tree)
        return tree


class _Translator(NodeTransformer):
    """Puts the translation in place of each call with a msgid; the same text as Jinja's gettext returns."""

    def __init__(self, texts: i18n.Texts) -> None:
        self._catalogue = texts.catalogue

    def visit_Call(self, node: nodes.Call) -> nodes.Node:
        self.generic_visit(node)
        match node:
            case nodes.Call(
                node=nodes.Name(name="_" | "gettext"),
                args=[nodes.Const(value=str(text))],
                dyn_args=None,
                dyn_kwargs=None,
            ):
                translated = nodes.MarkSafeIfAutoescape(nodes.Const(self._catalogue.ugettext(text)))
                pairs = [nodes.Pair(nodes.Const(given.key), given.value) for given in node.kwargs]
                return nodes.Mod(translated, nodes.Dict(pairs)).set_lineno(node.lineno)
        return node
