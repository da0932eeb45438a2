"""Weak passwords may not be chosen."""

import pytest

from idp.password.policy import Weakness, weakness

OWN_DATA = ("anna.lindstrom@vintergatan.se", "Anna Lindström", "Vintergatan Logistik AB")
GOOD = "korrekt häst batteri klammer"


@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "zu7Q!k2m#x9W",
        "а" + "жираф-велосипед-чайник",
        "x9" * 3 + "qvlkt0",
        "🦆 anka 🦆 båt 🦆",
        "\u00e5" * 3 + "xkqzpvwmtj",
    ],
)
def test_a_good_password_may_be_chosen(password: str) -> None:
    assert weakness(password, OWN_DATA) is None


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        (GOOD[:11], Weakness.TOO_SHORT),
        ("", Weakness.TOO_SHORT),
        ("zu7Q!k2m#x9", Weakness.TOO_SHORT),
        (GOOD * 10, Weakness.TOO_LONG),
        ("password1234", Weakness.EASY_TO_GUESS),
        ("aaaaaaaaaaaaaaaa", Weakness.EASY_TO_GUESS),
        ("qwertyuiop123", Weakness.EASY_TO_GUESS),
        ("abcdefghijklmnop", Weakness.EASY_TO_GUESS),
        ("anna.lindstrom@vintergatan.se", Weakness.EASY_TO_GUESS),
        ("Anna Lindström", Weakness.EASY_TO_GUESS),
        ("vintergatan2026", Weakness.EASY_TO_GUESS),
        ("Lindstrom2026!", Weakness.EASY_TO_GUESS),
    ],
)
def test_a_weak_password_is_named(password: str, expected: Weakness) -> None:
    assert weakness(password, OWN_DATA) is expected


def test_a_password_weak_for_one_person_is_not_weak_for_another() -> None:
    password = "vintergatan2026"
    assert weakness(password, OWN_DATA) is Weakness.EASY_TO_GUESS
    assert weakness(password, ("bo@example.se", "Bo Ek", "Exempel AB")) is None


@pytest.mark.parametrize(("length", "expected"), [(256, None), (257, Weakness.TOO_LONG)])
def test_the_longest_password(length: int, expected: Weakness | None) -> None:
    assert weakness((GOOD * 10)[:length], OWN_DATA) is expected


def test_length_counts_characters_as_they_are_hashed() -> None:
    decomposed = "a\u030a" * 6
    assert len(decomposed) == 12
    assert weakness(decomposed, OWN_DATA) is Weakness.TOO_SHORT
