"""The demo portal: a relying app built on Authlib's client, as an app of your own could be.

It knows the provider by its issuer alone and imports nothing of it.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import requests
from authlib.integrations.flask_client import FlaskOAuth2App, OAuth, OAuthError
from babel.dates import format_datetime
from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    session,
)
from flask_wtf.csrf import CSRFProtect
from jinja2 import StrictUndefined
from joserfc.errors import JoseError
from werkzeug.exceptions import HTTPException
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Response as BaseResponse

from idp.demo import listener, outbox
from idp.demo.sessions import MemorySession, MemorySessions
from idp.demo.texts import LANGUAGES, TEXTS
from idp.tokens import new_token

PASSED_ON = ("ui_locales", "login_hint", "prompt", "max_age", "acr_values", "response_mode")
"""Parameters of /login that the portal hands on to the provider unchanged, to try them out."""
ERRORS_WITH_TEXT = ("access_denied", "login_required", "consent_required")
"""Errors of the provider that have a text of their own here."""
MOMENTS = ("auth_time", "iat", "exp", "updated_at")
LANGUAGE_COOKIE = "portal_language"
LANGUAGE_SECONDS = 365 * 24 * 3600
PROVIDER_SECONDS = 10

blueprint = Blueprint("portal", __name__)
csrf = CSRFProtect()


class Problem(Exception):
    """An error with words for the person; `detail` is for developers."""

    def __init__(self, code: str, status: int, detail: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.detail = detail


@dataclass(frozen=True)
class PortalClient:
    """One of the portal's clients at the provider; `home` is the path of its page here."""

    key: str
    client: FlaskOAuth2App
    redirect_uri: str
    post_logout_redirect_uri: str

    @property
    def home(self) -> str:
        return urlsplit(self.post_logout_redirect_uri).path

    @property
    def login(self) -> dict[str, Any] | None:
        """The login in this browser: `id_token`, `claims` and `userinfo`; None when nobody is logged in."""
        found: dict[str, Any] | None = session.get(f"login:{self.key}")
        return found


@dataclass(frozen=True)
class Facts:
    """The portal's provider, and its clients by their name in paths."""

    issuer: str
    apps: Mapping[str, PortalClient]


def facts() -> Facts:
    found: Facts = current_app.extensions["portal"]
    return found


# Pages


@blueprint.get("/", defaults={"key": "portal"})
@blueprint.get("/<any(consent, spa):key>")
def home(key: str) -> BaseResponse:
    """The page of a client: who is logged in and with which claims, or a button to log in."""
    app = facts().apps[key]
    if "state" in request.args:
        try:
            app.client.validate_logout_response()
        except OAuthError:
            return redirect(app.home, 303)  # an old link: nothing to say
        flash("logged_out")
        return redirect(app.home, 303)
    others = [other for other in facts().apps.values() if other.key != key]
    return make_response(render_template("home.html", app=app, login=app.login, others=others))


@blueprint.get("/login", defaults={"key": "portal"})
@blueprint.get("/login/<any(consent, spa):key>")
def begin(key: str) -> BaseResponse:
    """Send the browser to the provider; others may start a login here too (OIDC Core §4)."""
    if request.args.get("iss", facts().issuer) != facts().issuer:
        raise Problem("wrong_issuer", 400, f"iss is {request.args['iss']}")
    app = facts().apps[key]
    parameters = {name: request.args[name] for name in PASSED_ON if request.args.get(name)}
    parameters.setdefault("ui_locales", language())
    found: BaseResponse = app.client.authorize_redirect(app.redirect_uri, **parameters)
    return found


@blueprint.route("/callback", methods=["GET", "POST"], defaults={"key": "portal"})
@blueprint.route("/callback/<any(consent, spa):key>", methods=["GET", "POST"])
def callback(key: str) -> BaseResponse:
    """Take the provider's answer: check it, exchange the code, store the login."""
    app = facts().apps[key]
    answer = request.args if request.method == "GET" else request.form
    client, state = app.client, answer.get("state", "")
    if client.framework.get_state_data(session, state) is None:
        if app.login is not None:
            return redirect(app.home, 303)  # back or reload after a login that worked
        raise Problem("unknown_state", 400)
    if answer.get("iss") != facts().issuer:
        raise Problem("wrong_issuer", 400, f"iss is {answer.get('iss')}")  # RFC 9207 §2.4
    if "error" in answer:
        client.framework.clear_state_data(session, state)
        code = answer["error"] if answer["error"] in ERRORS_WITH_TEXT else "refused"
        raise Problem(code, 400, f"{answer['error']}: {answer.get('error_description', '')}")
    try:
        token = client.authorize_access_token()
        if "userinfo" not in token:
            raise Problem("bad_token", 502, "the answer contains no ID token")
        userinfo = client.userinfo(token=token)
    except JoseError as error:
        raise Problem("bad_token", 502, f"the ID token: {error}") from error
    except OAuthError as error:
        raise Problem("refused", 400, f"{error.error}: {error.description}") from error
    claims = dict(token["userinfo"])
    if userinfo.get("sub") != claims["sub"]:
        raise Problem("bad_token", 502, "the userinfo answer is about another person")  # OIDC Core §5.3.2
    cast(MemorySession, session).renew()
    session[f"login:{key}"] = {"id_token": token["id_token"], "claims": claims, "userinfo": dict(userinfo)}
    return redirect(app.home, 303)


