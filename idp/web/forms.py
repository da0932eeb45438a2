"""How the fields of a request are read, and how much of them: forms, queries, and the CSRF token."""

import re
from typing import IO, Any
from urllib.parse import parse_qsl

from flask import Flask, Request, request
from flask_wtf.csrf import CSRFProtect
from werkzeug.datastructures import MultiDict
from werkzeug.formparser import FormDataParser

csrf = CSRFProtect()

MAX_BODY_BYTES = 64 * 1024
MAX_FORM_FIELDS = 100
CSRF_SECONDS = 12 * 3600

FORM = "application/x-www-form-urlencoded"
NOT_ASCII = re.compile(rb"[\x80-\xff]")


def form_pairs() -> list[tuple[str, str]]:
    """The fields of the request's form as they were sent, doubled ones too; for endpoints that machines call.

    Read from the body directly, in two thirds of the time that `request.form` takes, which is empty after it.
    """
    if request.mimetype == FORM:
        return _fields(request.stream.read())
    return list(request.form.items(multi=True))


def _fields(body: bytes) -> list[tuple[str, str]]:
    """The fields of a form. Bytes that are not UTF-8 become U+FFFD, which every field of ours refuses."""
    return parse_qsl(body.decode(errors="replace"), keep_blank_values=True, errors="replace")


class StrictFormParser(FormDataParser):
    """Reads a form's fields as `_fields` does.

    Werkzeug leaves bytes that are not UTF-8 in their escaped form, which looks like a text with a % in it.
    """

    def parse(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: Any = None
    ) -> tuple[IO[bytes], MultiDict[str, str], MultiDict[str, Any]]:
        """The stream, the form's fields and its files."""
        if mimetype != FORM:
            return super().parse(stream, mimetype, content_length, options)
        return stream, self.cls(_fields(stream.read())), self.cls()


class PlainRequest(Request):
    """A request whose query is ASCII: raw bytes in it are percent-encoded, as they should have been.

    Werkzeug raises for raw bytes that are not UTF-8, and leaves percent-encoded ones unchanged.
    """

    form_data_parser_class = StrictFormParser

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.query_string.isascii():
            self.query_string = NOT_ASCII.sub(lambda found: b"%%%02X" % found[0][0], self.query_string)


def register(app: Flask) -> None:
    """Let `app` read requests as above and check the CSRF token of its forms."""
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
        MAX_FORM_PARTS=MAX_FORM_FIELDS,
        WTF_CSRF_TIME_LIMIT=CSRF_SECONDS,
        # The Referer check would refuse pages that rightly send none; the token and SameSite remain.
        WTF_CSRF_SSL_STRICT=False,
        # Every message on our forms is our own; WTForms' catalogue would be read from disk for each form.
        WTF_I18N_ENABLED=False,
    )
    app.request_class = PlainRequest
    csrf.init_app(app)
