"""Company users: an administrator's list, and the pages of one user."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec
from uuid import UUID

from flask import Blueprint, make_response, redirect, render_template, request, session, url_for
from flask_babel import LazyString, format_date
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response

from idp import i18n
from idp.admin import listing, service
from idp.admin.forms import ROLES, UserForm
from idp.admin.listing import UserSearch
from idp.admin.service import Administrator, UserDetails
from idp.clock import utcnow
from idp.crypto import NUMBER_KEYS
from idp.errors import NotFound, TooManyTries
from idp.extensions import current_settings
from idp.i18n import gettext, lazy_gettext
from idp.login import guard, interactions, this_browser
from idp.login.interactions import InteractionOver
from idp.login.sessions import LiveSession
from idp.ratelimit import LIMITER
from idp.users.accounts import AddressTaken, ChangedMeanwhile
from idp.users.models import Role, User

P = ParamSpec("P")
blueprint = Blueprint("admin", __name__)
RESUMABLE_FORMS = ("admin.new", "admin.edit")

# The notes that a page shows after an action, by their names in the browser's cookie.
NOTES: dict[str, LazyString] = {
    "created": lazy_gettext("Användaren är tillagd. Ett välkomstbrev är på väg."),
    "saved": lazy_gettext("Uppgifterna är sparade."),
    "disabled": lazy_gettext("Användaren är avstängd och kan inte logga in."),
    "enabled": lazy_gettext("Användaren är inte längre avstängd."),
    "unlinked": lazy_gettext("BankID är bortkopplat. Användaren får ett brev om det."),
    "welcomed": lazy_gettext("Välkomstbrevet är på väg igen."),
    "limited": lazy_gettext("Välkomstbrevet har redan skickats flera gånger. Försök igen senare."),
}


@dataclass(frozen=True)
class Visit:
    """A session in force, and its administrator."""

    live: LiveSession
    admin: Administrator


def for_administrators(view: Callable[Concatenate[Visit, P], Any]) -> Callable[P, Any]:
    """Show a page to company administrators only; other users get 404, everybody else logs in first."""

    @wraps(view)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
        live = guard.current_session()
        if live is None:
            if request.method == "POST":
                return _log_in_to_go_on()
            return guard.log_in_first(return_endpoint="admin.resume", page_state={"path": request.full_path})
        return view(_visit(live), *args, **kwargs)

    return guarded


@blueprint.get("/admin")
def start() -> Response:
    return redirect(url_for("admin.index"), 303)


@blueprint.get("/admin/users")
@for_administrators
def index(visit: Visit) -> Response:
    """One page of the company's users."""
    asked = request.args
    search = UserSearch.parse(
        asked.get("q", ""), asked.get("sort", ""), asked.get("order", ""), asked.get("page", "")
    )
    found = listing.find(visit.admin.company_id, search)
    page = render_template(
        "admin/index.html",
        company=visit.admin.company,
        search=search,
        found=found,
        users=[(user, _day(user.last_login_at)) for user in found.users],
        own_id=visit.admin.id,
        columns=_columns(search),
        page_url=lambda number: _list_url(search, page=number),
        note=_note(),
    )
    return make_response(page)


@blueprint.route("/admin/users/new", methods=["GET", "POST"])
@for_administrators
def new(visit: Visit) -> Response:
    """Add a user; making another administrator needs a recent login."""
    form = UserForm(None, typed=request.form if request.method == "POST" else None)
    if request.method != "POST":
        return _new_page(form)
    if not form.validate():
        return _new_page(form, status=400)
    details = form.details()
    if details.role is Role.COMPANY_ADMIN and not guard.is_fresh(visit.live):
        return _log_in_again(visit, {"typed": form.typed_values()})
    try:
        _count_address(visit.admin)
        user_id = service.create(visit.admin, details, settings=current_settings(), now=utcnow())
    except AddressTaken as taken:
        _explain_taken(visit.admin, form, taken)
        return _new_page(form, status=409)
    except TooManyTries as limited:
        return _limited(form, limited, _new_page)
    session["admin_note"] = "created"
    return redirect(url_for("admin.edit", user_id=user_id), 303)


