"""The form of a name or title by which lists sort and search it, the same on every database."""

import unicodedata
from collections.abc import Callable
from typing import Any

MAX_KEY = 200
# Swedish sorts å, ä, ö after z, in that order; Danish and Norwegian letters count as these.
_AFTER_Z = str.maketrans({"å": "{", "ä": "|", "æ": "|", "ö": "}", "ø": "}"})


def sort_key(text: str) -> str:
    """The text in small letters, with å, ä and ö as the next characters after z, and without other accents.

    A search compares the key of its text with these keys. Compare keys by code point.
    """
    kept = unicodedata.normalize("NFC", text).lower().translate(_AFTER_Z)
    bare = (letter for letter in unicodedata.normalize("NFKD", kept) if not unicodedata.combining(letter))
    return "".join(bare).casefold()[:MAX_KEY]


def key_of(column: str) -> Callable[[Any], str | None]:
    """A column's default: the key of the value inserted in `column`."""

    def key(context: Any) -> str | None:
        value = context.get_current_parameters().get(column)
        return None if value is None else sort_key(value)

    return key
