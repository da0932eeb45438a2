"""Linking a BankID to one's account, taking it away, and the number that somebody says to have."""

from functools import partial
from typing import Any

from werkzeug.test import TestResponse

from idp.bankid.simulator.people import PEOPLE
from idp.users.models import Role
from tests.factories import PASSWORD, make_client
from tests.fakes.relying_party import HTTPS
from tests.integration.bankid.conftest import IPHONE
from tests.integration.bankid.linking import Account
from tests.integration.bankid.orders import newest_order, scan_and_approve
from tests.integration.refusals.account import form_of, save
from tests.integration.refusals.admin import path_of
from tests.integration.refusals.bankid import link
from tests.integration.refusals.told import Cases
from tests.integration.refusals.world import ANNA, World, log_in, post

WITH_BANKID = True
CLIENTS = {"portal": make_client(login_methods=["bankid", "password"])}
ME, OTHER = PEOPLE[0], PEOPLE[1]
NUMBERS: dict[str, str] = {
    "in words": "mitt nummer",
    "wrong check digit": "19900101-2386",
    "no such day": "19900231-2385",
    "of the future": "20990101-2380",
    "nine digits": "900101238",
    "masked": "19900101-****",
    "with a NUL": "19900101-2385\x00",
    "of thirteen digits": "1990010123851",
    "nothing changed": "19900101-2385",
}


def cases(world: World) -> Cases:
    yield from _begun(world)
    yield from _of_others(world)
    yield from _confirmed(world)
    yield from _refused(world)
    yield from _unlinked(world)
    yield from _numbers(world)


def somebody(world: World) -> tuple[str, Account]:
    """Somebody's address, and the browser on which they are logged in."""
    world.clock.shift(1)  # the newest order is the one begun last
    email = world.person()
    account = Account(world.app)
    log_in(account.browser, email)
    return email, account


def proven(world: World) -> tuple[str, Account, TestResponse]:
    """Somebody who has used the app, and the page that asks whether to link."""
    email, account = somebody(world)
    page = account.prove(world.phone)
    assert 'id="bankid-confirm"' in page.text, page.text[:2000]
    return email, account, page


def poll(account: Account, browser: Any = None) -> TestResponse:
    return (browser or account.browser).get(f"/account/bankid/{account.uid}/poll", **HTTPS)


def show(account: Account) -> TestResponse:
    return account.browser.get(f"/account/bankid/{account.uid}", **HTTPS)


def _begun(world: World) -> Cases:
    _, account = somebody(world)
    yield "begin: nothing changed", partial(post, account.browser, "/account/bankid", device="other")
    yield "begin: without the CSRF token", partial(account.browser.post, "/account/bankid", **HTTPS)
    yield "begin: nobody logged in", partial(post, world.browser(), "/account/bankid")
    world.clock.shift(901)
    yield "begin: a while after the login", partial(post, account.browser, "/account/bankid")
    for uid in ("x" * 43, "x", "x" * 2000, "x%00"):
        for what in ("", "/poll", "/resume"):
            yield (
                f"unknown {uid[:5]} {len(uid)}: GET {what or 'page'}",
                partial(account.browser.get, f"/account/bankid/{uid}{what}", **HTTPS),
            )
        for what in ("cancel", "confirm"):
            yield (
                f"unknown {uid[:5]} {len(uid)}: POST {what}",
                partial(post, account.browser, f"/account/bankid/{uid}/{what}"),
            )
    _, account = somebody(world)
    page = account.begin()
    yield "pending: poll", partial(poll, account)
    yield "pending: confirmed", partial(account.answer, page)
    yield (
        "pending: without the CSRF token",
        partial(account.browser.post, f"/account/bankid/{account.uid}/cancel", **HTTPS),
    )
    yield "pending: cancelled", partial(post, account.browser, f"/account/bankid/{account.uid}/cancel")
    yield "cancelled: poll", partial(poll, account)
    yield "cancelled: page", partial(show, account)
    yield "cancelled: confirmed", partial(account.answer, page)


def _of_others(world: World) -> Cases:
    email, account, page = proven(world)
    other = Account(world.app)
    log_in(other.browser, email)
    stranger = somebody(world)[1]
    for name, who in (("another browser", other), ("somebody else", stranger)):
        who.uid = account.uid
        yield f"{name}: poll", partial(poll, who)
        yield f"{name}: page", partial(show, who)
        for what in ("cancel", "confirm"):
            path = f"/account/bankid/{account.uid}/{what}"
            yield f"{name}: {what}", partial(post, who.browser, path, answer="link")
    nobody = world.browser()
    yield "nobody: poll", partial(poll, account, nobody)
    yield "nobody: page", partial(nobody.get, f"/account/bankid/{account.uid}", **HTTPS)
    yield "nobody: confirm", partial(post, nobody, f"/account/bankid/{account.uid}/confirm", answer="link")
    assert account.post(account.get("/logout"), "/logout").status_code == 200
    yield "logged out: poll", partial(poll, account)
    yield "logged out: confirm", partial(account.answer, page)
    log_in(account.browser, email)
    yield "another session: poll", partial(poll, account)
    yield "another session: confirm", partial(post, account.browser, page.request.path + "/confirm")
    email, account, page = proven(world)
    world.disable(email)
    yield "disabled: poll", partial(poll, account)
    yield "disabled: confirm", partial(account.answer, page)
    rp = world.rp()
    uid = rp.authorize().headers["Location"].rpartition("/")[2]
    log_in(rp.browser, world.person())
    for what in ("", "/poll", "/resume"):
        yield (
            f"a relying app's login: GET {what or 'page'}",
            partial(rp.browser.get, f"/account/bankid/{uid}{what}", **HTTPS),
        )
    yield "a relying app's login: confirm", partial(post, rp.browser, f"/account/bankid/{uid}/confirm")
    _, account = somebody(world)
    account.begin()
    yield "a linking as a login: page", partial(account.browser.get, f"/login/{account.uid}/bankid", **HTTPS)
    yield (
        "a linking as a login: poll",
        partial(account.browser.get, f"/login/{account.uid}/bankid/poll", **HTTPS),
    )


