"""Errors that people meet: one code each, shown in plain words with a reference that finds the log line."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import structlog
from flask import Flask, Response, g, jsonify, make_response, render_template, request
from flask_babel import LazyString, gettext, lazy_gettext
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException

from idp.extensions import current_settings
from idp.reference import reference

log = structlog.get_logger("idp.errors")


class IdpError(Exception):
    """An error that a person gets to see. `code` picks the text, `detail` is for the log only.

    On a loopback issuer (a try-out on one machine) `detail` is also shown to the developer.
    """

    code: ClassVar[str] = "server_error"
    status: ClassVar[int] = 500

    def __init__(self, detail: str = "", **facts: Any) -> None:
        super().__init__(detail or self.code)
        self.detail = detail
        self.facts = facts


class NotFound(IdpError):
    code = "not_found"
    status = 404


class TooManyTries(IdpError):
    """A limit is reached. `wait_seconds` is the time until the next try may be made."""

    code = "too_many_tries"
    status = 429

    def __init__(self, wait_seconds: int) -> None:
        super().__init__(f"limit reached, next try in {wait_seconds} s", wait_seconds=wait_seconds)
        self.wait_seconds = wait_seconds


class Busy(IdpError):
    """All places for costly work are taken."""

    code = "temporarily_unavailable"
    status = 503


class SessionNeeded(IdpError):
    """Nobody is logged in. `page` is the address to log in and go on at."""

    code = "login_required"
    status = 401

    def __init__(self, page: str) -> None:
        super().__init__()
        self.page = page


@dataclass(frozen=True)
class ErrorText:
    title: LazyString
    message: LazyString
    advice: LazyString


TEXTS: Mapping[str, ErrorText] = {
    "server_error": ErrorText(
        lazy_gettext("Något gick fel"),
        lazy_gettext("Ett oväntat fel inträffade hos oss. Det beror inte på dig."),
        lazy_gettext("Försök igen om en stund. Kontakta oss och uppge referensen om felet kvarstår."),
    ),
    "temporarily_unavailable": ErrorText(
        lazy_gettext("Tjänsten är tillfälligt otillgänglig"),
        lazy_gettext("Vi kan inte hantera din begäran just nu."),
        lazy_gettext("Försök igen om en stund."),
    ),
    "not_found": ErrorText(
        lazy_gettext("Sidan finns inte"),
        lazy_gettext("Adressen leder inte till någon sida här."),
        lazy_gettext("Kontrollera adressen, eller börja om från tjänsten du vill logga in i."),
    ),
    "method_not_allowed": ErrorText(
        lazy_gettext("Sidan kan inte öppnas på det sättet"),
        lazy_gettext("Adressen finns, men inte för den här sortens begäran."),
        lazy_gettext("Gå tillbaka och försök igen."),
    ),
    "bad_request": ErrorText(
        lazy_gettext("Begäran gick inte att förstå"),
        lazy_gettext("Webbläsaren eller tjänsten du kom från skickade något vi inte kan tolka."),
        lazy_gettext("Gå tillbaka och försök igen."),
    ),
    "request_too_large": ErrorText(
        lazy_gettext("Begäran är för stor"),
        lazy_gettext("Innehållet är större än vad vi tar emot."),
        lazy_gettext("Gå tillbaka och försök igen med mindre innehåll."),
    ),
    "csrf_failed": ErrorText(
        lazy_gettext("Formuläret har blivit för gammalt"),
        lazy_gettext("Av säkerhetsskäl gäller ett formulär en begränsad tid och bara i samma webbläsare."),
        lazy_gettext("Gå tillbaka, ladda om sidan och försök igen. Webbläsaren måste tillåta kakor."),
    ),
    "too_many_tries": ErrorText(
        lazy_gettext("För många försök"),
        lazy_gettext("Vi har tagit emot ovanligt många försök och pausar en stund."),
        lazy_gettext("Vänta några minuter och försök igen."),
    ),
    "login_required": ErrorText(
        lazy_gettext("Du behöver logga in"),
        lazy_gettext("Du måste vara inloggad för att se den här sidan."),
        lazy_gettext("Logga in och försök igen."),
    ),
    "cookies_needed": ErrorText(
        lazy_gettext("Webbläsaren tar inte emot kakor"),
        lazy_gettext(
            "Inloggningen behöver kakor för att hålla ihop stegen, "
            "men webbläsaren skickar inte tillbaka dem till oss."
        ),
        lazy_gettext("Tillåt kakor för den här webbplatsen och börja om från tjänsten du vill logga in i."),
    ),
    "no_login_method": ErrorText(
        lazy_gettext("Inget inloggningssätt räcker till"),
        lazy_gettext("Tjänsten kräver en sorts inloggning som inte finns här."),
        lazy_gettext("Kontakta den som driver tjänsten och uppge referensen."),
    ),
    "unknown_client": ErrorText(
        lazy_gettext("Tjänsten är inte registrerad"),
        lazy_gettext("Tjänsten som skickade dig hit är inte registrerad för inloggning."),
        lazy_gettext(
            "Gå tillbaka till tjänsten och försök igen. Kontakta den som driver tjänsten om felet kvarstår."
        ),
    ),
    "bad_redirect_uri": ErrorText(
        lazy_gettext("Tjänsten är felaktigt inställd"),
        lazy_gettext(
            "Tjänsten bad oss skicka dig vidare till en adress som inte är "
            "registrerad. För din säkerhet stannar du här."
        ),
        lazy_gettext("Kontakta den som driver tjänsten och uppge referensen."),
    ),
    "bad_authorization_request": ErrorText(
        lazy_gettext("Inloggningen kunde inte påbörjas"),
        lazy_gettext("Tjänsten som skickade dig hit gjorde en felaktig begäran."),
        lazy_gettext(
            "Gå tillbaka till tjänsten och försök igen. Kontakta den som driver tjänsten om felet kvarstår."
        ),
    ),
}

HTTP_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "request_too_large"}
MAX_DETAIL = 500
MAILED_TOKEN = re.compile(r"[0-9a-fA-F]{64}")


def render(error: IdpError) -> Response:
    """The error page of `error`: words for people, the reference, on loopback also the detail."""
    text = TEXTS[error.code]
    body = render_template(
        "error.html",
        title=text.title,
        message=text.message,
        advice=text.advice,
        reference=reference(),
        details=_details(error) if current_settings().is_loopback else [],
        back_url=error.page if isinstance(error, SessionNeeded) else None,
        back_label=gettext("Logga in"),
    )
    response = make_response(body, error.status)
    if isinstance(error, TooManyTries):
        response.headers["Retry-After"] = str(error.wait_seconds)
    elif error.status == 503:
        response.headers["Retry-After"] = "5"
    return response


def render_json(error: IdpError) -> Response:
    """The error in JSON: a code and a short description (RFC 6749 §5.2)."""
    code = "invalid_request" if error.status < 500 else error.code
    response = jsonify(error=code, error_description=HTTP_WORDS.get(error.status, "request refused"))
    response.status_code = error.status
    response.headers["Cache-Control"] = "no-store"
    return response


def report(error: IdpError) -> None:
    """Write the log line that the reference on the page finds."""
    level = log.error if error.status >= 500 else log.warning
    detail = "; ".join(_details(error))[:MAX_DETAIL]
    level("refused", code=error.code, status=error.status, detail=detail, path=_logged_path())


def _details(error: IdpError) -> list[str]:
    return [detail for detail in (error.detail, *getattr(error, "__notes__", ())) if detail]


def register(app: Flask, *, is_protocol_endpoint: Callable[[], bool]) -> None:
    """Give every failure its page, or an RFC 6749 §5.2 error body on the protocol's machine endpoints."""

    def answer(error: IdpError) -> Response:
        if is_protocol_endpoint():
            return render_json(error)
        return render(error)

    @app.errorhandler(IdpError)
    def on_idp_error(error: IdpError) -> Response:
        report(error)
        return answer(error)

    @app.errorhandler(HTTPException)
    def on_http_exception(error: HTTPException) -> Response:
        status = error.code or 500
        if 300 <= status < 400:
            return make_response(error.get_response())
        code = HTTP_CODES.get(status, "bad_request" if status < 500 else "server_error")
        if isinstance(error, CSRFError):
            code = "csrf_failed"
        wrapped = _with_code(code, status)
        report(wrapped)
        response = answer(wrapped)
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response

    @app.errorhandler(OperationalError)
    @app.errorhandler(InterfaceError)
    @app.errorhandler(PoolTimeout)
    def on_database_trouble(error: DBAPIError | PoolTimeout) -> Response:
        # Only the class is logged: the driver's message may contain the statement's values.
        cause = error.orig if isinstance(error, DBAPIError) else error
        log.error("database_unavailable", kind=type(cause).__name__, path=_logged_path())
        g.database_down = True  # the page must not wait for it once more
        return answer(Busy("the database does not answer"))

    @app.errorhandler(Exception)
    def on_anything(error: Exception) -> Response:
        log.error("unexpected_error", kind=type(error).__name__, path=_logged_path(), exc_info=True)
        return answer(_with_code("server_error", 500))


HTTP_WORDS = {
    400: "the request could not be understood",
    404: "no such endpoint",
    405: "method not allowed at this endpoint",
    413: "the request is too large",
    429: "too many tries: wait before the next one",
    500: "unexpected error",
    503: "temporarily unavailable: try again shortly",
}


def _logged_path() -> str:
    """The path without the secret that a mailed link carries in it."""
    return MAILED_TOKEN.sub("…", request.path)


def _with_code(code: str, status: int) -> IdpError:
    error = IdpError()
    error.code, error.status = code, status  # type: ignore[misc]
    return error
