"""The rules for fields of accounts and companies, and the form in which they are stored."""

import re
import unicodedata

import email_validator

from idp.users import phone

MAX_EMAIL = 254
MAX_NAME = 200
NOT_DECODED = "\ufffd"  # stands for bytes that were not UTF-8
# They turn the text after them round, on pages and in mails: a name could change its meaning.
TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
# Reserved test domains (RFC 2606) are no typing errors: set-ups and demos use them.
email_validator.SPECIAL_USE_DOMAIN_NAMES = []


class BadInput(Exception):
    """The input cannot be stored; `problems` has a line for each field."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


def email_key(email: str) -> str:
    """The form under which an address is found: composed, lower-case, without outer space.

    Browsers send the domain of an `<input type=email>` in ASCII (xn--…): it is decoded again.
    """
    local, at, domain = unicodedata.normalize("NFC", email.strip()).lower().rpartition("@")
    return local + at + ".".join(_read_label(label) for label in domain.split("."))


def _read_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        return label.removeprefix("xn--").encode("ascii").decode("punycode").lower()
    except UnicodeError:
        return label


def checked_email(email: str) -> str:
    """The address in its normal form; raises `BadInput` for one that cannot receive mail."""
    if NOT_DECODED in email:
        raise BadInput("the e-mail address contains letters that could not be read")
    try:
        return email_validator.validate_email(email.strip(), check_deliverability=False).normalized
    except email_validator.EmailNotValidError as error:
        raise BadInput(f"e-mail address {email.strip()[:MAX_EMAIL]!r}: {error}") from None


def checked_name(name: str, what: str) -> str:
    """One line of text without control characters; raises `BadInput`."""
    cleaned = " ".join(unicodedata.normalize("NFC", name).split())
    if not cleaned:
        raise BadInput(f"{what} is empty")
    if len(cleaned) > MAX_NAME:
        raise BadInput(f"{what} is longer than {MAX_NAME} characters")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in cleaned) or TURNS.search(cleaned):
        raise BadInput(f"{what} contains control characters")
    if NOT_DECODED in cleaned:
        raise BadInput(f"{what} contains letters that could not be read")
    if not any(unicodedata.category(character)[0] in "LNPS" for character in cleaned):
        raise BadInput(f"{what} contains no visible character")
    return cleaned


def checked_phone(text: str) -> str:
    try:
        return phone.parse(text)
    except phone.NotAPhoneNumber:
        raise BadInput("phone: not a valid telephone number") from None
