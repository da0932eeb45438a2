"""Telephone numbers: understood in the spellings that people use, stored as E.164."""

import re
import unicodedata

_BETWEEN = re.compile(r"[\s\-‐‑‒–—−./]")
_TRUNK_ZERO = re.compile(r"\(0+\)")
_SWEDISH = re.compile(r"46([1-9][0-9]{6,8})", re.ASCII)
_FOREIGN = re.compile(r"[1-9][0-9]{7,14}", re.ASCII)


class NotAPhoneNumber(ValueError):
    """The text is not a telephone number that could be called from anywhere."""


def parse(text: str) -> str:
    """The number that somebody typed, as E.164: `+46703032203`.

    Swedish numbers with or without their country code (070-303 22 03, +46 (0)70…, (+46)…, 0046…), others with
    theirs after + or 00. Raises `NotAPhoneNumber`.
    """
    # Address books copy invisible marks along: soft hyphens, and those that turn text round.
    seen = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    typed = _BETWEEN.sub("", unicodedata.normalize("NFKC", seen))
    digits = _TRUNK_ZERO.sub("", typed)
    # Parentheses are around an area code or a country code, once.
    digits = re.sub(r"\((\+?[0-9]+)\)", r"\1", digits, count=1)
    if digits.startswith("+"):
        digits = digits[1:]
    elif digits.startswith("00"):
        digits = digits[2:]
    elif typed.startswith(("0", "(0")):
        digits = "46" + digits.removeprefix("0")
    elif not digits.startswith("46"):
        raise NotAPhoneNumber("neither a Swedish number nor one with a country code")
    if digits.startswith("46"):
        swedish = _SWEDISH.fullmatch("46" + digits[2:].removeprefix("0"))
        if swedish is None:
            raise NotAPhoneNumber("wrong length for a Swedish number")
        return f"+46{swedish[1]}"
    if not _FOREIGN.fullmatch(digits):
        raise NotAPhoneNumber("wrong length for a number with a country code")
    return f"+{digits}"


def shown(number: str) -> str:
    """A stored number as forms show it: Swedish ones without their +; `parse` understands it again."""
    return number.removeprefix("+") if number.startswith("+46") else number
