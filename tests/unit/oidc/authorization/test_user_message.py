"""Each refused userMessage parameter is a valid one with one thing changed."""

import json
from base64 import b64encode, urlsafe_b64encode
from typing import Any

import pytest

from idp.login.user_message import UserMessage
from idp.oidc.authorization import user_message
from idp.oidc.authorization.parameters import USER_MESSAGE
from idp.oidc.authorization.user_message import MAX_BYTES, MalformedMessage
from tests.unit.oidc.authorization.valid_request import parse, refused

SWEDISH, ENGLISH = "Du loggar in för att se löner.", "You log in to see salaries."


def encoded(text: str) -> str:
    return b64encode(text.encode()).decode()


def message(**changes: Any) -> str:
    """A valid parameter; a change to None leaves a member out."""
    valid = {"message#sv": encoded(SWEDISH), "message#en": encoded(ENGLISH), "mime_type": "text/plain"}
    return json.dumps({name: value for name, value in {**valid, **changes}.items() if value is not None})


def test_a_message_is_read_in_every_language() -> None:
    assert user_message.parse(message()) == UserMessage({"sv": SWEDISH, "en": ENGLISH}, "text/plain")


@pytest.mark.parametrize(
    ("mime_type", "kept"),
    [
        (None, "text/plain"),
        ("text/plain;charset=UTF-8", "text/plain"),
        ("text/plain; charset=utf-8", "text/plain"),
        ("text/markdown", "text/markdown"),
        ("Text/Markdown", "text/markdown"),
    ],
)
def test_the_kinds_of_text_that_are_shown(mime_type: str | None, kept: str) -> None:
    found = user_message.parse(message(mime_type=mime_type))
    assert found is not None
    assert found.mime_type == kept


@pytest.mark.parametrize("mime_type", ["text/html", "text/plain;charset=latin-1", "application/json", ""])
def test_a_kind_that_is_not_known_is_not_shown(mime_type: str) -> None:
    assert user_message.parse(message(mime_type=mime_type)) is None


@pytest.mark.parametrize(
    ("texts", "language", "shown"),
    [
        ({"sv": "S", "en": "E"}, "en", "E"),
        ({"sv": "S", "en": "E", "": "-"}, "sv", "S"),
        ({"en": "E", "": "-"}, "sv", "-"),
        ({"en": "E"}, "sv", None),
        ({"en-gb": "E"}, "en", "E"),
        ({"en": "E", "en-gb": "B"}, "en_GB", "B"),
        ({"eng": "X", "": "-"}, "en", "-"),
    ],
)
def test_the_text_is_the_pages_language_or_none_in_particular(
    texts: dict[str, str], language: str, shown: str | None
) -> None:
    assert UserMessage(texts).in_language(language) == shown


def test_a_message_survives_being_stored() -> None:
    found = UserMessage({"sv": SWEDISH, "": ENGLISH}, "text/markdown")
    assert UserMessage.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_a_text_may_have_lines_and_be_as_long_as_what_is_shown() -> None:
    found = user_message.parse(message(**{"message": encoded("En\r\ntvå\n100 000 kr 🙂")}))
    assert found is not None
    assert found.texts[""] == "En\ntvå\n100 000 kr 🙂"
    assert user_message.parse(message(**{"message": encoded("å" * (MAX_BYTES // 2))}))


@pytest.mark.parametrize(
    "changes",
    [
        {"message#sv": None, "message#en": None},
        {"message#sv": ""},
        {"message#sv": encoded(" \n ")},
        {"message#sv": 1},
        {"message#sv": None, "message": ["x"]},
        {"message#sv": SWEDISH},  # not encoded
        {"message#sv": encoded(SWEDISH).rstrip("=") + "*"},
        {"message#sv": urlsafe_b64encode(b"???>>>").decode()},
        {"message#sv": b64encode("å".encode("latin-1")).decode()},
        {"message#sv": b64encode("å".encode("utf-16")).decode()},
        {"message#sv": encoded("a" * (MAX_BYTES + 1))},
        {"message#sv": encoded("a\x00b")},
        {"message#sv": encoded("a\tb")},
        {"message#sv": encoded("a\x1bb")},
        {"message#sv": encoded("a\rb")},
        {"message#sv": encoded("a\u202eb")},
        {"message#sv": encoded("a\u2028b")},
        {"message#": encoded(SWEDISH)},
        {"message#s": encoded(SWEDISH)},
        {"message#sv<b>": encoded(SWEDISH)},
        {"message#SV": encoded(SWEDISH)},  # the same language again
        {f"message#aa-{number}": encoded("a") for number in range(11)},
        {"mime_type": 1},
        {"mime_type": ["text/plain"]},
    ],
)
def test_a_message_with_one_thing_changed_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage):
        user_message.parse(message(**changes))


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "[]", '"text"', "null", "1", "{", "[" * 5000),
        *('{"message": NaN}', '{"message": "YQ==", "message": "YQ=="}'),
    ],
)
def test_a_text_that_is_not_a_json_object_is_refused(text: str) -> None:
    with pytest.raises(MalformedMessage):
        user_message.parse(text)


def test_the_request_carries_its_message_unless_nobody_will_be_asked() -> None:
    request = parse(**{USER_MESSAGE: message()})
    assert request.user_message == UserMessage({"sv": SWEDISH, "en": ENGLISH})
    assert parse(**{USER_MESSAGE: message()}, prompt="none").user_message is None
    assert parse(**{USER_MESSAGE: ""}).user_message is None


@pytest.mark.parametrize("prompt", [None, "none"])
def test_a_malformed_message_is_an_error_in_the_request(prompt: str | None) -> None:
    found = refused(**{USER_MESSAGE: "{}"}, prompt=prompt)
    assert found.error == "invalid_request"
    assert found.description.isascii()
    assert refused(**{USER_MESSAGE: message(**{"message#sv": "å"})}).error == "invalid_request"
