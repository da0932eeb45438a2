"""Interactions: requests that wait for a login, each answered once."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from blinker import Namespace

from idp.db import db
from idp.login.models import Interaction
from idp.login.requirement import AuthnRequirement
from idp.login.user_message import UserMessage
from idp.tokens import new_token, sha256_hex

moved_on = Namespace().signal("moved-on")
"""Sent with `uid`, `method` and `now`, after the commit, when an interaction goes on by a method, or is over
(`method` None): the other methods can end what they began for it."""

USER_MESSAGE = "user_message"  # the member of an interaction's request with the client's `UserMessage`
OWN_ONLY = "own_only"  # the member of our own interactions that accept an own login only


@dataclass(frozen=True)
class Waiting:
    """An interaction as login pages see it. A direct login has neither `uid` nor `client_id`."""

    uid: str | None
    requirement: AuthnRequirement
    client_id: str | None
    login_hint: str
    ui_locales: str
    return_endpoint: str
    leads_to: str | None  # the address outside this site that the pages' forms lead to at last
    user_message: UserMessage | None = None  # from the client to the person
    own_only: bool = False  # a change of how the person logs in waits: no other method's login will do


class InteractionOver(Exception):
    """The interaction cannot be used: `reason` is `unknown`, `expired` or `answered`."""

    def __init__(self, reason: str, client_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.client_id = client_id


class ForeignBrowser(Exception):
    """The interaction belongs to another browser."""


def begin(
    requirement: AuthnRequirement,
    *,
    return_endpoint: str,
    request: dict[str, Any],
    client_id: str | None,
    browser: str | None,
    lifetime: timedelta,
    now: datetime,
) -> str:
    """Store a new interaction and return its uid. `browser` None: the first browser to open it owns it."""
    uid = new_token()
    db.session.execute(
        sa.insert(Interaction).values(
            uid=uid,
            browser_hash=sha256_hex(browser) if browser else None,
            requirement=requirement.to_json(),
            return_endpoint=return_endpoint,
            request=request,
            client_id=client_id,
            created_at=now,
            expires_at=now + lifetime,
        )
    )
    db.session.commit()
    return uid


def load(uid: str, *, browser: str, now: datetime) -> Interaction:
    """The open interaction of this browser.

    Raises `InteractionOver` when it is unknown, expired or answered, and `ForeignBrowser` when it belongs to
    another browser.
    """
    interaction = db.session.get(Interaction, uid)
    if interaction is None:
        raise InteractionOver("unknown")
    if interaction.browser_hash is None:
        _bind_to_browser(interaction, browser)
    if interaction.answered_at is not None:
        raise InteractionOver("answered", interaction.client_id)
    if interaction.expires_at <= now:
        raise InteractionOver("expired", interaction.client_id)
    if interaction.browser_hash != sha256_hex(browser):
        raise ForeignBrowser
    return interaction


def waiting(interaction: Interaction) -> Waiting:
    """An interaction as login pages see it."""
    message = interaction.request.get(USER_MESSAGE)
    return Waiting(
        uid=interaction.uid,
        requirement=AuthnRequirement.from_json(interaction.requirement),
        client_id=interaction.client_id,
        login_hint=interaction.request.get("login_hint", ""),
        ui_locales=interaction.request.get("ui_locales", ""),
        return_endpoint=interaction.return_endpoint,
        leads_to=interaction.request.get("redirect_uri"),
        user_message=UserMessage.from_json(message) if message else None,
        own_only=bool(interaction.request.get(OWN_ONLY)),
    )


def update_requirement(interaction: Interaction, requirement: AuthnRequirement) -> None:
    """Store what the client asks for now, which may have changed since the interaction began."""
    wanted = requirement.to_json()
    if interaction.requirement != wanted:
        interaction.requirement = wanted
        db.session.commit()


def copy_to_browser(uid: str, *, browser: str, lifetime: timedelta, now: datetime) -> str:
    """Begin the same request anew in another browser and return its uid. No other state is copied."""
    original = db.session.get_one(Interaction, uid)
    return begin(
        AuthnRequirement.from_json(original.requirement),
        return_endpoint=original.return_endpoint,
        request=original.request,
        client_id=original.client_id,
        browser=browser,
        lifetime=lifetime,
        now=now,
    )


def claim_answer(uid: str, *, now: datetime) -> bool:
    """Claim the interaction's one answer, in the caller's transaction. False: claimed before, or expired."""
    statement = (
        sa.update(Interaction)
        .where(Interaction.uid == uid, Interaction.answered_at.is_(None), Interaction.expires_at > now)
        .values(answered_at=now)
        .returning(Interaction.uid)
    )
    return db.session.scalar(statement) is not None


def close(uid: str, *, now: datetime) -> bool:
    """Claim the interaction's one answer and commit, for an answer that leads to no login: False as above."""
    claimed = claim_answer(uid, now=now)
    db.session.commit()
    moved_on.send(uid=uid, method=None, now=now)
    return claimed


def _bind_to_browser(interaction: Interaction, browser: str) -> None:
    statement = (
        sa.update(Interaction)
        .where(Interaction.uid == interaction.uid, Interaction.browser_hash.is_(None))
        .values(browser_hash=sha256_hex(browser))
    )
    db.session.execute(statement)
    db.session.commit()
    db.session.refresh(interaction)
