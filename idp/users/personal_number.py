"""Swedish personal identity numbers (personnummer) and coordination numbers (samordningsnummer)."""

import re
from dataclasses import dataclass
from datetime import date

_TYPED = re.compile(
    r"(?P<century>18|19|20)?(?P<date>[0-9]{6})(?P<separator>[-+]?)(?P<last>[0-9]{4})", re.ASCII
)
_COORDINATION_DAY = 60


class NotAPersonalNumber(ValueError):
    """The text is not a personal number. The message never repeats it."""


@dataclass(frozen=True, repr=False)
class PersonalNumber:
    """A number of 12 digits. Its text is masked everywhere; only `digits` is the number itself."""

    digits: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9]{12}", self.digits):
            raise NotAPersonalNumber("not 12 digits")

    @classmethod
    def parse(cls, text: str, *, today: date) -> "PersonalNumber":
        """The number that somebody typed: 12 or 10 digits, with or without `-` or `+` before the last four.

        Ten digits mean the latest birth not after `today`; `+` means one in the year in which the person
        turned 100, or later. Raises `NotAPersonalNumber` for a wrong form, date or check digit.
        """
        match = _TYPED.fullmatch(text)
        if match is None:
            raise NotAPersonalNumber("not of the form ÅÅÅÅMMDDNNNN or ÅÅMMDD-NNNN")
        rest = match["date"] + match["last"]
        latest_year = today.year - 100 if match["separator"] == "+" else today.year
        centuries = (
            [match["century"]] if match["century"] else [str(latest_year // 100 - back) for back in (0, 1)]
        )
        for century in centuries:
            number = cls(century + rest)
            if int(number.digits[:4]) <= latest_year and number._was_born_by(today):
                break
        else:
            raise NotAPersonalNumber("not a date of birth")
        if not number.has_right_check_digit or number.digits[8:11] == "000":
            raise NotAPersonalNumber("wrong check digit or serial number")
        return number

    @classmethod
    def from_bankid(cls, digits: str) -> "PersonalNumber":
        """The number in a verified BankID answer: any 12 digits.

        A person verified by the bank is not refused for a check digit; test `has_right_check_digit` and log.
        Raises `NotAPersonalNumber` for anything but 12 digits.
        """
        return cls(digits)

    @property
    def is_coordination(self) -> bool:
        """Whether this is a coordination number: 60 is added to its day."""
        return int(self.digits[6:8]) >= _COORDINATION_DAY

    @property
    def birthdate(self) -> date | None:
        """The date of birth; None where the number has none (month 00, day 60) or an impossible one."""
        year, month, day = int(self.digits[:4]), int(self.digits[4:6]), int(self.digits[6:8])
        try:
            return date(year, month, day - _COORDINATION_DAY if self.is_coordination else day)
        except ValueError:
            return None

    @property
    def has_right_check_digit(self) -> bool:
        """Whether the last digit follows from the nine before it (Luhn, over the ten-digit form)."""
        doubled = (int(digit) * (2 - place % 2) for place, digit in enumerate(self.digits[2:]))
        return sum(value // 10 + value % 10 for value in doubled) % 10 == 0

    def __str__(self) -> str:
        return f"{self.digits[:8]}-****"

    def __repr__(self) -> str:
        return f"PersonalNumber({self})"

    def _was_born_by(self, today: date) -> bool:
        """Whether the date exists, and is past. Of a coordination number, month or day may be unknown."""
        if self.birthdate is not None:
            return self.birthdate <= today
        year, month, day = int(self.digits[:4]), int(self.digits[4:6]), int(self.digits[6:8])
        if not self.is_coordination or month > 12 or day > _COORDINATION_DAY + 31:
            return False
        month_unknown, day_unknown = month == 0, day == _COORDINATION_DAY
        return (month_unknown or day_unknown) and (year, month) <= (today.year, today.month)
