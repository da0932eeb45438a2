"""The demands on a new password."""

from collections.abc import Sequence
from enum import StrEnum

from zxcvbn_rs_py import zxcvbn

from idp.password.hashing import MAX_LENGTH, normalized

MIN_LENGTH = 12
MIN_SCORE = 3
JUDGED = 100  # characters; guessing more of them is no easier and costs time


class Weakness(StrEnum):
    """The reason why a password may not be chosen."""

    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    EASY_TO_GUESS = "easy_to_guess"


def weakness(password: str, own_data: Sequence[str]) -> Weakness | None:
    """The weakness of a new password, None if it has none.

    No rules of composition (NIST SP 800-63B §5.1.1.2): length, and a guess at how hard it is to guess
    for somebody who knows the person's `own_data` (name, address, company).
    """
    password = normalized(password)
    if len(password) < MIN_LENGTH:
        return Weakness.TOO_SHORT
    if len(password) > MAX_LENGTH:
        return Weakness.TOO_LONG
    words = [word for text in own_data for word in text.lower().replace("@", " ").replace(".", " ").split()]
    if int(zxcvbn(password[:JUDGED], user_inputs=[*own_data, *words]).score) < MIN_SCORE:
        return Weakness.EASY_TO_GUESS
    return None
