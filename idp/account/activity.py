"""An account's activity as its person sees it: sessions, security history, apps with consent."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv6Network
from itertools import groupby, islice
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from idp import audit
from idp.account import sentences
from idp.addresses import line_of, read_address
from idp.audit import AuditRow
from idp.clock import utcnow
from idp.config import SessionSettings
from idp.db import db, execute_alone
from idp.errors import NotFound
from idp.extensions import current_settings
from idp.i18n import current_language, gettext, moment
from idp.login import methods, overview, sessions
from idp.login.models import BrowserSession
from idp.login.sessions import LiveSession
from idp.oidc import consents, revocation
from idp.oidc.provider import PROVIDER
from idp.user_agent import Device, recognise

MAX_SESSIONS = 50
MAX_EVENTS = 50
MAX_BY_ANYBODY = 10  # of them events that need no login: they leave room for those that do
MAX_ROWS = 500  # read for either kind: an event that repeats is shown once
REASON = "ended in Mina uppgifter"


@dataclass(frozen=True)
class OwnSession:
    """A session in force, as its person sees it. `apps` are client_ids."""

    id: UUID
    current: bool
    device: str
    place: str | None
    method: str
    logged_in_at: datetime
    seen_at: datetime
    apps: Sequence[str]


@dataclass(frozen=True)
class Happening:
    """An event that happened `times`, the last time `at`; `in_a_row`: with no other event between.

    `device` and `place` are set for the person's own events alone, not for an operator's or administrator's.
    """

    at: datetime
    text: str
    times: int
    in_a_row: bool
    client_id: str | None
    device: str | None
    place: str | None


def facts(live: LiveSession) -> dict[str, Any]:
    """The variables of `account/_sessions.html`, by one statement."""
    labels = {method.name: method.label for method in methods.known()}
    sessions = [
        {
            "id": str(one.id),
            "current": one.current,
            "device": one.device,
            "place": one.place,
            "method": labels.get(one.method, one.method),
            "logged_in": moment(one.logged_in_at),
            "seen": moment(one.seen_at),
            "apps": ", ".join(app_name(client_id) for client_id in one.apps) if one.apps else None,
        }
        for one in own_sessions(live, settings=current_settings().session, now=utcnow())
    ]
    return {"sessions": sessions}


class _OwnSessionRow(NamedTuple):
    """A session and an app that it has logged in to; each session's last row has no app."""

    id: UUID
    method: str
    logged_in_at: datetime
    seen_at: datetime
    address: str | None
    user_agent: str | None
    client_id: str | None


_found = overview.ONE_PERSONS.cte("found")
_reached = consents.reached_clients_cte(_found)
_OWN_SESSIONS = (
    sa.select(
        _found.c.id,
        _found.c.method,
        _found.c.logged_in_at,
        _found.c.seen_at,
        _found.c.address,
        _found.c.user_agent,
        _reached.c.client_id,
    )
    .join(_reached, _reached.c.session_id == _found.c.id)
    .order_by(_found.c.seen_at.desc(), _found.c.id, _reached.c.client_id)
)


def own_sessions(live: LiveSession, *, settings: SessionSettings, now: datetime) -> list[OwnSession]:
    """The person's sessions in force, this one first, then the one used last. One statement."""
    asked = {
        "user_id": live.event.user_id,
        **overview.in_force_at(now, limit=MAX_SESSIONS, settings=settings),
    }
    sessions = []
    for _, rows in groupby(execute_alone(_OWN_SESSIONS, asked, _OwnSessionRow), key=attrgetter("id")):
        one, *others = rows  # one for each app
        sessions.append(
            OwnSession(
                id=one.id,
                current=one.id == live.id,
                device=device_name(one.user_agent),
                place=place_name(one.address),
                method=one.method,
                logged_in_at=one.logged_in_at,
                seen_at=one.seen_at,
                apps=[row.client_id for row in (one, *others) if row.client_id is not None],
            )
        )
    return sorted(sessions, key=lambda one: not one.current)


