"""What every response carries: request id, Content-Security-Policy, CSRF, proxy trust, no-store."""

import ipaddress
import mimetypes
import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

from flask import (
    Blueprint,
    Flask,
    Request,
    Response,
    g,
    has_request_context,
    jsonify,
    make_response,
    request,
    url_for,
)
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from flask_wtf.csrf import CSRFProtect
from werkzeug.datastructures import MultiDict
from werkzeug.formparser import FormDataParser

from idp import i18n
from idp.config import IPNetwork, Settings
from idp.errors import MAILED_TOKEN, NotFound
from idp.reference import reference

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

csrf = CSRFProtect()
blueprint = Blueprint("web", __name__)

MAX_BODY_BYTES = 64 * 1024
MAX_FORM_FIELDS = 100
BROWSER_COOKIE_SECONDS = 400 * 24 * 3600
CSRF_SECONDS = 12 * 3600
STATIC_SECONDS = 3600

FORM = "application/x-www-form-urlencoded"
NOT_ASCII = re.compile(rb"[\x80-\xff]")
MACHINE_CSP = "default-src 'none'; frame-ancestors 'none'"
PAGE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)


def request_facts() -> dict[str, str]:
    """What every log line written during a request says of it."""
    return {"request_id": reference()} if has_request_context() else {}


def allow_form_to(uri: str) -> None:
    """Let this page's forms end at `uri`'s origin.

    Chrome and Safari apply form-action to the redirect after a POST too, so a page whose form leads
    back to a relying app has to name it.
    """
    g.form_action = _origin(uri)


def allow_frames(uris: Iterable[str]) -> None:
    """Let this page hold frames of these URIs' origins, and of no others."""
    g.frame_src = " ".join(sorted({_origin(uri) for uri in uris}))


