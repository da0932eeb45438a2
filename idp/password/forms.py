"""The forms for logging in, for asking for a new password and for choosing one."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from flask_babel import LazyString
from flask_wtf import FlaskForm
from wtforms import EmailField, PasswordField, ValidationError

from idp.i18n import lazy_gettext
from idp.password.hashing import MAX_LENGTH, normalized
from idp.password.policy import MIN_LENGTH, Weakness, weakness
from idp.users.fields import NOT_DECODED
from idp.users.forms import check_email

# Control characters and halves of others: keyboards do not type them, nobody could log in with them.
NOT_TYPED = ("Cc", "Cs")

WEAKNESS_TEXTS: Mapping[Weakness, LazyString] = {
    Weakness.TOO_SHORT: lazy_gettext("Lösenordet behöver ha minst %(number)s tecken.", number=MIN_LENGTH),
    Weakness.TOO_LONG: lazy_gettext("Lösenordet får ha högst %(number)s tecken.", number=MAX_LENGTH),
    Weakness.EASY_TO_GUESS: lazy_gettext(
        "Lösenordet är för lätt att gissa. Välj till exempel några ord som inte hör ihop, "
        "och använd inte ditt namn eller företagets."
    ),
}


class LoginForm(FlaskForm):
    """Address and password as typed. Nothing is checked here: every mistake has the same answer."""

    email = EmailField(lazy_gettext("E-postadress"))
    password = PasswordField(lazy_gettext("Lösenord"))


class ForgotForm(FlaskForm):
    """The address of a forgotten password. Only a text that cannot be an address is refused."""

    email = EmailField(lazy_gettext("Epost"))

    def validate_email(self, field: EmailField) -> None:
        """Raise `ValidationError` for a text that no mail can be sent to."""
        check_email(field, missing=lazy_gettext("Skriv din e-postadress."))


class NewPasswordForm(FlaskForm):
    """A password and the same once more, for somebody with this `own_data` (see `policy.weakness`)."""

    password = PasswordField(
        lazy_gettext("Lösenord"),
        description=lazy_gettext(
            "Minst %(number)s tecken, gärna några ord som inte hör ihop.", number=MIN_LENGTH
        ),
    )
    confirm = PasswordField(lazy_gettext("Bekräfta lösenord"))

    def __init__(self, own_data: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.own_data = own_data

    def validate_password(self, field: PasswordField) -> None:
        """Raise `ValidationError` with the password's weakness."""
        password = field.data or ""
        if not password:
            raise ValidationError(lazy_gettext("Skriv ett nytt lösenord."))
        if NOT_DECODED in password or any(unicodedata.category(letter) in NOT_TYPED for letter in password):
            raise ValidationError(lazy_gettext("Lösenordet innehåller tecken som inte går att använda."))
        weak = weakness(password, self.own_data)
        if weak is not None:
            raise ValidationError(WEAKNESS_TEXTS[weak])

    def validate_confirm(self, field: PasswordField) -> None:
        """Raise `ValidationError` when the two are not the same."""
        if normalized(field.data or "") != normalized(self.password.data or ""):
            raise ValidationError(
                lazy_gettext("Lösenorden är inte lika. Skriv samma lösenord i båda fälten.")
            )
