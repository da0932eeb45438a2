"""The text that the app shows at a login."""

import pytest

from idp.bankid.visible_text import MAX_TEXT_BYTES, login_text
from idp.login.user_message import MimeType, UserMessage

MESSAGE = UserMessage({"sv": "Godkänn köpet", "en": "Approve the purchase"})


def test_the_visible_text_names_the_relying_app() -> None:
    assert login_text("Portalen", "sv", None) == ("Logga in hos Portalen", None)
    assert login_text("The portal", "en", None) == ("Log in at The portal", None)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("sv", "Logga in hos Portalen\n\nGodkänn köpet"),
        ("en", "Log in at Portalen\n\nApprove the purchase"),
    ],
)
def test_a_message_stands_below_who_asks(language: str, text: str) -> None:
    assert login_text("Portalen", language, MESSAGE) == (text, None)


def test_a_message_in_another_language_alone_is_not_shown() -> None:
    assert login_text("Portalen", "sv", UserMessage({"de": "Hallo"})) == ("Logga in hos Portalen", None)


def test_markdown_keeps_its_marks_and_the_asker_gets_none() -> None:
    message = UserMessage({"": "# Köp\n*100 kr*"}, "text/markdown")
    assert login_text("# *Leasify*", "sv", message) == (
        "Logga in hos \\# \\*Leasify\\*\n\n# Köp\n*100 kr*",
        "simpleMarkdownV1",
    )


def test_html_stays_the_text_it_is() -> None:
    message = UserMessage({"": "<b>Köp</b>"})
    assert login_text("<i>", "sv", message) == ("Logga in hos <i>\n\n<b>Köp</b>", None)


@pytest.mark.parametrize("mime_type", ["text/plain", "text/markdown"])
def test_the_longest_message_fits_whole(mime_type: MimeType) -> None:
    longest = "å" * 500
    text, _format = login_text("_" * 200, "sv", UserMessage({"": longest}, mime_type))
    assert text.endswith(longest)
    assert len(text.encode()) <= MAX_TEXT_BYTES + 25  # what BankID takes: 1,125
