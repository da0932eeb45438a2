"""The phone page: plays a person with the BankID app, in a browser."""

import re
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from flask import Blueprint, Flask, Response, abort, current_app, redirect, render_template, request, url_for
from jinja2 import StrictUndefined
from markupsafe import Markup
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from idp.bankid.simulator import phone_api
from idp.bankid.simulator.completion import display_name
from idp.bankid.simulator.faults import (
    CALLS,
    FAILED_HINTS,
    PENDING_HINTS,
    UNKNOWN_HINT,
    VALUES,
    Fault,
    Faults,
    Switch,
)
from idp.bankid.simulator.inputs import NotACodeError, enter_code, launch_redirect, read_text
from idp.bankid.simulator.markdown import as_markdown, as_plain
from idp.bankid.simulator.order import USER_SIGN, Order, Status
from idp.bankid.simulator.orders import Orders, RefusedError
from idp.bankid.simulator.people import PEOPLE, Person, find
from idp.bankid.simulator.pki import POLICIES, Kind
from idp.bankid.simulator.texts import LANGUAGES, TEXTS
from idp.bankid.simulator.validation import AuthRequest

LANGUAGE_COOKIE = "bankid_simulator_language"
LANGUAGE_SECONDS = 365 * 24 * 3600
MAX_ENDED = 20
MAX_FORM_BYTES = 16 * 1024
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:.*", re.DOTALL)
NEVER_LINKED = ("javascript:", "data:", "vbscript:", "file:", "blob:", "about:")
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'self'"
)

blueprint = Blueprint("phone", __name__)


def create_app(orders: Orders, faults: Faults) -> Flask:
    """The phone page and its HTTP calls, for the orders and faults of one simulator."""
    app = Flask("idp.bankid.simulator")
    app.config.update(MAX_CONTENT_LENGTH=MAX_FORM_BYTES)
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.globals.update(
        display_name=display_name, organization=_organization, visible_text=_visible_text, state=_state
    )
    app.jinja_env.filters["dashed"] = _dashed
    app.extensions["simulator_orders"] = orders
    app.extensions["simulator_faults"] = faults
    app.register_blueprint(blueprint)
    app.register_blueprint(phone_api.blueprint)

    @app.before_request
    def refuse_other_sites() -> None:
        # A page of another site that reaches this machine's ports must not play the person.
        if request.method == "POST" and _is_from_another_site():
            abort(403)

    @app.context_processor
    def page_globals() -> dict[str, Any]:
        chosen = _language()
        return {"t": TEXTS[chosen], "locale": chosen, "languages": LANGUAGES}

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = CSP
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        if response.mimetype in {"text/html", "application/json"}:
            response.headers["Cache-Control"] = "no-store"
        if request.args.get("lang") in LANGUAGES:
            response.set_cookie(
                LANGUAGE_COOKIE,
                request.args["lang"],
                max_age=LANGUAGE_SECONDS,
                httponly=True,
                samesite="Lax",
            )
        return response

    @app.errorhandler(HTTPException)
    def on_http_error(error: HTTPException) -> tuple[str, int]:
        return render_template("problem.html", status=error.code), error.code or 500

    return app


def _orders() -> Orders:
    found: Orders = current_app.extensions["simulator_orders"]
    return found


def _faults() -> Faults:
    found: Faults = current_app.extensions["simulator_faults"]
    return found


# Pages


@blueprint.get("/")
def home() -> str:
    """The test persons, what can be scanned or opened, and the orders."""
    every = _orders().all()
    return render_template(
        "home.html",
        people=PEOPLE,
        kinds=list(POLICIES),
        current=[order for order in every if order.status is Status.PENDING and not order.is_gone],
        ended=[order for order in every if order.status is not Status.PENDING or order.is_gone][:MAX_ENDED],
        problem=_problem(),
    )


@blueprint.post("/read")
def read() -> BaseResponse:
    """Scan the pasted QR text, or open the pasted launch link."""
    try:
        order = read_text(_orders(), request.form.get("text", ""), _person(), _kind())
    except RefusedError as error:
        return _to(url_for("phone.home", problem=error.reason))
    return _to_order(order.number)


@blueprint.get("/open")
def launch() -> BaseResponse:
    """The target of a launch link: opens the app, which then asks who uses it.

    A GET that changes something, because a tap on the link is what starts the app.
    """
    token, back = request.args.get("autostarttoken", ""), launch_redirect(request.args.get("redirect"))
    try:
        order = _orders().open(token, redirect=back)
    except RefusedError as error:
        return _to(url_for("phone.home", problem=error.reason))
    return _to_order(order.number)