@blueprint.route("/admin/users/<uuid:user_id>", methods=["GET", "POST"])
@for_administrators
def edit(visit: Visit, user_id: UUID) -> Response:
    """One user's details; another address or role needs a recent login."""
    before = service.user(visit.admin, user_id)
    form = _form(visit, before, request.form if request.method == "POST" else None)
    if request.method != "POST":
        return _user_page(visit, before, form, note=_note())
    if not form.validate():
        return _user_page(visit, before, form, status=400)
    details = form.details()
    if _changes_access(before, details) and not guard.is_fresh(visit.live):
        return _log_in_again(visit, {"user": str(user_id), "typed": form.typed_values()})
    try:
        if details.email not in (None, before.email):
            _count_address(visit.admin)
        service.update(
            visit.admin,
            user_id,
            details,
            version=form.seen_version,
            settings=current_settings(),
            now=utcnow(),
        )
    except AddressTaken as taken:
        _explain_taken(visit.admin, form, taken)
        return _user_page(visit, service.user(visit.admin, user_id), form, status=409)
    except ChangedMeanwhile:
        before = service.user(visit.admin, user_id)
        form = _form(visit, before, request.form)
        form.version.data = str(before.version)
        return _user_page(visit, before, form, conflicts=form.conflicts(before), status=409)
    except TooManyTries as limited:
        return _limited(form, limited, partial(_user_page, visit, before))
    session["admin_note"] = "saved"
    return redirect(url_for("admin.edit", user_id=user_id), 303)


@blueprint.route("/admin/users/<uuid:user_id>/disable", methods=["GET", "POST"])
@for_administrators
def disable(visit: Visit, user_id: UUID) -> Response:
    """Ask for confirmation, then disable a user."""
    colleague = service.colleague(visit.admin, user_id)
    if not guard.is_fresh(visit.live):
        return _log_in_again(visit, {"path": request.path})
    if request.method != "POST":
        if not colleague.is_active:
            return redirect(url_for("admin.edit", user_id=user_id), 303)
        return make_response(render_template("admin/disable.html", user=colleague))
    service.disable(visit.admin, user_id, settings=current_settings(), now=utcnow())
    return _done(user_id, "disabled")


@blueprint.post("/admin/users/<uuid:user_id>/enable")
@for_administrators
def enable(visit: Visit, user_id: UUID) -> Response:
    """Enable a user again."""
    service.enable(visit.admin, user_id, settings=current_settings(), now=utcnow())
    return _done(user_id, "enabled")


@blueprint.route("/admin/users/<uuid:user_id>/unlink", methods=["GET", "POST"])
@for_administrators
def unlink(visit: Visit, user_id: UUID) -> Response:
    """Ask for confirmation, then unlink a user's BankID."""
    colleague = service.colleague(visit.admin, user_id)
    if not guard.is_fresh(visit.live):
        return _log_in_again(visit, {"path": request.path})
    if request.method != "POST":
        if service.bankid_linked_at(user_id) is None:
            return redirect(url_for("admin.edit", user_id=user_id), 303)
        return make_response(render_template("admin/unlink.html", user=colleague))
    service.unlink_bankid(visit.admin, user_id, settings=current_settings(), now=utcnow())
    return _done(user_id, "unlinked")


@blueprint.post("/admin/users/<uuid:user_id>/welcome")
@for_administrators
def welcome(visit: Visit, user_id: UUID) -> Response:
    """Mail a user the welcome again, within the limit for links to choose a password."""
    service.colleague(visit.admin, user_id)
    limiter = LIMITER.current()
    try:
        limiter.hit("reset_per_account", f"welcome:{user_id}")
    except TooManyTries:
        return _done(user_id, "limited")
    service.send_welcome(visit.admin, user_id, settings=current_settings(), now=utcnow())
    return _done(user_id, "welcomed")


@blueprint.get("/admin/resume/<uid>")
def resume(uid: str) -> Response:
    """Back to the page that asked for a login, with its form filled in. Stores nothing."""
    try:
        interaction = interactions.load(uid, browser=this_browser.value(), now=utcnow())
    except (InteractionOver, interactions.ForeignBrowser):
        return redirect(url_for("admin.index"), 303)
    if interaction.return_endpoint != "admin.resume":
        raise NotFound("another interaction's uid")
    live = guard.current_session()
    if live is None or not interactions.waiting(interaction).requirement.satisfied_by(live.event):
        return redirect(url_for("login.choose", uid=uid), 303)
    page_state = interaction.request
    if "path" in page_state:
        return redirect(page_state["path"], 303)
    visit = _visit(live)
    typed = MultiDict[str, str](page_state["typed"])
    if "user" not in page_state:
        return _new_page(UserForm(None, typed=typed), resumed=True)
    before = service.user(visit.admin, UUID(page_state["user"]))
    return _user_page(visit, before, _form(visit, before, typed), resumed=True)


