"""Random dates and texts are read as personal numbers or refused."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from idp.users.personal_number import NotAPersonalNumber, PersonalNumber
from tests.unit.users.test_personal_number import TODAY, with_check_digit


@given(born=st.dates(date(1890, 1, 1), TODAY), serial=st.integers(1, 999), coordination=st.booleans())
def test_every_way_to_write_a_number_means_the_same(born: date, serial: int, coordination: bool) -> None:
    day = born.day + 60 if coordination else born.day
    digits = with_check_digit(f"{born.year}{born.month:02}{day:02}{serial:03}")
    separator = "+" if TODAY.year - born.year >= 100 else "-"
    forms = (digits, f"{digits[:8]}{separator}{digits[8:]}", f"{digits[2:8]}{separator}{digits[8:]}")
    for form in forms:
        number = PersonalNumber.parse(form, today=TODAY)
        assert number.digits == digits
        assert number.birthdate == born
        assert number.is_coordination == coordination


@given(st.text(max_size=14) | st.from_regex(r"[0-9]{6,8}[-+]?[0-9]{4}", fullmatch=True))
def test_any_text_is_a_number_or_refused(text: str) -> None:
    try:
        number = PersonalNumber.parse(text, today=TODAY)
    except NotAPersonalNumber:
        return
    assert number.digits.endswith(text[-4:])
    assert number.has_right_check_digit
