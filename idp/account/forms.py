"""The form "Ändra mina uppgifter": its fields, its checks, and the changes that it asks for."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from types import SimpleNamespace
from typing import Any

from werkzeug.datastructures import MultiDict
from wtforms import (
    BooleanField,
    EmailField,
    HiddenField,
    PasswordField,
    SelectField,
    StringField,
    TelField,
    ValidationError,
)

from idp import shown_form
from idp.account.service import AccountChanges, AccountDetails, Keep
from idp.i18n import LANGUAGES, gettext, lazy_gettext
from idp.password.forms import NewPasswordForm
from idp.users import phone
from idp.users.accounts import Choices
from idp.users.fields import checked_email
from idp.users.forms import ProfileFields, check_choice, check_email, check_line
from idp.users.personal_number import NotAPersonalNumber, PersonalNumber

MASK = "*"
DASHES = re.compile("[‐‑‒–—−]")


class AccountForm(ProfileFields, NewPasswordForm):
    """An account's details as their owner fills them in. A blank password keeps the old one."""

    resume = HiddenField()  # the interaction of the login that saving asked for
    email = EmailField(lazy_gettext("E-postadress"))
    name = StringField(lazy_gettext("Namn"))
    personal_number = StringField(lazy_gettext("Personnummer (ÅÅMMDDNNNN)"))
    phone = TelField(
        lazy_gettext("Telefonnummer"),
        description=lazy_gettext("Exempel: 46703032203. Används endast vid inloggning via SMS"),
    )
    password = PasswordField(lazy_gettext("Lösenord (lämna blankt för att behålla ditt gamla)"))
    confirm = PasswordField(lazy_gettext("Bekräfta lösenord"))
    locale = SelectField(lazy_gettext("Språk"), choices=LANGUAGES, validate_choice=False)
    start_page = SelectField(lazy_gettext("Startsida"), validate_choice=False)
    notices = BooleanField(
        lazy_gettext("Skicka e-post vid viktiga händelser"),
        description=lazy_gettext(
            "När en administratör ändrar dina uppgifter eller din roll, eller stänger av eller öppnar "
            "kontot. Brev om lösenord, e-postadress, BankID och nya sätt att logga in får du alltid."
        ),
    )

    def __init__(
        self,
        before: AccountDetails,
        apps: Mapping[str, str],
        *,
        own_data: Sequence[str],
        today: date,
        typed: MultiDict[str, str],
    ) -> None:
        """`apps` are the names of the apps to begin at, by client_id."""
        stored = stored_values(before, apps)
        del stored["version"]  # the browser sends the version that it has seen
        super().__init__(own_data, formdata=typed, data=stored)
        self.before = before
        self.today = today
        self.start_page.choices = start_pages(apps)

    def changes(self) -> AccountChanges:
        """The changes that a valid form asks for."""
        email = checked_email(self.email.data or "")
        choices = Choices(
            locale=self.locale.data,
            start_page=self.start_page.data or None,
            notices=bool(self.notices.data),
        )
        return AccountChanges(
            profile=self.profile(choices),
            password=self.password.data or None,
            email=None if email == self.before.email else email,
            number=self._number(),
        )

    def go_on_from_stored(self) -> None:
        """Take over the version stored now. A masked number was not typed: the stored one replaces it."""
        stored = stored_values(self.before, self.start_page.choices)
        self.version.data = stored["version"]
        if "personal_number" in self and MASK in (self.personal_number.data or ""):
            self.personal_number.data = stored["personal_number"]

    def conflicts(self) -> dict[str, str]:
        """By field, the value stored now where another one was typed."""
        stored = stored_values(self.before, self.start_page.choices)
        return {
            name: value
            for name, value in stored.items()
            if name in self and name != "version" and (self[name].data or "") != (value or "")
        }

    def validate_name(self, field: StringField) -> None:
        """Raise `ValidationError` for no name, or one that is not a line of text."""
        check_line(field, missing=lazy_gettext("Skriv ditt namn."))

    def validate_email(self, field: EmailField) -> None:
        """Raise `ValidationError` for a text that no mail can be sent to."""
        check_email(field, missing=lazy_gettext("Skriv din e-postadress."))

    def validate_personal_number(self, field: StringField) -> None:
        """Raise `ValidationError` for a number that nobody can have."""
        try:
            self._number()
        except NotAPersonalNumber:
            raise ValidationError(
                lazy_gettext(
                    "Det här är inget giltigt personnummer. Skriv tio siffror som ÅÅMMDDNNNN eller tolv som "
                    "ÅÅÅÅMMDDNNNN."
                )
            ) from None

    def validate_password(self, field: PasswordField) -> None:
        """Raise `ValidationError` with the password's weakness; it may be empty."""
        if field.data:
            super().validate_password(field)

    def validate_start_page(self, field: SelectField) -> None:
        """Raise `ValidationError` for an app that was not offered."""
        check_choice(field, self.start_page.choices)

    def _number(self) -> PersonalNumber | Keep | None:
        """The typed number, None for none, or `Keep` when it stays. Raises `NotAPersonalNumber`."""
        if "personal_number" not in self or self.before.linked is not None:
            return Keep.AS_IT_IS
        typed = DASHES.sub("-", "".join((self.personal_number.data or "").split()))
        stated = self.before.stated
        if typed == (str(stated) if stated else ""):
            return Keep.AS_IT_IS
        number = PersonalNumber.parse(typed, today=self.today) if typed else None
        return Keep.AS_IT_IS if number == stated else number


def shown(stored: Mapping[str, Any], apps: Mapping[str, str], *, has_number: bool) -> SimpleNamespace:
    """The form of `stored_values`, for the page alone: it can neither be filled in nor checked."""
    form = shown_form.of(AccountForm, stored, {"start_page": start_pages(apps)})
    if not has_number:
        form.personal_number = None
    return form


def start_pages(apps: Mapping[str, str]) -> dict[str, str]:
    """The choices of the start page: their labels by client_id, "" for the provider's own."""
    return {"": gettext("Välkomstsidan"), **apps}


def stored_values(before: AccountDetails, apps: Mapping[str, str]) -> dict[str, Any]:
    """The account's details as the form's fields show them."""
    profile, choices = before.profile, before.choices
    number = before.linked or before.stated
    return {
        "version": str(before.version),
        "email": before.email,
        "name": profile.name,
        "title": profile.title or "",
        "personal_number": str(number) if number else "",
        "phone": phone.shown(profile.phone) if profile.phone else "",
        "locale": choices.locale,
        "start_page": choices.start_page if choices.start_page in apps else "",
        "notices": choices.notices,
    }