def _log_in_to_go_on() -> Response:
    """Keep the form of a user whose session has ended meanwhile, and ask for a login.

    Raises `SessionNeeded` when the user is not known, and for pages without such a form."""
    person = guard.user_of_ended_session()
    if person is None or request.endpoint not in RESUMABLE_FORMS:
        raise guard.session_needed()
    page_state: dict[str, Any] = {"typed": UserForm(None, typed=request.form).typed_values()}
    if request.view_args:
        page_state["user"] = str(request.view_args["user_id"])
    return guard.log_in_as(person, return_endpoint="admin.resume", page_state=page_state)


def _visit(live: LiveSession) -> Visit:
    i18n.prefer(live.locale)
    admin = service.administrator(live.event.user_id)
    if admin is None:
        raise NotFound("for administrators only")
    return Visit(live, admin)


def _log_in_again(visit: Visit, page_state: dict[str, Any]) -> Response:
    return guard.log_in_again(visit.live, return_endpoint="admin.resume", page_state=page_state)


def _changes_access(before: User, details: UserDetails) -> bool:
    """Whether the details change how the user logs in, or their role."""
    return (details.email or before.email) != before.email or (
        details.role is not None and details.role.value != before.role
    )


def _explain_taken(admin: Administrator, form: UserForm, taken: AddressTaken) -> None:
    """Show why the address is refused, but nothing about other companies' users."""
    if service.company_of_address(taken.email) == admin.company_id:
        form.email.errors = [gettext("Det finns redan en användare med den här adressen i ditt företag.")]
    else:
        form.email.errors = [gettext("Den här adressen går inte att använda. Kontakta oss om den är rätt.")]


def _count_address(admin: Administrator) -> None:
    """Count a new address against the limit: each one causes mails, and reveals whether it is taken."""
    limiter = LIMITER.current()
    limiter.hit("users_per_company", str(admin.company_id))


def _limited(form: UserForm, limited: TooManyTries, page: Callable[..., Response]) -> Response:
    form.email.errors = [
        gettext("Ditt företag har lagt till eller ändrat många adresser på kort tid. Försök igen senare.")
    ]
    response = page(form, status=429)
    response.headers["Retry-After"] = str(limited.wait_seconds)
    return response


def _done(user_id: UUID, note: str) -> Response:
    session["admin_note"] = note
    return redirect(url_for("admin.edit", user_id=user_id), 303)


def _note() -> LazyString | None:
    """The note about the action just before, shown once."""
    return NOTES.get(session.pop("admin_note")) if "admin_note" in session else None


def _day(at: datetime | None) -> str:
    """The Swedish date, in the form that is the same in both languages."""
    return at.astimezone(i18n.SWEDISH_TIME).date().isoformat() if at else ""


def _list_url(search: UserSearch, *, page: int = 1, sort: str | None = None, descending: bool = False) -> str:
    """The list's address, without parameters that have their defaults."""
    by, down = (search.sort, search.descending) if sort is None else (sort, descending)
    return url_for(
        "admin.index",
        q=search.query or None,
        sort=by if by != "name" else None,
        order="desc" if down else None,
        page=page if page > 1 else None,
    )


def _columns(search: UserSearch) -> list[dict[str, Any]]:
    """The list's columns: choosing the one it is sorted by turns the order round."""
    labels = {
        "name": gettext("Namn"),
        "email": gettext("E-postadress"),
        "login": gettext("Senast inloggad"),
        "status": gettext("Status"),
    }
    return [
        {
            "name": name,
            "label": label,
            "url": _list_url(
                search,
                sort=name,
                # Sorting by time begins with the newest.
                descending=not search.descending if name == search.sort else name == "login",
            ),
            "order": ("descending" if search.descending else "ascending") if name == search.sort else None,
        }
        for name, label in labels.items()
    ]


def _form(visit: Visit, before: User, typed: MultiDict[str, str] | None) -> UserForm:
    return UserForm(before, typed=typed, is_own=before.id == visit.admin.id)


def _new_page(form: UserForm, *, resumed: bool = False, status: int = 200) -> Response:
    return make_response(render_template("admin/new.html", form=form, resumed=resumed), status)


def _user_page(
    visit: Visit,
    user: User,
    form: UserForm,
    *,
    note: LazyString | None = None,
    resumed: bool = False,
    conflicts: dict[str, str] | None = None,
    status: int = 200,
) -> Response:
    linked_at = service.bankid_linked_at(user.id)
    page = render_template(
        "admin/user.html",
        user=user,
        form=form,
        is_own=user.id == visit.admin.id,
        role=ROLES[user.role],
        has_bankid=NUMBER_KEYS.find() is not None,
        bankid_since=format_date(linked_at, "long") if linked_at else None,
        undelivered=user.is_active and service.welcome_failed(user.id),
        note=note,
        resumed=resumed,
        is_conflict=conflicts is not None,
        conflicts=conflicts or {},
    )
    return make_response(page, status)
