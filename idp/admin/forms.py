"""The form for a company user: what an administrator typed, and what is wrong with it."""

import re
from collections.abc import Mapping
from typing import Any

from flask_babel import LazyString
from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import EmailField, HiddenField, SelectField, StringField, TelField, ValidationError
from wtforms.fields.choices import SelectChoice

from idp.admin.service import Details
from idp.i18n import LANGUAGES, lazy_gettext
from idp.users import phone
from idp.users.fields import MAX_NAME, BadInput, checked_email, checked_name
from idp.users.models import Role, User

VERSION = re.compile(r"[0-9]{1,9}", re.ASCII)
NO_SUCH_VERSION = -1

ROLES: Mapping[str, LazyString] = {
    Role.USER.value: lazy_gettext("Användare"),
    Role.COMPANY_ADMIN.value: lazy_gettext("Företagsadministratör"),
}


def _choices(offered: Mapping[str, Any]) -> list[SelectChoice]:
    return [SelectChoice(value, label) for value, label in offered.items()]


class UserForm(FlaskForm):
    """A company user's details. Of a user who keeps address and role, the form has no such fields."""

    version = HiddenField()
    name = StringField(lazy_gettext("Namn *"), description=lazy_gettext("Skriv in förnamn och efternamn"))
    title = StringField(lazy_gettext("Titel"))
    email = EmailField(lazy_gettext("E-postadress *"))
    phone = TelField(
        lazy_gettext("Mobilnummer"),
        description=lazy_gettext("Exempel: 46703032203 (endast för inloggning via SMS)"),
    )
    locale = SelectField(lazy_gettext("Språk"), choices=_choices(LANGUAGES), validate_choice=False)
    role = SelectField(lazy_gettext("Roll"), choices=_choices(ROLES), validate_choice=False)

    def __init__(
        self, before: User | None, *, typed: MultiDict[str, str] | None, is_own: bool = False
    ) -> None:
        """`before` is the user as stored, None for a new one; `typed` None shows what is stored."""
        super().__init__(formdata=typed, data=stored_values(before))
        if is_own or (before is not None and not before.is_active):
            del self.email
        if is_own:
            del self.role

    @property
    def seen_version(self) -> int:
        """The version of the account that the form was filled from."""
        seen = self.version.data or ""
        return int(seen) if VERSION.fullmatch(seen) else NO_SUCH_VERSION

    def details(self) -> Details:
        """What the form means, after it was found good."""
        title, number = (self.title.data or "").strip(), (self.phone.data or "").strip()
        return Details(
            name=checked_name(self.name.data or "", "name"),
            title=checked_name(title, "title") if title else None,
            phone=phone.parse(number) if number else None,
            locale=self.locale.data,
            email=checked_email(self.email.data or "") if "email" in self else None,
            role=Role(self.role.data) if "role" in self else None,
        )

    def typed_values(self) -> dict[str, str]:
        """What was typed, to show it again."""
        return {field.short_name: field.data or "" for field in self if field.short_name != "csrf_token"}

    def conflicts(self, now_stored: User) -> dict[str, str]:
        """By field, what is stored now where something else was typed, in words."""
        words: Mapping[str, Mapping[str, Any]] = {"locale": LANGUAGES, "role": ROLES}
        stored = stored_values(now_stored)
        return {
            name: str(words[name][value] if name in words else value)
            for name, value in stored.items()
            if name in self and name != "version" and (self[name].data or "") != value
        }

    def validate_name(self, field: StringField) -> None:
        """Raise `ValidationError` for no name, or one that is no line of text."""
        if not (field.data or "").split():
            raise ValidationError(lazy_gettext("Skriv användarens namn."))
        _check_line(field)

    def validate_title(self, field: StringField) -> None:
        """Raise `ValidationError` for a title that is no line of text; there need be none."""
        if (field.data or "").split():
            _check_line(field)

    def validate_email(self, field: EmailField) -> None:
        """Raise `ValidationError` for a text that no mail can be sent to."""
        if not (field.data or "").strip():
            raise ValidationError(lazy_gettext("Skriv användarens e-postadress."))
        try:
            checked_email(field.data or "")
        except BadInput:
            raise ValidationError(
                lazy_gettext("Det här är ingen fullständig e-postadress. Skriv den som namn@foretag.se.")
            ) from None

    def validate_phone(self, field: TelField) -> None:
        """Raise `ValidationError` for a number that could not be called; there need be none."""
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
        """Raise `ValidationError` for a language that there is not."""
        _check_choice(field, LANGUAGES)

    def validate_role(self, field: SelectField) -> None:
        """Raise `ValidationError` for a role that there is not."""
        _check_choice(field, ROLES)


def stored_values(before: User | None) -> dict[str, Any]:
    """A user's details as the form's fields show them; of a new user, what is already chosen."""
    if before is None:
        return {"locale": "sv", "role": Role.USER.value}
    return {
        "version": str(before.version),
        "name": before.name,
        "title": before.title or "",
        "email": before.email,
        "phone": phone.shown(before.phone) if before.phone else "",
        "locale": before.locale,
        "role": before.role,
    }


def _check_line(field: StringField) -> None:
    typed = field.data or ""
    if len(" ".join(typed.split())) > MAX_NAME:
        raise ValidationError(lazy_gettext("Skriv högst %(number)s tecken.", number=MAX_NAME))
    try:
        checked_name(typed, "text")
    except BadInput:
        raise ValidationError(lazy_gettext("Texten innehåller tecken som inte går att använda.")) from None


def _check_choice(field: SelectField, offered: Mapping[str, Any]) -> None:
    if field.data not in offered:
        raise ValidationError(lazy_gettext("Välj ett av alternativen."))