@blueprint.get("/orders/<int:number>")
def show(number: int) -> str:
    """One order, with the actions that are possible now."""
    try:
        order = _orders().get(number)
    except RefusedError:
        abort(404)
    asks_for = order.request.requirement.personalNumber
    return render_template(
        "order.html",
        order=order,
        asked=order.request if isinstance(order.request, AuthRequest) else None,
        people=[person for person in PEOPLE if asks_for in {None, person.personal_number}],
        kinds=list(POLICIES),
        failed_hints=[*FAILED_HINTS, UNKNOWN_HINT],
        pending_hints=[*PENDING_HINTS, UNKNOWN_HINT],
        return_link=_link(order.return_url),
        problem=_problem(),
    )


@blueprint.post("/orders/<int:number>/<action>")
def act(number: int, action: str) -> BaseResponse:
    """Do something to an order, as its person."""
    orders = _orders()
    try:
        _act(orders, orders.get(number), action)
    except RefusedError as error:
        return _to_order(number, error.reason)
    except NotACodeError:
        return _to_order(number, "bad_code")
    return _to_order(number)


def _act(orders: Orders, order: Order, action: str) -> None:
    number = order.number
    if action == "open" and order.opened_at is None:
        orders.scan(order.qr(orders.elapsed(order)), _person(), _kind())
    elif action == "open":
        orders.choose(number, _person(), _kind())
    elif action == "answer":
        orders.answer(number)
    elif action == "confirm":
        orders.confirm_call(number)
    elif action == "mrtd":
        orders.step(number, USER_SIGN, mrtd=request.form.get("passed") == "yes")
    elif action == "approve":
        enter_code(orders, number, request.form.get("code", "").strip())
    elif action == "cancel":
        orders.fail(number, "userCancel")
    elif action == "fail":
        orders.fail(number, request.form.get("hint_code", "userCancel"))
    elif action == "step":
        orders.step(number, request.form.get("hint_code", USER_SIGN))
    else:
        abort(404)


@blueprint.get("/faults")
def show_faults() -> str:
    """The faults that are on, and all that can be switched on."""
    return render_template("faults.html", active=_faults().active(), values=VALUES, calls=CALLS)


@blueprint.post("/faults")
def switch_faults() -> BaseResponse:
    """Switch one more fault on, or all of them off."""
    form = request.form
    if "reset" in form:
        _faults().reset()
        return _to(url_for("phone.show_faults"))
    fault, _, value = form.get("fault", "").partition("=")
    count = form.get("count", "1")
    try:
        left = None if count == "forever" else int(count)
        _faults().add(Switch(Fault(fault), value, left, form.get("call") or None))
    except ValueError:
        abort(400)
    return _to(url_for("phone.show_faults"))


# Parts of pages


def _person() -> Person:
    person = find(request.form.get("person", ""))
    if person is None:
        abort(400)
    return person


def _kind() -> Kind:
    chosen = request.form.get("kind", "mobile")
    return next((kind for kind in POLICIES if kind == chosen), "mobile")


def _problem() -> str | None:
    name = f"problem_{request.args.get('problem', '')}"
    return TEXTS[_language()].get(name)


def _to(place: str) -> BaseResponse:
    return redirect(place, 303)


def _to_order(number: int, problem: str | None = None) -> BaseResponse:
    return _to(url_for("phone.show", number=number, problem=problem))


def _language() -> str:
    """`sv` or `en`: the person's choice, else the browser's."""
    chosen = request.args.get("lang") or request.cookies.get(LANGUAGE_COOKIE)
    if chosen in LANGUAGES:
        return chosen
    return request.accept_languages.best_match(list(LANGUAGES)) or "sv"


def _organization(certificate: x509.Certificate) -> str:
    values = [
        str(attribute.value)
        for kind in (x509.NameOID.ORGANIZATION_NAME, x509.NameOID.SERIAL_NUMBER)
        for attribute in certificate.subject.get_attributes_for_oid(kind)
    ]
    return ", ".join(values)


def _visible_text(order: Order) -> Markup:
    text = order.request.visible_text
    is_markdown = order.request.userVisibleDataFormat == "simpleMarkdownV1"
    return as_markdown(text) if is_markdown else as_plain(text)


def _state(order: Order) -> str:
    return "gone" if order.is_gone and order.status is Status.PENDING else str(order.status)


def _dashed(personal_number: str) -> str:
    return f"{personal_number[:8]}-{personal_number[8:]}"


def _link(url: str | None) -> str | None:
    """The address if it may become a link: another app's too, but no script and no local file."""
    if url is None or not SCHEME.fullmatch(url.lower()) or url.lower().startswith(NEVER_LINKED):
        return None
    return url


def _is_from_another_site() -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.host
