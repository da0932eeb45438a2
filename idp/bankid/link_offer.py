"""After a login that followed a BankID without an account: may that BankID be linked to it?"""

from uuid import UUID

from flask import session

from idp.bankid import order_result, unmatched
from idp.bankid.setup import BANKID
from idp.clock import utcnow
from idp.crypto import NUMBER_KEYS
from idp.login import methods, this_browser
from idp.login.event import AuthenticationEvent
from idp.login.interactions import Waiting
from idp.users import bankid_links
from idp.users.personal_number import PersonalNumber


def page_after_login(waiting: Waiting, event: AuthenticationEvent) -> str | None:
    """The endpoint of the page that offers to link, if a BankID without an account came before this login.

    None otherwise, and for an account that has a BankID or whose owner has stated another number.
    """
    uid = waiting.uid
    if uid is None or event.method not in methods.own_names() or session.get("unmatched") != uid:
        return None
    del session["unmatched"]
    order = unmatched.find(uid, browser=this_browser.value(), now=utcnow())
    if order is None:
        return None
    proven = PersonalNumber.from_bankid(order_result.person_of(BANKID.current(), order).personal_number)
    allowed = may_link(event.user_id, proven)
    return "bankid.offer" if allowed and unmatched.offer_to(order, event.user_id) else None


def may_link(user_id: UUID, proven: PersonalNumber) -> bool:
    """Whether the account has no BankID, and its owner has stated no number but the proven one."""
    stated = bankid_links.stated_number(user_id, keys=NUMBER_KEYS.current())
    return stated in (None, proven) and bankid_links.number_of(user_id, keys=NUMBER_KEYS.current()) is None
