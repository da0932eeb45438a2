"""JSON by its specification: everything else that Python's parser accepts is refused."""

import json
from typing import Any, NoReturn


class MalformedJson(ValueError):
    """The text is not an object in JSON. The message is ASCII, without quotes and without the text."""


def read_object(text: str) -> dict[str, Any]:
    """The object in `text`. Raises `MalformedJson`, also for a member named twice, NaN and Infinity."""
    try:
        found = json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_refuse_constant)
    except MalformedJson:
        raise
    except RecursionError:
        raise MalformedJson("is nested too deep") from None
    except ValueError:  # also a number of too many digits
        raise MalformedJson("is not JSON") from None
    if not isinstance(found, dict):
        raise MalformedJson("is not a JSON object")
    return found


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise MalformedJson("has the same member twice")
    return found


def _refuse_constant(_name: str) -> NoReturn:
    raise MalformedJson("is not JSON")
