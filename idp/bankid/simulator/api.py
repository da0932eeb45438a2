"""The RP API v6.0 as a WSGI application; the transport hands it the caller's certificate."""

import json
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from cryptography import x509
from werkzeug.wrappers import Request, Response

from idp.bankid.simulator.faults import Fault, Faults, HttpFault
from idp.bankid.simulator.http_server import BODY_SECONDS, CLIENT_CERTIFICATE
from idp.bankid.simulator.order import Order, Status
from idp.bankid.simulator.orders import AlreadyInProgressError, Orders, UnknownOrderError
from idp.bankid.simulator.validation import (
    MAX_BODY_BYTES,
    AuthRequest,
    InvalidParametersError,
    OrderRequest,
    PhoneAuthRequest,
    PhoneSignRequest,
    SignRequest,
    StartRequest,
    parse,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PREFIX = "/rp/v6.0/"

STARTS: dict[str, type[StartRequest]] = {
    "auth": AuthRequest,
    "sign": SignRequest,
    "phone/auth": PhoneAuthRequest,
    "phone/sign": PhoneSignRequest,
}
CALLS = {*STARTS, "collect", "cancel"}

HTML = "<!doctype html><title>BankID simulator</title><h1>{status}</h1>"
ERRORS: dict[HttpFault, tuple[int, str, str]] = {
    HttpFault.UNAUTHORIZED: (401, "unauthorized", "The certificate is not accepted"),
    HttpFault.FORBIDDEN: (403, "unauthorized", "No access to the service"),
    HttpFault.TIMEOUT: (408, "requestTimeout", "It took too long time to transmit the request"),
    HttpFault.TOO_MANY: (429, "tooManyRequests", "Too many requests"),
    HttpFault.INTERNAL: (500, "internalError", "Internal error"),
    HttpFault.MAINTENANCE: (503, "maintenance", "The service is temporarily out of service"),
    HttpFault.IN_PROGRESS: (400, "alreadyInProgress", "Order already in progress for pno"),
    HttpFault.INVALID: (400, "invalidParameters", "No such order"),
}
"""The faults that answer with JSON: status, errorCode, details."""
PAGES = {
    HttpFault.FORBIDDEN_HTML: 403,
    HttpFault.BAD_GATEWAY_HTML: 502,
    HttpFault.UNAVAILABLE_HTML: 503,
    HttpFault.HTML: 200,
}


class DroppedConnectionError(ConnectionError):
    """A fault wants the connection to end without an answer."""


class RpApi:
    """The WSGI application. A slow answer calls `sleep` with its seconds."""

    def __init__(
        self, orders: Orders, faults: Faults, *, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._orders = orders
        self._faults = faults
        self._sleep = sleep

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request. Raises `DroppedConnectionError` where a fault wants no answer."""
        request = Request(environ)
        call = request.path.removeprefix(PREFIX) if request.path.startswith(PREFIX) else ""
        seconds = self._faults.take(Fault.SLOW, call)
        if seconds is not None:
            self._sleep(float(seconds))
        fault = HttpFault(value) if (value := self._faults.take(Fault.HTTP, call)) else None
        if fault is HttpFault.DROP:
            raise DroppedConnectionError
        response = _faulty(fault) if fault in {*ERRORS, *PAGES} else self._answer(request, call)
        if fault is HttpFault.DROP_ANSWER:
            raise DroppedConnectionError
        if fault is HttpFault.EMPTY:
            response.set_data(b"")
        if (seconds := self._faults.take(Fault.SLOW_BODY, call)) is not None:
            response.headers[BODY_SECONDS] = seconds
        return response(environ, start_response)

    def _answer(self, request: Request, call: str) -> Response:
        relying_party = request.environ.get(CLIENT_CERTIFICATE)
        if not isinstance(relying_party, x509.Certificate):
            return _error(401, "unauthorized", "A client certificate is needed")
        if call not in CALLS:
            return _error(404, "notFound", "No such resource")
        if request.method != "POST":
            return _error(405, "methodNotAllowed", "Only POST is allowed", Allow="POST")
        if request.headers.get("Content-Type") != "application/json":
            return _error(415, "unsupportedMediaType", "Content-Type must be application/json")
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return _error(400, "invalidParameters", "Invalid request: the body is too large")
        try:
            return _json(200, self._do(call, request.get_data(), relying_party))
        except InvalidParametersError as error:
            return _error(400, "invalidParameters", error.details)
        except UnknownOrderError:
            return _error(400, "invalidParameters", "No such order")
        except AlreadyInProgressError:
            return _error(400, "alreadyInProgress", "Order already in progress for pno")

    def _do(self, call: str, body: bytes, relying_party: x509.Certificate) -> dict[str, Any]:
        if call in STARTS:
            order = self._orders.create(parse(body, STARTS[call]), relying_party)
            return _started(order)
        order_ref = parse(body, OrderRequest).orderRef
        if call == "cancel":
            self._orders.cancel(order_ref, relying_party)
            return {}
        return self._collect(order_ref, relying_party)

    def _collect(self, order_ref: str, relying_party: x509.Certificate) -> dict[str, Any]:
        hint_code = None
        order = self._orders.peek(order_ref, relying_party)
        if order.status is Status.PENDING:
            if (failed := self._faults.take(Fault.FAILED_HINT)) is not None:
                self._orders.fail(order.number, failed)
            else:
                hint_code = self._faults.take(Fault.PENDING_HINT)
        order = self._orders.collect(order_ref, relying_party)
        status = str(order.status)
        answer: dict[str, Any] = {
            "orderRef": order.order_ref,
            "status": status.capitalize() if self._faults.take(Fault.STATUS) else status,
        }
        if order.completion is not None:
            return {**answer, "completionData": order.completion}
        return {**answer, "hintCode": hint_code or order.hint_code}


def _started(order: Order) -> dict[str, Any]:
    if order.is_call:
        return {"orderRef": order.order_ref}
    return {
        "orderRef": order.order_ref,
        "autoStartToken": order.auto_start_token,
        "qrStartToken": order.qr_start_token,
        "qrStartSecret": order.qr_start_secret,
    }


def _json(status: int, data: dict[str, Any], **headers: str) -> Response:
    body = json.dumps(data, ensure_ascii=False)
    return Response(body, status, headers, content_type="application/json;charset=utf-8")


def _error(status: int, code: str, details: str, **headers: str) -> Response:
    return _json(status, {"errorCode": code, "details": details}, **headers)


def _faulty(fault: HttpFault | None) -> Response:
    if fault in PAGES:
        return Response(HTML.format(status=PAGES[fault]), PAGES[fault], content_type="text/html")
    if fault in ERRORS:
        status, code, details = ERRORS[fault]
        return _error(status, code, details)
    raise ValueError(fault)
