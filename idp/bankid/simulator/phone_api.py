"""The phone by HTTP, for tests and scripts: JSON in, JSON out.

The answer of every call about an order is the order as it then is. A refusal of the app is 409, with the
reason as `error`; a mistake in the call is 400.
"""

from typing import Any, NoReturn

from flask import Blueprint, Response, abort, current_app, jsonify, make_response, request
from werkzeug.exceptions import HTTPException

from idp.bankid.simulator.completion import display_name
from idp.bankid.simulator.faults import Fault, Faults, Switch
from idp.bankid.simulator.inputs import RIGHT_CODE, NotACodeError, enter_code
from idp.bankid.simulator.order import Order
from idp.bankid.simulator.orders import Orders, RefusedError
from idp.bankid.simulator.people import PEOPLE, Person, find
from idp.bankid.simulator.pki import POLICIES, Kind

blueprint = Blueprint("api", __name__, url_prefix="/api")


def _orders() -> Orders:
    found: Orders = current_app.extensions["simulator_orders"]
    return found


def _faults() -> Faults:
    found: Faults = current_app.extensions["simulator_faults"]
    return found


# The app


@blueprint.get("/people")
def people() -> Response:
    """The test persons."""
    return jsonify([{"personal_number": person.personal_number, "name": person.name} for person in PEOPLE])


@blueprint.get("/orders")
def orders() -> Response:
    """Every order that is remembered, the newest first."""
    return jsonify([_view(order) for order in _orders().all()])


@blueprint.get("/counts")
def counts() -> Response:
    """How many orders were started (`orders`) and how often one was collected (`collects`)."""
    return jsonify(_orders().counts())


@blueprint.post("/scan")
def scan() -> Response:
    """Scan `qr` as `personal_number`, with `kind` of BankID (mobile)."""
    return jsonify(_view(_orders().scan(_text("qr"), _person(), _kind())))


@blueprint.post("/open")
def open_token() -> Response:
    """Open `autostart_token` as `personal_number`, or without a person if that is left out."""
    person = _person() if "personal_number" in _body() else None
    return jsonify(_view(_orders().open(_text("autostart_token"), person, _kind())))


@blueprint.post("/choose")
def choose() -> Response:
    """Become `personal_number` in the app that has opened `order` without a person."""
    return jsonify(_view(_orders().choose(_number(), _person(), _kind())))


@blueprint.post("/answer")
def answer() -> Response:
    """Open the order of the call to `personal_number`."""
    return jsonify(_view(_orders().answer(_own_order().number)))


@blueprint.post("/confirm")
def confirm() -> Response:
    """Confirm that the call to `personal_number` is real."""
    return jsonify(_view(_orders().confirm_call(_own_order().number)))


@blueprint.post("/step")
def step() -> Response:
    """Show `hint_code` as the order's pending hint; `mrtd` is the result of reading a document."""
    mrtd = _body().get("mrtd")
    if mrtd not in {None, True, False}:
        _mistake("mrtd: true or false")
    return jsonify(_view(_orders().step(_own_order().number, _text("hint_code"), mrtd=mrtd)))


@blueprint.post("/approve")
def approve() -> Response:
    """Enter `code` (a right one) and approve."""
    code = _text("code") if "code" in _body() else RIGHT_CODE
    try:
        return jsonify(_view(enter_code(_orders(), _own_order().number, code)))
    except NotACodeError:
        _mistake("code: six digits")


@blueprint.post("/cancel")
def cancel() -> Response:
    """Cancel in the app."""
    return jsonify(_view(_orders().fail(_own_order().number, "userCancel")))


@blueprint.post("/fail")
def fail() -> Response:
    """Let the order fail with `hint_code`."""
    return jsonify(_view(_orders().fail(_own_order().number, _text("hint_code"))))


# Faults


@blueprint.get("/faults")
def list_faults() -> Response:
    """The faults that are on."""
    return jsonify(
        [
            {"fault": switch.fault, "value": switch.value, "count": switch.left, "call": switch.call}
            for switch in _faults().active()
        ]
    )


@blueprint.post("/faults")
def switch_fault() -> Response:
    """Switch `fault` on with `value` for `count` times (1; null: until reset), on one `call` or on all.

    `{"reset": true}` switches all of them off.
    """
    body = _body()
    if body.get("reset") is True:
        _faults().reset()
        return list_faults()
    count, call = body.get("count", 1), body.get("call")
    if not (count is None or type(count) is int) or not (call is None or isinstance(call, str)):
        _mistake("count: a number or null; call: the name of a call")
    try:
        _faults().add(Switch(Fault(_text("fault")), _text("value"), count, call))
    except ValueError as error:
        _mistake(str(error))
    return list_faults()


# Parts of calls


@blueprint.errorhandler(RefusedError)
def on_refusal(error: RefusedError) -> Response:
    return make_response(jsonify(error=error.reason), 409)


@blueprint.errorhandler(HTTPException)
def on_mistake(error: HTTPException) -> Response:
    return make_response(jsonify(error="bad_call", detail=error.description), error.code or 400)


def _view(order: Order) -> dict[str, Any]:
    """An order as the app shows it, and its status."""
    return {
        "order": order.number,
        "status": order.status,
        "hint_code": None if order.completion is not None else order.hint_code,
        "is_gone": order.is_gone,
        "opened_by": order.opened_by,
        "personal_number": None if order.person is None else order.person.personal_number,
        "relying_party": display_name(order.relying_party),
        "is_signature": order.request.is_signature,
        "visible_text": order.request.visible_text,
        "return_url": order.return_url,
    }


def _body() -> dict[str, Any]:
    # Only as JSON: a page of another site cannot send that without being asked first (CORS).
    data = request.get_json()
    if not isinstance(data, dict):
        _mistake("the body: a JSON object")
    return data


def _text(name: str) -> str:
    value = _body().get(name)
    if not isinstance(value, str) or not value:
        _mistake(f"{name}: a text")
    return value


def _number() -> int:
    value = _body().get("order")
    if type(value) is not int:
        _mistake("order: a number")
    return value


def _person() -> Person:
    person = find(_text("personal_number"))
    if person is None:
        _mistake("personal_number: not one of the test persons")
    return person


def _kind() -> Kind:
    chosen = _body().get("kind", "mobile")
    found = next((kind for kind in POLICIES if kind == chosen), None)
    if found is None:
        _mistake(f"kind: one of {', '.join(POLICIES)}")
    return found


def _own_order() -> Order:
    return _orders().open_order_of(_person())


def _mistake(what: str) -> NoReturn:
    abort(make_response(jsonify(error="bad_call", detail=what), 400))
