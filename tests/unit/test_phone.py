"""Telephone numbers as people write them."""

import pytest

from idp.users.phone import NotAPhoneNumber, parse, shown


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("46703032203", "+46703032203"),
        ("+46703032203", "+46703032203"),
        ("0703032203", "+46703032203"),
        ("070-303 22 03", "+46703032203"),
        ("070–303 22 03", "+46703032203"),
        ("070 303 22 03", "+46703032203"),
        ("(070) 303 22 03", "+46703032203"),
        ("070/303.22.03", "+46703032203"),
        ("  0703032203  ", "+46703032203"),
        ("+46 (0)70 303 22 03", "+46703032203"),
        ("+46 70-303 22 03", "+46703032203"),
        ("+46070 303 22 03", "+46703032203"),
        ("0046703032203", "+46703032203"),
        ("0046 (0)70-303 22 03", "+46703032203"),
        ("＋４６７０３０３２２０３", "+46703032203"),
        ("08-123 456 78", "+46812345678"),
        ("08-123 456", "+468123456"),
        ("+44 (0)20 7946 0958", "+442079460958"),
        ("0044 20 7946 0958", "+442079460958"),
        ("+358 40 1234567", "+358401234567"),
        ("+39 06 69812345", "+390669812345"),
    ],
)
def test_every_common_spelling_is_understood(typed: str, stored: str) -> None:
    assert parse(typed) == stored
    assert parse(stored) == stored
    assert parse(shown(stored)) == stored, "what a form shows can be sent back"


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "hej",
        "070",
        "+",
        "00",
        "+1",
        "703032203",
        "0703032203040506",
        "+46 70 303 22 03 04",
        "+999999999999999999",
        "070-303 22 0x",
        "070-303 22 03 ank 12",
        "070-303 22 03\0",
        "07०3032203x",
        "((((070",
        "<b>0703032203</b>",
        "070-303 22 03 🙂",
        "0" * 5000,
        "+0703032203",
    ],
)
def test_anything_else_is_refused(typed: str) -> None:
    with pytest.raises(NotAPhoneNumber):
        parse(typed)


def test_numbers_are_shown_as_the_hint_writes_them() -> None:
    assert shown("+46703032203") == "46703032203"
    assert shown("+442079460958") == "+442079460958"
