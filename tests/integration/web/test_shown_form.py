"""A form that is only shown looks as the same form made by WTForms."""

import pytest
from flask import Flask, render_template_string
from flask_wtf import FlaskForm
from wtforms import BooleanField, EmailField, HiddenField, PasswordField, SelectField, StringField

from idp import shown_form
from idp.i18n import lazy_gettext

PAGE = """
{% from "_fields.html" import checkbox_field, hidden_field, password_field, select_field, text_field %}
{{ hidden_field(form.hidden, "a") }}{{ text_field(form.name, "b", autofocus=true) }}
{{ text_field(form.email, "c", inputmode="email", described_by="x") }}{{ password_field(form.password, "d") }}
{{ select_field(form.language, "e") }}{{ select_field(form.place, "f") }}
{{ checkbox_field(form.wanted, "g") }}{{ checkbox_field(form.unwanted, "h") }}{{ form.errors }}
"""
PLACES = {"": "Nowhere", "<b>": "B & B"}


class Form(FlaskForm):
    """A field of each kind."""

    hidden = HiddenField()
    name = StringField(lazy_gettext("Namn"), description="<b>")
    email = EmailField(lazy_gettext("E-postadress"))
    password = PasswordField(lazy_gettext("Lösenord"), description=lazy_gettext("Titel"))
    language = SelectField(lazy_gettext("Språk"), choices={"sv": "Svenska", "en": "English"})
    place = SelectField("Place")
    wanted = BooleanField(lazy_gettext("Namn"), description=lazy_gettext("Titel"))
    unwanted = BooleanField("Not this")


@pytest.fixture
def database_url() -> str:
    return "sqlite://"


@pytest.mark.parametrize("lang", ["sv", "en"])
def test_a_shown_form_looks_as_the_wtforms_one(app: Flask, lang: str) -> None:
    data = {"name": "Åsa <&>", "email": None, "language": "en", "place": "<b>", "wanted": True}
    with app.test_request_context(f"/?lang={lang}"):
        form = Form(formdata=None, data=data)
        form.place.choices = PLACES
        made = render_template_string(PAGE, form=form)
        shown = render_template_string(PAGE, form=shown_form.of(Form, data, {"place": PLACES}))
    assert shown == made
    assert ("Password" in shown) == (lang == "en")
