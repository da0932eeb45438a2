"""The login form."""

from flask_babel import lazy_gettext
from flask_wtf import FlaskForm
from wtforms import EmailField, PasswordField


class LoginForm(FlaskForm):
    """Address and password as typed. Nothing is checked here: all that is wrong is one answer."""

    email = EmailField(lazy_gettext("E-postadress"))
    password = PasswordField(lazy_gettext("Lösenord"))
