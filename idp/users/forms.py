"""The common part of forms about people: fields, their checks and their values."""

import re
from typing import Any

from flask_babel import LazyString
from wtforms import EmailField, Field, HiddenField, SelectField, StringField, TelField, ValidationError

from idp.i18n import LANGUAGES, lazy_gettext
from idp.users import phone
from idp.users.accounts import Choices, Profile
from idp.users.fields import MAX_NAME, BadInput, checked_email, checked_name

VERSION = re.compile(r"[0-9]{1,9}", re.ASCII)
NO_SUCH_VERSION = -1


class ProfileFields:
    """The part of a form that people and administrators fill in alike; a `FlaskForm` inherits from it.

    The form itself has the fields `name`, `phone` and `locale`, each with a label of its own.
    """

    name: StringField
    phone: TelField
    locale: SelectField

    version = HiddenField()
    title = StringField(lazy_gettext("Titel"))

    @property
    def seen_version(self) -> int:
        """The version of the account that the form was filled from."""
        typed = self.version.data or ""
        return int(typed) if VERSION.fullmatch(typed) else NO_SUCH_VERSION

    def profile(self, choices: Choices | None = None) -> Profile:
        """The fields' values, after they were found good."""
        title, typed_phone = (self.title.data or "").strip(), (self.phone.data or "").strip()
        return Profile(
            name=checked_name(self.name.data or "", "name"),
            title=checked_name(title, "title") if title else None,
            phone=phone.parse(typed_phone) if typed_phone else None,
            choices=choices,
        )

    def validate_title(self, field: StringField) -> None:
        """Raise `ValidationError` for a title that is not a line of text; it may be empty."""
        check_line(field, missing=None)

    def validate_phone(self, field: TelField) -> None:
        """Raise `ValidationError` for a number that could not be called; it may be empty."""
        typed = (field.data or "").strip()
        try:
            if typed:
                phone.parse(typed)
        except phone.NotAPhoneNumber:
            raise ValidationError(
                lazy_gettext(
                    "Det här är inget giltigt telefonnummer. Skriv det som 46703032203 eller "
                    "070-303 22 03, utländska nummer med + och landsnummer."
                )
            ) from None

    def validate_locale(self, field: SelectField) -> None:
        """Raise `ValidationError` for a language that is not offered."""
        check_choice(field, LANGUAGES)


def check_line(field: StringField, *, missing: LazyString | None) -> None:
    """Raise `ValidationError` for a text of several lines; for no text, with `missing` if given."""
    typed = " ".join((field.data or "").split())
    if not typed:
        if missing is not None:
            raise ValidationError(missing)
        return
    if len(typed) > MAX_NAME:
        raise ValidationError(lazy_gettext("Skriv högst %(number)s tecken.", number=MAX_NAME))
    try:
        checked_name(typed, "text")
    except BadInput:
        raise ValidationError(lazy_gettext("Texten innehåller tecken som inte går att använda.")) from None


def check_email(field: EmailField, *, missing: LazyString) -> None:
    """Raise `ValidationError` for a text that no mail can be sent to; with `missing` for none."""
    typed = (field.data or "").strip()
    if not typed:
        raise ValidationError(missing)
    try:
        checked_email(typed)
    except BadInput:
        raise ValidationError(
            lazy_gettext("Det här är ingen fullständig e-postadress. Skriv den som namn@foretag.se.")
        ) from None


def check_choice(field: Field, offered: Any) -> None:
    """Raise `ValidationError` for a choice that is not among those `offered`."""
    if field.data not in offered:
        raise ValidationError(lazy_gettext("Välj ett av alternativen."))
