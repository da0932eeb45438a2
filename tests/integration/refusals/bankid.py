"""Logging in with BankID: whose order it is, how it ends, and who is not let in by it."""

import re
from functools import partial
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from idp.bankid.simulator.evidence import Defect
from idp.bankid.simulator.faults import FAILED_HINTS
from idp.bankid.simulator.people import PEOPLE, Person
from tests.factories import PASSWORD, make_client
from tests.fakes.relying_party import HTTPS, RelyingParty
from tests.integration.bankid.conftest import IPHONE, BankIdVisitor
from tests.integration.bankid.conftest import link as link_to
from tests.integration.bankid.orders import newest_order, qr_text
from tests.integration.refusals.addresses import sweep
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import ANNA, World, log_in, post

WITH_BANKID = True
METHODS = ["bankid", "password"]


def at(host: str) -> dict[str, Any]:
    return {"redirect_uris": [f"https://{host}.example.se/cb"], "login_methods": METHODS}


CLIENTS = {
    "portal": make_client(login_methods=METHODS),
    "bankid-only": make_client(**{**at("bankid-only"), "login_methods": ["bankid"]}),
    "password-only": make_client(**{**at("password-only"), "login_methods": ["password"]}),
    "mobile": make_client(**at("mobile"), bankid={"requirement": {"certificatePolicies": ["mobile"]}}),
    "passport": make_client(**at("passport"), bankid={"requirement": {"mrtd": True}}),
    "lenient": make_client(**at("lenient"), bankid={"high_risk": "allow"}),
    "offline": make_client(
        **at("offline"), scope="openid offline_access", grant_types=["authorization_code", "refresh_token"]
    ),
}
BJORN, NOBODY, SEVERAL, DISABLED = PEOPLE[1], PEOPLE[2], PEOPLE[3], PEOPLE[4]


def cases(world: World) -> Cases:
    yield from sweep(world, ("/login/bankid", "/login/<uid>/bankid", "/account/bankid"))
    link(world, ANNA)
    yield from _orders(world)
    yield from _other_browsers(world)
    yield from _failures(world)
    yield from _people(world)
    yield from _devices(world)
    yield from _entries(world)
    yield from _offers(world)


def link(world: World, email: str, person: Person = PEOPLE[0]) -> None:
    """Link somebody's BankID to the account with this address."""
    with world.app.app_context():
        link_to(world.app, world.user_id(email), person)


def visit(world: World, client_id: str = "portal", **changes: Any) -> tuple[BankIdVisitor, TestResponse]:
    """Somebody on the BankID tab, and the page of their new order."""
    world.clock.shift(1)  # the newest order is the one begun last
    visitor = BankIdVisitor(world.rp(client_id))
    return visitor, visitor.open(**changes)


def approve(world: World, personal_number: str | None = None, **scanned: str) -> None:
    """Scan the newest order's code and approve; the next poll hears of it."""
    who = {"personal_number": personal_number} if personal_number else {}
    world.phone.do("scan", qr=qr_text(world.app), **who, **scanned)
    world.phone.do("approve", **who)
    world.clock.shift(2)


def poll(visitor: BankIdVisitor, browser: FlaskClient | None = None, **query: str) -> TestResponse:
    path = f"/login/{visitor.uid}/bankid/poll"
    return (browser or visitor.rp.browser).get(path, query_string=query, **HTTPS)


def show(visitor: BankIdVisitor, **options: Any) -> TestResponse:
    return visitor.get(f"/login/{visitor.uid}/bankid", **options)


def end(visitor: BankIdVisitor) -> TestResponse:
    """Where the completed order leads in the end."""
    assert poll(visitor).get_json()["state"] == "complete"
    return visitor.rp.follow(show(visitor))


