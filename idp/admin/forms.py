"""The form for a company user: its fields and its checks."""

from collections.abc import Mapping
from typing import Any

from flask_babel import LazyString
from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from wtforms import EmailField, SelectField, StringField, TelField
from wtforms.fields.choices import SelectChoice

from idp.admin.service import UserDetails
from idp.i18n import LANGUAGES, lazy_gettext
from idp.users import phone
from idp.users.fields import checked_email
from idp.users.forms import ProfileFields, check_choice, check_email, check_line
from idp.users.models import Role, User

ROLES: Mapping[str, LazyString] = {
    Role.USER.value: lazy_gettext("Användare"),
    Role.COMPANY_ADMIN.value: lazy_gettext("Företagsadministratör"),
}


def _choices(offered: Mapping[str, Any]) -> list[SelectChoice]:
    return [SelectChoice(value, label) for value, label in offered.items()]


class UserForm(ProfileFields, FlaskForm):
    """A company user's details. An address or role that must stay has no field."""

    name = StringField(lazy_gettext("Namn *"), description=lazy_gettext("Skriv in förnamn och efternamn"))
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

    def details(self) -> UserDetails:
        """The details in a valid form."""
        return UserDetails(
            profile=self.profile(),
            locale=self.locale.data,
            email=checked_email(self.email.data or "") if "email" in self else None,
            role=Role(self.role.data) if "role" in self else None,
        )

    def typed_values(self) -> dict[str, str]:
        """The values as they were typed, for showing the form again."""
        return {field.short_name: field.data or "" for field in self if field.short_name != "csrf_token"}

    def conflicts(self, now_stored: User) -> dict[str, str]:
        """By field, the value stored now, in words, where another one was typed."""
        words: Mapping[str, Mapping[str, Any]] = {"locale": LANGUAGES, "role": ROLES}
        stored = stored_values(now_stored)
        return {
            name: str(words[name][value] if name in words else value)
            for name, value in stored.items()
            if name in self and name != "version" and (self[name].data or "") != value
        }

    def validate_name(self, field: StringField) -> None:
        """Raise `ValidationError` for no name, or one that is not a line of text."""
        check_line(field, missing=lazy_gettext("Skriv användarens namn."))

    def validate_email(self, field: EmailField) -> None:
        """Raise `ValidationError` for a text that no mail can be sent to."""
        check_email(field, missing=lazy_gettext("Skriv användarens e-postadress."))

    def validate_role(self, field: SelectField) -> None:
        """Raise `ValidationError` for a role that is not offered."""
        check_choice(field, ROLES)


def stored_values(before: User | None) -> dict[str, Any]:
    """A user's details as the form's fields show them; for a new user, the choices made from start."""
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