def end_session(live: LiveSession, session_id: UUID, *, now: datetime) -> None:
    """End one of the person's sessions, with all that it led to. Nothing happens when it has ended already.

    Raises `NotFound` for another person's session and for one that does not exist.
    """
    if sessions.user_of_session(str(session_id)) != live.event.user_id:
        raise NotFound("no such session of this person")
    _end([session_id], now=now)


def end_others(live: LiveSession, *, now: datetime) -> None:
    """End every session of the person but this one, with all that they led to."""
    query = sa.select(BrowserSession.id).where(
        BrowserSession.user_id == live.event.user_id,
        BrowserSession.id != live.id,
        BrowserSession.ended_at.is_(None),
    )
    _end(list(db.session.scalars(query)), now=now)


def _end(session_ids: list[UUID], *, now: datetime) -> None:
    revocation.revoke_everything_of_sessions(session_ids, now=now)
    sessions.end_these(session_ids, now=now, reason=REASON)  # commits


def history(user_id: UUID) -> list[Happening]:
    """The newest events of the account in plain words, newest first.

    An event that anybody can cause is shown once for each place, and never crowds out one that needs a login.
    """
    by_anybody: dict[Any, list[sa.Row[Any]]] = {}
    for row in _newest(user_id, sentences.BY_ANYBODY):
        by_anybody.setdefault(_sameness(row), []).append(row)
    told = [(alike, False) for alike in list(by_anybody.values())[:MAX_BY_ANYBODY]]
    runs = groupby(_newest(user_id, sentences.SHOWN - sentences.BY_ANYBODY), key=_sameness)
    told += [(list(run), True) for _, run in islice(runs, MAX_EVENTS - len(told))]
    told.sort(key=lambda one: one[0][0].id, reverse=True)
    return [_happening(alike[0], len(alike), in_a_row=in_a_row) for alike, in_a_row in told]


def _newest(user_id: UUID, events: Set[audit.Event]) -> Sequence[sa.Row[Any]]:
    query = (
        sa.select(
            AuditRow.id,
            AuditRow.at,
            AuditRow.event,
            AuditRow.actor,
            AuditRow.client_id,
            AuditRow.address,
            AuditRow.detail,
            BrowserSession.user_agent,
        )
        .outerjoin(BrowserSession, BrowserSession.id == AuditRow.session_id)
        .where(AuditRow.user_id == user_id, AuditRow.event.in_([event.value for event in events]))
        .order_by(AuditRow.id.desc())
        .limit(MAX_ROWS)
    )
    return db.session.execute(query).all()


def _sameness(row: sa.Row[Any]) -> tuple[Any, ...]:
    detail = tuple(sorted(row.detail.items()))
    return row.event, row.actor, row.client_id, row.address, detail, row.user_agent


def _happening(row: sa.Row[Any], times: int, *, in_a_row: bool) -> Happening:
    own = row.actor == "user"
    return Happening(
        at=row.at,
        text=sentences.sentence(audit.Event(row.event), row.actor, row.detail),
        times=times,
        in_a_row=in_a_row,
        client_id=row.client_id,
        device=device_name(row.user_agent) if own and row.user_agent else None,
        place=place_name(row.address) if own else None,
    )


@lru_cache(maxsize=1000)
def _recognise(user_agent: str) -> Device:
    """`recognise`, cached: a page of sessions shows few headers, each many times."""
    return recognise(user_agent)


def device_name(user_agent: str | None) -> str:
    """Browser and system in words, such as "Firefox på Windows"."""
    found = _recognise(user_agent or "")
    browser, system = found.browser_name, found.system_name
    if browser and system:
        return gettext("%(browser)s på %(system)s", browser=browser, system=system)
    return browser or system or gettext("Okänd enhet")


def place_name(address: str | None) -> str | None:
    """The address as people know it: of IPv6 the part that belongs to the line, not to the device."""
    ip = read_address(address)
    if ip is None:
        return None
    line = line_of(ip)
    return f"{line.network_address}…" if isinstance(line, IPv6Network) else str(line)


def app_name(client_id: str) -> str:
    """The app's name in the page's language; the client_id of an app that was removed."""
    provider = PROVIDER.current()
    client = provider.clients.get(client_id)
    return client.name(current_language()) if client else client_id