@blueprint.post("/logout", defaults={"key": "portal"})
@blueprint.post("/logout/<any(consent, spa):key>")
def log_out(key: str) -> BaseResponse:
    """Log out here, then at the provider (RP-Initiated Logout 1.0)."""
    app = facts().apps[key]
    login = app.login
    if login is None:
        return redirect(app.home, 303)
    del session[f"login:{key}"]
    found: BaseResponse = app.client.logout_redirect(
        app.post_logout_redirect_uri, id_token_hint=login["id_token"], ui_locales=language()
    )
    return found


# Words


def language() -> str:
    """`sv` or `en`: the person's choice, else the browser's."""
    chosen = request.args.get("lang") or request.cookies.get(LANGUAGE_COOKIE)
    if chosen in LANGUAGES:
        return chosen
    return request.accept_languages.best_match(list(LANGUAGES)) or "sv"


def moment(seconds: float) -> str:
    """A time in seconds since 1970 in words, in this machine's zone."""
    local = datetime.fromtimestamp(seconds, tz=UTC).astimezone()
    return format_datetime(local, "d MMMM y HH:mm z", tzinfo=local.tzinfo, locale=language())


def in_words(name: str, value: Any) -> str:
    """A claim's value for people to read; a time is also written out."""
    if name in MOMENTS and isinstance(value, int):
        return f"{value} ({moment(value)})"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def how(claims: Mapping[str, Any]) -> str:
    """The ID token's amr (RFC 8176) in words: how the person logged in."""
    texts = TEXTS[language()]
    methods = claims.get("amr", [])
    words = ", ".join(texts.get(f"amr_{name}", name) for name in methods)
    return words or texts["unknown_how"]


def assurance(claims: Mapping[str, Any]) -> str:
    """The ID token's acr in words: how certain the identity is. The value itself where there are no words."""
    acr = claims.get("acr", "")
    name = acr.rpartition("/")[2].replace("-", "_")
    return TEXTS[language()].get(f"acr_{name}", acr)


# The application


def create_app(demo: Mapping[str, Any]) -> Flask:
    """The portal for the facts of a demo.json."""
    app = Flask("idp.demo.portal")
    app.config.update(SECRET_KEY=new_token(), SESSION_COOKIE_NAME="portal_session")
    app.session_interface = MemorySessions()
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.globals.update(in_words=in_words, moment=moment, how=how, assurance=assurance)
    csrf.init_app(app)
    csrf.exempt(callback)  # the provider's form is posted there; `state` protects it
    app.register_blueprint(blueprint)
    csrf.exempt(listener.blueprint)  # the provider itself posts there; the token's signature protects it
    app.register_blueprint(listener.blueprint)
    app.register_blueprint(outbox.blueprint)
    app.extensions["outbox"] = Path(demo["outbox_dir"])
    app.extensions["portal"] = Facts(demo["issuer"], _apps(OAuth(app), demo))

    @app.context_processor
    def page_globals() -> dict[str, Any]:
        chosen = language()
        return {
            "t": TEXTS[chosen],
            "locale": chosen,
            "languages": LANGUAGES,
            "issuer": demo["issuer"],
        }

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["X-Content-Type-Options"] = "nosniff"
        # Forms end at the provider: Chrome and Safari apply form-action to the redirect after a POST too.
        response.headers.setdefault(
            "Content-Security-Policy",
            "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; base-uri 'none'; "
            f"frame-ancestors 'none'; form-action 'self' {demo['issuer']}",
        )
        if response.mimetype == "text/html":
            response.headers["Cache-Control"] = "no-store"
            response.headers["Referrer-Policy"] = "same-origin"
        if request.args.get("lang") in LANGUAGES:
            chosen = request.args["lang"]
            response.set_cookie(
                LANGUAGE_COOKIE, chosen, max_age=LANGUAGE_SECONDS, httponly=True, samesite="Lax"
            )
        return response

    @app.errorhandler(Problem)
    def on_problem(problem: Problem) -> Response:
        key = (request.view_args or {}).get("key", "portal")
        page = render_template("problem.html", app=facts().apps[key], problem=problem)
        return make_response(page, problem.status)

    @app.errorhandler(requests.RequestException)
    def on_silence(error: requests.RequestException) -> Response:
        return on_problem(Problem("unreachable", 502, type(error).__name__))

    @app.errorhandler(HTTPException)
    def on_http_exception(error: HTTPException) -> Response:
        if error.code == 404:
            return on_problem(Problem("not_found", 404))
        return on_problem(Problem("bad_request", error.code or 500, error.description or ""))

    return app


def _apps(oauth: OAuth, demo: Mapping[str, Any]) -> dict[str, PortalClient]:
    apps = {}
    for entry in demo["clients"]:
        client = oauth.register(
            entry["client_id"].replace("-", "_"),
            client_id=entry["client_id"],
            client_secret=entry["client_secret"],
            server_metadata_url=f"{demo['issuer']}/.well-known/openid-configuration",
            client_kwargs={
                "scope": entry["scope"],
                "code_challenge_method": "S256",
                "token_endpoint_auth_method": entry["token_endpoint_auth_method"],
                "default_timeout": PROVIDER_SECONDS,
            },
        )
        key = entry["client_id"].removeprefix("demo-")
        apps[key] = PortalClient(key, client, entry["redirect_uri"], entry["post_logout_redirect_uri"])
    return apps


class QuietHandler(WSGIRequestHandler):
    """Logs no requests: the terminal is for the provider's log."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing."""


def main(demo_file: str, host: str, port: str) -> None:
    """Serve the portal of a demo.json until the process is ended."""
    app = create_app(json.loads(Path(demo_file).read_text(encoding="utf-8")))
    make_server(host, int(port), app, threaded=True, request_handler=QuietHandler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
