"""Confirming a new e-mail address by the link mailed to it, and withdrawing the change."""

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from idp import i18n
from idp.account import email_change
from idp.account.email_change import LinkOver, OpenLink
from idp.clock import utcnow
from idp.extensions import current_settings
from idp.login import guard
from idp.login.sessions import LiveSession

blueprint = Blueprint("email_change", __name__)


@blueprint.route("/account/email/<token>", methods=["GET", "POST"])
def confirm(token: str) -> Response:
    """Show the change that a mailed link confirms, any number of times; only the POST makes it."""
    try:
        link = email_change.open_link(token, now=utcnow())
        i18n.prefer(link.locale)
        if request.method == "POST":
            email_change.confirm(link, address=request.remote_addr, settings=current_settings(), now=utcnow())
            response: Response = redirect(url_for("email_change.confirmed"), 303)
        else:
            response = make_response(_confirm_page(link))
    except LinkOver as over:
        page = render_template("account/email_over.html", reason=over.reason)
        response = make_response(page, 404 if over.reason == "unknown" else 410)
    return response


def _confirm_page(link: OpenLink) -> str:
    return render_template("account/email_confirm.html", email=link.email, old_email=link.old_email)


@blueprint.get("/account/email/confirmed")
def confirmed() -> Response:
    """The page of a confirmed address."""
    return make_response(render_template("account/email_confirmed.html"))


@blueprint.post("/account/email/withdraw")
@guard.login_required
def withdraw(live: LiveSession) -> Response:
    """Withdraw the change: the old address stays."""
    email_change.withdraw(live.event.user_id, now=utcnow())
    return redirect(url_for("account.index"), 303)