def _origin(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"


def cookie_name(name: str, settings: Settings) -> str:
    """`__Host-NAME` on https, which no other host or path can set (RFC 6265bis §4.1.3.2)."""
    return f"__Host-{name}" if settings.is_https else name


def form_pairs() -> list[tuple[str, str]]:
    """The fields of the request's form as they were sent, doubled ones too; for endpoints that machines call.

    Read from the body directly, in two thirds of the time that `request.form` takes, which is empty after it.
    """
    if request.mimetype == FORM:
        return _fields(request.stream.read())
    return list(request.form.items(multi=True))


def _fields(body: bytes) -> list[tuple[str, str]]:
    """What is no UTF-8 becomes U+FFFD, which every field of ours refuses."""
    return parse_qsl(body.decode(errors="replace"), keep_blank_values=True, errors="replace")


class StrictFormParser(FormDataParser):
    """Reads a form's fields as `_fields` does.

    Werkzeug leaves bytes that are no UTF-8 as they were escaped, when nobody can tell them from a text that
    holds a %.
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

    Werkzeug raises for raw bytes that are not UTF-8, and leaves percent-encoded ones as they are.
    """

    form_data_parser_class = StrictFormParser

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.query_string.isascii():
            self.query_string = NOT_ASCII.sub(lambda found: b"%%%02X" % found[0][0], self.query_string)


class TrustedProxies:
    """Take the client's address from X-Forwarded-For, but only as far as trusted proxies wrote it."""

    def __init__(self, app: Any, networks: tuple[IPNetwork, ...]) -> None:
        self._app = app
        self._networks = networks

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        # The peer of a Unix socket has no address: it is on this machine.
        address = environ.get("REMOTE_ADDR") or "127.0.0.1"
        hops = [hop.strip() for hop in environ.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
        while hops and self._trusts(address):
            hop = _address(hops.pop())
            if hop is None:
                break
            address = hop
        environ["REMOTE_ADDR"] = address
        answer: Iterable[bytes] = self._app(environ, start_response)
        return answer

    def _trusts(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
            ip = ip.ipv4_mapped  # how a socket that listens on both names an IPv4 peer
        return any(ip.version == network.version and ip in network for network in self._networks)


def _address(hop: str) -> str | None:
    try:
        return str(ipaddress.ip_address(hop))
    except ValueError:
        return None


def address_key(address: str | None) -> str:
    """What counts as one address for limits: an IPv4 address, or an IPv6 /64, which one line owns."""
    try:
        ip = ipaddress.ip_address(address or "")
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


class BrowserSession(SecureCookieSession):
    """What a browser's cookie holds, read from it when first asked for: most requests never ask."""

    def __init__(self, read: Callable[[], Mapping[str, Any] | None]) -> None:
        super().__init__()
        self._read: Callable[[], Mapping[str, Any] | None] | None = read

    @property
    def is_read(self) -> bool:
        return self._read is None

    def read(self) -> None:
        """Fill this with what the cookie holds, unless it has been filled."""
        read, self._read = self._read, None
        if read is not None:
            dict.update(self, read() or {})


def _once_read(name: str) -> Callable[..., Any]:
    plain = getattr(SecureCookieSession, name)

    @wraps(plain)
    def method(self: BrowserSession, *args: Any, **values: Any) -> Any:
        self.read()
        return plain(self, *args, **values)

    return method


for _name in (
    *("__contains__", "__getitem__", "__iter__", "__reversed__", "__len__", "__eq__", "__or__", "__repr__"),
    *("get", "keys", "values", "items", "copy"),
    *("__setitem__", "__delitem__", "__ior__", "setdefault", "pop", "popitem", "update", "clear"),
):
    setattr(BrowserSession, _name, _once_read(_name))


class BrowserSessions(SecureCookieSessionInterface):
    """Flask's sessions, whose cookies are read when they are needed."""

    def open_session(self, app: Flask, request: Request) -> BrowserSession:
        """The session of the browser that sends the request."""
        return BrowserSession(lambda: super(BrowserSessions, self).open_session(app, request))

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Set the cookie again if what it holds has changed."""
        if cast(BrowserSession, session).is_read:
            super().save_session(app, session, response)


def _urls_of_pages() -> Callable[..., str]:
    """`url_for` as templates use it: the address of a page that is always the same is built once."""
    known: dict[tuple[str, str, str | None], str] = {}

    def url(endpoint: str, **values: Any) -> str:
        filename = values.get("filename") if endpoint == "static" else None
        if values and filename is None:
            return url_for(endpoint, **values)
        key = request.script_root, endpoint, filename
        if key not in known:
            known[key] = url_for(endpoint, **values)
        return known[key]

    return url


def register(app: Flask, settings: Settings, *, readiness: Callable[[], Mapping[str, Any]]) -> None:
    """Wire all of the above into `app`; `readiness` says by name what works (`ok` or a plain word)."""
    app.config.update(
        SECRET_KEY=settings.secret_key.get_secret_value(),
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_BODY_BYTES,
        MAX_FORM_PARTS=MAX_FORM_FIELDS,
        SEND_FILE_MAX_AGE_DEFAULT=STATIC_SECONDS,
        SESSION_COOKIE_NAME=cookie_name("idp_browser", settings),
        SESSION_COOKIE_SECURE=settings.is_https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_PATH="/",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=BROWSER_COOKIE_SECONDS,
        WTF_CSRF_TIME_LIMIT=CSRF_SECONDS,
        # The Referer check would refuse pages that rightly send none; the token and SameSite remain.
        WTF_CSRF_SSL_STRICT=False,
        # Every message on our forms is our own; WTForms' catalogue would be read from disk for each form.
        WTF_I18N_ENABLED=False,
    )
    if settings.trusted_proxies:
        app.wsgi_app = TrustedProxies(app.wsgi_app, settings.trusted_proxies)  # type: ignore[method-assign]
    app.request_class = PlainRequest
    app.session_interface = BrowserSessions()
    # A doubled slash is not found. Werkzeug would redirect, to whatever host the Host header names.
    app.url_map.merge_slashes = False
    app.register_blueprint(blueprint)
    https = settings.is_https

    @app.before_request
    def refuse_nul() -> None:
        if "\0" in request.path:
            raise NotFound("the path holds a NUL, which PostgreSQL refuses to look for")

    csrf.init_app(app)

    @app.after_request
    def finish(response: Response) -> Response:
        headers = response.headers
        headers["X-Content-Type-Options"] = "nosniff"
        if https:
            headers["Strict-Transport-Security"] = "max-age=63072000"
        if response.mimetype != "text/html":
            headers.setdefault("Content-Security-Policy", MACHINE_CSP)
            return response
        extra = g.get("form_action")
        policy = f"{PAGE_CSP} {extra}" if extra else PAGE_CSP
        frames = g.get("frame_src")
        headers["Content-Security-Policy"] = f"{policy}; frame-src {frames}" if frames else policy
        # The address of a mailed link is a secret, whichever page it leads to.
        headers["Referrer-Policy"] = "no-referrer" if MAILED_TOKEN.search(request.path) else "same-origin"
        headers["X-Frame-Options"] = "DENY"
        headers["Permissions-Policy"] = "camera=(), microphone=(), geolocation=(), payment=()"
        headers.setdefault("Cache-Control", "no-store")
        headers["X-Request-ID"] = reference()
        headers["Vary"] = "Cookie, Accept-Language"
        return response

    app.jinja_env.globals["url_for"] = _urls_of_pages()

    @app.context_processor
    def page_globals() -> dict[str, Any]:
        return {
            "brand": settings.brand,
            "brand_logo_url": "/brand/logo" if settings.brand.logo else None,
            "locale": i18n.current_language(),
            "languages": i18n.language_links(),
        }

    brand_css = (
        f":root{{--brand:{settings.brand.colour};--brand-dark:{settings.brand.colour_dark}}}\n".encode()
    )

    @app.get("/brand.css", endpoint="web.brand_css")
    def show_brand_css() -> Response:
        return Response(
            brand_css, mimetype="text/css", headers={"Cache-Control": f"max-age={STATIC_SECONDS}"}
        )

    if settings.brand.logo:
        logo = settings.brand.logo.read_bytes()
        kind = mimetypes.guess_type(settings.brand.logo.name)[0] or "application/octet-stream"

        @app.get("/brand/logo", endpoint="web.brand_logo")
        def show_brand_logo() -> Response:
            return Response(logo, mimetype=kind, headers={"Cache-Control": f"max-age={STATIC_SECONDS}"})

    @app.get("/readyz", endpoint="web.readyz")
    def show_readiness() -> Response:
        parts = readiness()
        response = make_response(jsonify(parts), 200 if parts["ready"] else 503)
        response.headers["Cache-Control"] = "no-store"
        return response


@blueprint.get("/healthz")
def healthz() -> Response:
    """Alive: the process answers. `/readyz` tells whether it can serve."""
    return Response("ok\n", mimetype="text/plain", headers={"Cache-Control": "no-store"})