def _orders(world: World) -> Cases:
    visitor, _ = visit(world)
    yield "order: pending", partial(poll, visitor)
    approve(world)
    yield "order: complete", partial(poll, visitor)
    yield "order: nothing changed", partial(end_of_page, visitor)
    yield "order: used", partial(poll, visitor)
    yield "order: its page after it was used", partial(show, visitor)
    visitor, page = visit(world)
    yield (
        "order: cancelled without the CSRF token",
        partial(visitor.rp.browser.post, f"/login/{visitor.uid}/bankid/cancel", **HTTPS),
    )
    yield "order: an account chosen too early", partial(visitor.post, page, "account", account="x")
    yield "order: cancelled", partial(visitor.post, page, "cancel")
    yield "order: cancelled, poll", partial(poll, visitor)
    yield "order: cancelled, page", partial(show, visitor)
    yield "order: cancelled twice", partial(visitor.post, page, "cancel")
    visitor, page = visit(world)
    rp = world.rp()
    uid = rp.authorize().headers["Location"].rpartition("/")[2]
    yield "no order yet: poll", partial(rp.browser.get, f"/login/{uid}/bankid/poll", **HTTPS)
    yield "no order yet: HEAD", partial(rp.browser.head, f"/login/{uid}/bankid", **HTTPS)
    yield "no order yet: cancel", partial(post, rp.browser, f"/login/{uid}/bankid/cancel")
    for name, other in (("unknown", "x" * 43), ("very long", "x" * 2000), ("with a NUL", "x%00")):
        for what in ("", "/poll"):
            yield (
                f"a login {name}: GET {what or 'page'}",
                partial(rp.browser.get, f"/login/{other}/bankid{what}", **HTTPS),
            )
        for what in ("cancel", "account", "link"):
            yield f"a login {name}: POST {what}", partial(post, rp.browser, f"/login/{other}/bankid/{what}")
    visitor, page = visit(world)
    world.clock.shift(3600)
    yield "an expired login: poll", partial(poll, visitor)
    yield "an expired login: page", partial(show, visitor)
    yield "an expired login: cancel", partial(visitor.post, page, "cancel")
    visitor, _ = visit(world)
    visitor.rp.browser.get(f"/authorize/{visitor.uid}?cancel=1", **HTTPS)
    yield "a login given up: poll", partial(poll, visitor)
    yield "a login given up: page", partial(show, visitor)
    visitor, _ = visit(world)
    show_password = visitor.get(f"/login/{visitor.uid}/password")
    assert show_password.status_code == 200
    yield "gone another way: poll", partial(poll, visitor)
    offline, _ = visit(world, "offline", scope="openid offline_access")
    approve(world)
    tokens = offline.rp.exchange(offline.rp.answer(end(offline))["code"])
    world.clock.shift(7199)
    yield "refresh token just not idle too long", partial(refreshed, offline.rp, tokens.refresh_token)
    world.clock.shift(7200)
    yield "refresh token idle too long for a BankID", partial(refreshed, offline.rp, tokens.refresh_token)


def end_of_page(visitor: BankIdVisitor) -> TestResponse:
    return visitor.rp.follow(show(visitor))


def refreshed(rp: RelyingParty, token: str) -> TestResponse:
    return rp.post("/token", {"grant_type": "refresh_token", "refresh_token": token})


def _other_browsers(world: World) -> Cases:
    visitor, _ = visit(world)
    approve(world)
    other = world.browser()
    yield "another browser: poll", partial(poll, visitor, other)
    yield "another browser: page", partial(other.get, f"/login/{visitor.uid}/bankid", **HTTPS)
    for what in ("cancel", "account", "link"):
        yield (
            f"another browser: POST {what}",
            partial(post, other, f"/login/{visitor.uid}/bankid/{what}", account="x", answer="link"),
        )
    yield "another browser: the login goes on", partial(other.get, f"/authorize/{visitor.uid}", **HTTPS)
    yield "another browser: and the first one too", partial(end, visitor)
    visitor, _ = visit(world)
    approve(world)
    visitor.rp.browser.delete_cookie("__Host-idp_browser", domain="login.example.se")
    yield "a browser that lost its cookies: poll", partial(poll, visitor)


def _failures(world: World) -> Cases:
    for hint in FAILED_HINTS:
        visitor, _ = visit(world)
        world.phone.fault("failed_hint", hint)
        world.clock.shift(2)
        yield f"failed, {hint}: poll", partial(poll, visitor)
        world.phone.no_faults()
        yield f"failed, {hint}: page", partial(show, visitor)
    for defect in Defect:
        visitor, _ = visit(world)
        world.phone.fault("evidence", defect)
        approve(world)
        yield f"evidence, {defect}: poll", partial(poll, visitor)
        yield f"evidence, {defect}: page", partial(show, visitor)
    for part in ("user", "user.personalNumber", "signature", "ocspResponse"):
        visitor, _ = visit(world)
        world.phone.fault("missing", part)
        approve(world)
        yield f"without {part}: poll", partial(poll, visitor)
        world.clock.shift(2)
        yield f"without {part}: next poll", partial(poll, visitor)
    visitor, _ = visit(world, "passport")
    world.phone.fault("mrtd", "no")
    approve(world)
    yield "an identity document not read", partial(poll, visitor)
    visitor, _ = visit(world, "mobile")
    world.phone.do("scan", qr=qr_text(world.app), kind="file")
    world.clock.shift(2)
    yield "another kind of BankID", partial(poll, visitor)