def _confirmed(world: World) -> Cases:
    _, account, page = proven(world)
    yield (
        "confirm: without the CSRF token",
        partial(
            account.browser.post, f"/account/bankid/{account.uid}/confirm", data={"answer": "link"}, **HTTPS
        ),
    )
    yield "confirm: GET", partial(account.browser.get, f"/account/bankid/{account.uid}/confirm", **HTTPS)
    yield "confirm: no", partial(account.answer, page, "no")
    yield "confirm: yes after no", partial(account.answer, page)
    _, account, page = proven(world)
    yield "confirm: nothing changed", partial(account.answer, page)
    yield "confirm: twice", partial(account.answer, page)
    yield "confirm: poll afterwards", partial(poll, account)
    _, account, page = proven(world)
    world.clock.shift(601)
    yield "confirm: too late", partial(account.answer, page)
    yield "confirm: page too late", partial(show, account)


def _refused(world: World) -> Cases:
    _, account, page = proven(world)
    form = form_of(account.browser)
    assert save(account.browser, form, personal_number=OTHER.personal_number).status_code == 303
    yield "another person than stated", partial(account.answer, page)
    yield "another person than stated: page", partial(show, account)
    _, account = somebody(world)
    world.phone.fault("risk", "high")
    account.begin()
    scan_and_approve(world.app, world.phone)
    account.poll()
    yield "a high risk", partial(show, account)
    yield (
        "a high risk: confirmed",
        partial(post, account.browser, f"/account/bankid/{account.uid}/confirm", answer="link"),
    )
    _, account = somebody(world)
    account.begin("this", **{"User-Agent": IPHONE})
    world.phone.do("open", autostart_token=newest_order(world.app).autostart_token)
    world.phone.fault("device_ip", "different")
    world.phone.do("approve")
    world.clock.shift(2)
    account.poll()
    world.clock.shift(30)
    yield "another device", partial(show, account)


def _unlinked(world: World) -> Cases:
    path = "/account/bankid/unlink"
    email, account = somebody(world)
    yield "unlink: no BankID", partial(account.browser.get, path, **HTTPS)
    yield "unlink: no BankID, the form", partial(post, account.browser, path)
    link(world, email)
    yield "unlink: without the CSRF token", partial(account.browser.post, path, **HTTPS)
    yield "unlink: nobody logged in", partial(world.browser().get, path, **HTTPS)
    yield "unlink: nobody logged in, the form", partial(post, world.browser(), path)
    yield "unlink: the page", partial(account.browser.get, path, **HTTPS)
    yield "unlink: nothing changed", partial(post, account.browser, path)
    yield "unlink: twice", partial(post, account.browser, path)
    email, account = somebody(world)
    link(world, email)
    world.clock.shift(901)
    yield "unlink: a while after the login", partial(account.browser.get, path, **HTTPS)
    yield "unlink: a while after the login, the form", partial(post, account.browser, path)
    email, account = somebody(world)
    link(world, email)
    world.disable(email)
    yield "unlink: somebody disabled", partial(post, account.browser, path)
    admin = world.browser()
    log_in(admin, world.person(role=Role.COMPANY_ADMIN))
    email = world.person()
    page = path_of(admin, email)
    yield "administrator unlinks: no BankID", partial(admin.get, page + "/unlink", **HTTPS)
    yield "administrator unlinks: no BankID, the form", partial(post, admin, page + "/unlink")
    link(world, email)
    yield "administrator unlinks: nothing changed", partial(admin.get, page + "/unlink", **HTTPS)
    world.clock.shift(901)
    yield "administrator unlinks: a while after the login", partial(post, admin, page + "/unlink")


def _numbers(world: World) -> Cases:
    for name, number in NUMBERS.items():
        _, account = somebody(world)
        form = form_of(account.browser)
        yield f"number {name}", partial(save, account.browser, form, personal_number=number)
    email, account = somebody(world)
    link(world, email)
    form = form_of(account.browser)
    yield (
        "number of somebody whose BankID is linked",
        partial(save, account.browser, form, personal_number=NUMBERS["in words"]),
    )
    _, account = somebody(world)
    form = form_of(account.browser)
    world.clock.shift(901)
    yield (
        "number, a while after the login",
        partial(save, account.browser, form, personal_number=NUMBERS["nothing changed"]),
    )
    answer = save(account.browser, form_of(account.browser), personal_number=NUMBERS["nothing changed"])
    uid = answer.headers["Location"].rpartition("/")[2]
    login = f"/login/{uid}/password"
    yield (
        "number: renewed by somebody else",
        partial(post, account.browser, login, email=ANNA, password=PASSWORD),
    )
