"""Personal numbers are read as people type them and BankID sends them, and shown masked."""

from datetime import date

import pytest

from idp.users.personal_number import NotAPersonalNumber, PersonalNumber

TODAY = date(2026, 11, 22)


# Skatteverket's test numbers, the last three coordination numbers, and the classic Tolvan.
KNOWN = {
    "189001019802": date(1890, 1, 1),
    "191212121212": date(1912, 12, 12),
    "199001012385": date(1990, 1, 1),
    "200211242383": date(2002, 11, 24),
    "201701012393": date(2017, 1, 1),
    "191503882399": date(1915, 3, 28),
    "191500722390": None,
}


def check_digit(nine: str) -> str:
    """Luhn's, worked out in another way than the code under test does."""
    total = 0
    for place, digit in enumerate(nine):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def with_check_digit(eleven: str) -> str:
    return eleven + check_digit(eleven[2:])


@pytest.mark.parametrize(("digits", "birthdate"), KNOWN.items())
def test_known_numbers(digits: str, birthdate: date | None) -> None:
    number = PersonalNumber.parse(digits, today=TODAY)
    assert number.digits == digits
    assert number.birthdate == birthdate
    assert number.is_coordination == digits.startswith("1915")
    assert number == PersonalNumber.parse(f"{digits[:8]}-{digits[8:]}", today=TODAY)


@pytest.mark.parametrize(
    ("typed", "digits"),
    [
        ("900101-2385", "199001012385"),
        ("9001012385", "199001012385"),
        ("021124-2383", "200211242383"),
        ("121212+1212", "191212121212"),
        ("900101+9802", "189001019802"),
        ("19121212+1212", "191212121212"),
        ("19121212-1212", "191212121212"),
        ("150072+2390", "191500722390"),
        ("150388+2399", "191503882399"),
    ],
)
def test_typed_forms(typed: str, digits: str) -> None:
    assert PersonalNumber.parse(typed, today=TODAY).digits == digits


@pytest.mark.parametrize(
    ("eleven", "separator", "year"),
    [
        ("20261122001", "-", 2026),  # today
        ("20261123001", "-", 1926),  # tomorrow: nobody is born then
        ("20261123001", "+", 1926),  # turns 100 this calendar year
        ("20271231001", "-", 1927),
        ("20271231001", "+", 1827),
        ("19260101001", "+", 1926),
        ("19260101001", "-", 2026),
        ("20000229001", "-", 2000),
        ("20261160001", "-", 2026),  # coordination number of this month, day unknown
        ("20261260001", "-", 1926),  # of next month
        ("20260061001", "-", 2026),  # month unknown
        ("20261183001", "-", 1926),  # 23 November
    ],
)
def test_ten_digits_mean_the_latest_birth_that_fits(eleven: str, separator: str, year: int) -> None:
    ten = eleven[2:] + check_digit(eleven[2:])
    number = PersonalNumber.parse(ten[:6] + separator + ten[6:], today=TODAY)
    assert number.digits == str(year) + ten[2:]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "199001012385\n",
        "\n199001012385",
        " 199001012385",
        "199001012385 ",
        "19900101 2385",
        "19900101--2385",
        "1990-01-01-2385",
        "90010-12385",
        "9900101-2385",
        "99001012385",
        "1199001012385",
        "219001012385",
        "179001012385",
        "900101−2385",
        "١٩٩٠٠١٠١٢٣٨٥",
        "19900101238５",
        "199001012³85",
        "19900101238A",
        "19900101T238",
        "+19900101238",
        "0x1990010123",
        "199001012385\0",
    ],
)
def test_a_number_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(NotAPersonalNumber, match="form"):
        PersonalNumber.parse(text, today=TODAY)


@pytest.mark.parametrize(
    "eleven",
    [
        "19900001238",
        "19901301238",
        "19900100238",
        "19900132238",
        "19900230238",
        "19010229238",
        "19900192238",  # coordination day 32
        "19900290238",  # 30 February
        "19901361238",
        "19901360238",
        "20261123238",  # tomorrow
        "20270101238",
        "20270061238",
        "20261260238",
    ],
)
def test_a_number_without_a_date_of_birth_is_refused(eleven: str) -> None:
    with pytest.raises(NotAPersonalNumber, match="date"):
        PersonalNumber.parse(with_check_digit(eleven), today=TODAY)


@pytest.mark.parametrize("eleven", ["19000229238", "19270101238", "19900101238", "20020101238"])
def test_a_plus_for_somebody_younger_than_a_hundred_is_refused(eleven: str) -> None:
    """And for 29 February 1900, which never was."""
    digits = with_check_digit(eleven)
    with pytest.raises(NotAPersonalNumber, match="date"):
        PersonalNumber.parse(f"{digits[:8]}+{digits[8:]}", today=TODAY)


def test_a_wrong_check_digit_is_refused() -> None:
    for digit in "012346789":
        with pytest.raises(NotAPersonalNumber, match="check digit"):
            PersonalNumber.parse("19900101238" + digit, today=TODAY)


def test_serial_number_000_belongs_to_nobody() -> None:
    with pytest.raises(NotAPersonalNumber):
        PersonalNumber.parse(with_check_digit("19900101000"), today=TODAY)


def test_a_check_digit_may_be_nought() -> None:
    numbers = [with_check_digit(f"19900101{serial}") for serial in range(230, 240)]
    assert any(number.endswith("0") for number in numbers)
    assert all(PersonalNumber.parse(number, today=TODAY).digits == number for number in numbers)


# BankID


@pytest.mark.parametrize("digits", ["199001012386", "190000000000", "199913999999"])
def test_a_number_that_bankid_verified_is_not_refused(digits: str) -> None:
    number = PersonalNumber.from_bankid(digits)
    assert number.digits == digits
    assert number.birthdate is None or digits.startswith("19900101")
    assert not number.has_right_check_digit or digits == "190000000000"


@pytest.mark.parametrize(
    "text", ["", "19900101238", "1990010123850", "900101-2385", "199001012385\n", "１" * 12]
)
def test_a_text_that_is_not_twelve_digits_is_refused_from_bankid(text: str) -> None:
    with pytest.raises(NotAPersonalNumber):
        PersonalNumber.from_bankid(text)


# Masked


def test_a_number_is_masked_wherever_it_is_shown() -> None:
    number = PersonalNumber.from_bankid("199001012385")
    assert str(number) == f"{number}" == "19900101-****"
    shown = (repr(number), repr([number]), f"{number!r:>40}", "%s" % number)  # noqa: UP031
    assert not any("2385" in text for text in shown)
    assert hash(number) == hash(PersonalNumber("199001012385"))
