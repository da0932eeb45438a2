"""Mina uppgifter: who is logged in here."""

from flask import Blueprint, make_response, redirect, render_template, url_for
from flask_babel import format_datetime
from werkzeug.wrappers import Response

from idp.login import guard, methods

blueprint = Blueprint("account", __name__)


@blueprint.get("/account")
@guard.login_required
def index() -> Response:
    live = guard.current_session()
    assert live is not None
    labels = {method.name: method.label for method in methods.registered()}
    page = render_template(
        "account/index.html",
        user={"name": live.name, "email": live.email, "company": live.company},
        session={
            "method_label": labels.get(live.event.method, live.event.method),
            "auth_time": format_datetime(live.event.auth_time, "long"),
        },
    )
    return make_response(page)


@blueprint.get("/.well-known/change-password")
def change_password() -> Response:
    """Where password managers are sent (W3C, A Well-Known URL for Changing Passwords)."""
    return redirect(url_for("account.index"), 303)


@blueprint.get("/")
def home() -> Response:
    return redirect(url_for("account.index"), 303)