def _people(world: World) -> Cases:
    visitor, _ = visit(world)
    approve(world, NOBODY.personal_number)
    yield "a BankID of no account", partial(end, visitor)
    yield "a BankID of no account: page again", partial(show, visitor)
    visitor, _ = visit(world, "bankid-only")
    approve(world, NOBODY.personal_number)
    yield "a BankID of no account, and no other way", partial(end, visitor)
    disabled = world.person()
    link(world, disabled, DISABLED)
    world.disable(disabled)
    visitor, _ = visit(world)
    approve(world, DISABLED.personal_number)
    yield "a BankID of somebody disabled", partial(end, visitor)
    first, second = world.person(), world.person()
    link(world, first, SEVERAL)
    link(world, second, SEVERAL)
    for chosen in (None, "x", "00000000-0000-4000-8000-000000000000"):
        visitor, _ = visit(world)
        approve(world, SEVERAL.personal_number)
        page = end(visitor)
        account = chosen or ""
        yield (
            f"one of two accounts, chosen: {chosen}",
            partial(visitor.post, page, "account", account=account),
        )
    visitor, _ = visit(world)
    approve(world, SEVERAL.personal_number)
    page = end(visitor)
    account = re.findall(r'name="account" value="([^"]+)"', page.text)[0]
    yield (
        "one of two accounts, without the CSRF token",
        partial(
            visitor.rp.browser.post,
            f"/login/{visitor.uid}/bankid/account",
            data={"account": account},
            **HTTPS,
        ),
    )
    world.disable(first)
    world.disable(second)
    yield "one of two accounts, both disabled", partial(visitor.post, page, "account", account=account)
    bjorn = world.person()
    link(world, bjorn, BJORN)
    _, tokens = world.tokens(email=bjorn)
    visitor, _ = visit(world, id_token_hint=tokens.id_token)
    approve(world)
    yield "somebody else than the hint names", partial(end, visitor)


def _devices(world: World) -> Cases:
    def opened(**headers: str) -> BankIdVisitor:
        """An order for the app on the same device, completed from another address."""
        visitor, _ = visit(world, headers={"User-Agent": IPHONE})
        world.phone.fault("device_ip", "different")
        world.phone.do("open", autostart_token=newest_order(world.app).autostart_token)
        world.phone.do("approve")
        world.clock.shift(2)
        return visitor

    visitor = opened()
    yield "another device: poll, while the app may come back", partial(poll, visitor)
    yield "another device: a wrong nonce", partial(poll, visitor, nonce="x" * 43)
    world.clock.shift(15)
    yield "another device: poll", partial(poll, visitor)
    yield "another device: page", partial(show, visitor)
    yield "another device: page again", partial(show, visitor)
    for client_id in ("portal", "lenient"):
        visitor, _ = visit(world, client_id)
        world.phone.fault("risk", "high")
        approve(world)
        yield f"a high risk, {client_id}", partial(end, visitor)


def _entries(world: World) -> Cases:
    visitor, page = visit(world)
    with world.entry("portal"):
        yield "the client was removed: page", partial(show, visitor)
        yield "the client was removed: poll", partial(poll, visitor)
        yield "the client was removed: cancel", partial(visitor.post, page, "cancel")
    with world.entry("portal", login_methods=["password"]):
        visitor, _ = visit(world, "portal")
        yield "BankID was removed: page", partial(show, visitor)
    visitor, _ = visit(world)
    approve(world)
    with world.entry("portal", login_methods=["password"]):
        yield "BankID was removed: the completed order", partial(end, visitor)
    rp = world.rp("password-only")
    uid = rp.authorize().headers["Location"].rpartition("/")[2]
    yield "a client without BankID: page", partial(rp.browser.get, f"/login/{uid}/bankid", **HTTPS)
    yield "a client without passwords: page", partial(_password_page, world)


def _password_page(world: World) -> TestResponse:
    visitor, _ = visit(world, "bankid-only")
    return visitor.rp.browser.get(f"/login/{visitor.uid}/password", **HTTPS)


def _offers(world: World) -> Cases:
    """After a BankID of no account, a login by password that may link it."""

    def offered(email: str) -> tuple[BankIdVisitor, TestResponse]:
        visitor, _ = visit(world)
        approve(world, NOBODY.personal_number)
        assert end(visitor).status_code == 403
        form = visitor.get(f"/login/{visitor.uid}?method=password")
        return visitor, visitor.rp.follow(visitor.rp.submit(form, email=email, password=PASSWORD))

    visitor, page = offered(world.person())
    link = f"/login/{visitor.uid}/bankid/link"
    yield "offer: the page", partial(visitor.get, link)
    yield (
        "offer: without the CSRF token",
        partial(visitor.rp.browser.post, link, data={"answer": "link"}, **HTTPS),
    )
    yield "offer: in another browser", partial(post, world.browser(), link, answer="link")
    other = world.browser()
    log_in(other, world.person())
    yield "offer: in another browser, logged in", partial(post, other, link, answer="link")
    yield "offer: neither yes nor no", partial(visitor.post, page, "link", answer="x")
    yield "offer: a second thought", partial(visitor.post, page, "link", answer="link")
    visitor, page = offered(world.person())
    world.clock.shift(601)
    yield "offer: too late", partial(visitor.post, page, "link", answer="link")
    email = world.person()
    visitor, page = offered(email)
    world.disable(email)
    yield "offer: somebody disabled", partial(visitor.post, page, "link", answer="link")
    yield "no offer: an account that has a BankID", partial(_same, offered(ANNA)[1])
    visitor, page = offered(world.person())
    yield "offer: nothing changed", partial(visitor.post, page, "link", answer="link")
    yield "offer: twice", partial(visitor.post, page, "link", answer="link")


def _same(page: TestResponse) -> TestResponse:
    return page
