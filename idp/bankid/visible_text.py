"""The text in the app at a login: where the person logs in, and the message of the app that asks."""

import re
from typing import Literal

from idp.login.user_message import UserMessage

VisibleFormat = Literal["simpleMarkdownV1"]

MAX_TEXT_BYTES = 1100  # 1,500 characters in base64 is BankID's limit
MAX_FIRST_LINE = 100  # bytes of the first line: the client's own message may have the other thousand
_MARKUP = re.compile(r"[\\`*_#+|~<>\[\]]")


def login_text(
    client_name: str, language: str, message: UserMessage | None
) -> tuple[str, VisibleFormat | None]:
    """The text in `language` (`sv`, `en`), and its format: None for plain text.

    The first line always names the client, in our words, so that a person notices a login at a place where
    they are not logging in (Sweden Connect BankID profile §3.1). The client's own message stands below it.
    """
    first = f"Log in at {client_name}" if language == "en" else f"Logga in hos {client_name}"
    own = message.in_language(language) if message else None
    if message is None or own is None:
        return clipped(first), None
    if message.mime_type == "text/plain":
        return f"{clipped(first, MAX_FIRST_LINE)}\n\n{own}", None
    # A cut may leave half of an escape.
    escaped = clipped(_MARKUP.sub(_escaped, first), MAX_FIRST_LINE).rstrip("\\")
    return f"{escaped}\n\n{own}", "simpleMarkdownV1"


def clipped(text: str, longest: int = MAX_TEXT_BYTES) -> str:
    """The beginning of `text` that fits in `longest` bytes of UTF-8, by default as many as BankID takes."""
    return text.encode()[:longest].decode(errors="ignore")


def _escaped(found: re.Match[str]) -> str:
    return f"\\{found[0]}"
