"""The userMessage parameter (Swedish request parameter extensions §2.1), from JSON to `UserMessage`. Pure."""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from typing import Any, get_args
from unicodedata import category

from idp.login.user_message import MimeType, UserMessage
from idp.strict_json import MalformedJson, read_object

MIME_TYPES: dict[str, MimeType] = {name: name for name in get_args(MimeType)}
MAX_BYTES = 1000  # of UTF-8; BankID shows 1125, and our own line with the client's name comes before it
MAX_LANGUAGES = 10
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")  # RFC 5646, as far as it matters
_UNFIT = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))


class MalformedMessage(ValueError):
    """The parameter is not a user message (Swedish request parameter extensions §2.1).

    The text says why, in ASCII, without quotes and without what was sent.
    """


def parse(text: str) -> UserMessage | None:
    """The message in `text` (Swedish request parameter extensions §2.1).

    None when its MIME type is not shown. Unknown members are ignored. Raises `MalformedMessage`.
    """
    try:
        found = read_object(text)
    except MalformedJson as error:
        raise MalformedMessage(str(error)) from None
    mime_type = found.get("mime_type", "text/plain")
    if not isinstance(mime_type, str):
        raise MalformedMessage("has a mime_type that is not text")
    texts: dict[str, str] = {}
    for member, value in found.items():
        name, separator, language = member.partition("#")
        if name != "message":
            continue
        if separator and not _LANGUAGE_TAG.fullmatch(language):
            raise MalformedMessage("has a member whose language is not a language tag")
        if language.lower() in texts:
            raise MalformedMessage("has two messages in one language")
        texts[language.lower()] = _text(value)
    if not 1 <= len(texts) <= MAX_LANGUAGES:
        raise MalformedMessage(f"must contain 1 to {MAX_LANGUAGES} messages")
    known = MIME_TYPES.get(mime_type.lower().replace(" ", "").removesuffix(";charset=utf-8"))
    return UserMessage(texts, known) if known else None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise MalformedMessage("has a message that is not text")
    try:
        encoded = b64decode(value, validate=True)
        text = encoded.decode()
    except (Base64Error, ValueError):
        raise MalformedMessage("has a message that is not the base64 form of UTF-8 text") from None
    if not 1 <= len(encoded) <= MAX_BYTES:
        raise MalformedMessage(f"has a message that is empty or longer than {MAX_BYTES} bytes")
    text = text.replace("\r\n", "\n")
    # Control and format characters could hide or turn round the text beside them.
    if not text.strip() or any(category(letter) in _UNFIT and letter != "\n" for letter in text):
        raise MalformedMessage("has a message with characters that cannot be shown")
    return text
