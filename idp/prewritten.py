"""Pages that are written once for all whose pages are alike, and filled in for each."""

import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Never

from markupsafe import Markup, escape

from idp import i18n
from idp.tokens import new_token

MOST_KEPT = 500  # in a language; a page of 15 kB is 8 MiB at most
_MARK = new_token()  # nobody can have written it
_MARKED = re.compile(rf"{_MARK}:(\w+);")


class Hole:
    """Stands in a page for a text that is filled in later. It can be written there, and nothing else.

    A page that was written once must not have decided anything by what is one person's: whatever asks
    more of a hole than its place raises `TypeError`.
    """

    def __init__(self, name: str) -> None:
        self.mark = f"{_MARK}:{name};"

    def __html__(self) -> Markup:
        return Markup(self.mark)  # noqa: S704 - letters and digits

    def _decide(self, *_: object) -> Never:
        raise TypeError("a page that is written once decides nothing by what is filled in")

    __bool__ = __eq__ = __iter__ = __len__ = __str__ = __getitem__ = __add__ = __mod__ = _decide
    __hash__ = None  # type: ignore[assignment]


def fill_in(
    page: str, alike: Hashable, texts: Mapping[str, str], write: Callable[[Mapping[str, Hole]], str]
) -> str:
    """The page called `page` with the texts, escaped, in the language that is in force now.

    `write` gets a hole for each text. It is called once for all pages that are `alike`: that holds everything
    by which they differ but the texts, and nothing that is one person's.
    """
    kept = i18n.texts().prewritten
    pieces: list[str] | None = kept.get((page, alike))
    if pieces is None:
        if len(kept) >= MOST_KEPT:
            kept.clear()
        pieces = kept[page, alike] = _MARKED.split(write({name: Hole(name) for name in texts}))
    filled: list[Any] = pieces.copy()
    filled[1::2] = [escape(texts[name]) for name in filled[1::2]]
    return "".join(filled)
