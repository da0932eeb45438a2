"""A person uses the simulated app on its phone page with scripts off."""

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from lxml import html

from idp.bankid.simulator import phone
from idp.bankid.simulator.faults import Faults
from idp.bankid.simulator.order import Order
from idp.bankid.simulator.orders import Orders
from idp.bankid.simulator.people import PEOPLE
from idp.bankid.simulator.pki import POLICIES, Pki
from idp.bankid.simulator.texts import TEXTS
from idp.bankid.simulator.validation import (
    AuthRequest,
    PhoneAuthRequest,
    Requirement,
    SignRequest,
    StartRequest,
    Web,
)
from tests.integration.bankid.simulator.conftest import ANNA, SimulatorClock

BACK = "https://login.example.se/login/bankid#nonce=7"


class Screen:
    """The phone page in a browser that follows redirects, and the orders behind it."""

    def __init__(self, pki: Pki, now: SimulatorClock) -> None:
        self.faults = Faults()
        self.orders = Orders(now=now, complete=lambda _order, _now: {}, people=PEOPLE, policies=POLICIES)
        self.rp_certificate = pki.rp_certificate
        self.browser: FlaskClient = phone.create_app(self.orders, self.faults).test_client()

    def start(self, request: StartRequest | None = None) -> Order:
        request = request or AuthRequest(endUserIp="192.0.2.1", returnUrl=BACK)
        return self.orders.create(request, self.rp_certificate)

    def see(self, path: str) -> html.HtmlElement:
        response = self.browser.get(path, follow_redirects=True)
        assert response.status_code == 200, path
        return html.fromstring(response.text)

    def do(self, order: Order, action: str, **form: str) -> html.HtmlElement:
        response = self.browser.post(f"/orders/{order.number}/{action}", data=form, follow_redirects=True)
        assert response.status_code == 200
        return html.fromstring(response.text)

    def launch(self, order: Order) -> html.HtmlElement:
        return self.see(f"/open?autostarttoken={order.auto_start_token}")

    def state(self, order: Order) -> tuple[str, str]:
        found = self.orders.get(order.number)
        return found.status, found.hint_code


@pytest.fixture
def screen(simulator_directory: Path, simulator_clock: SimulatorClock) -> Screen:
    return Screen(Pki.load(simulator_directory), simulator_clock)


def visible(page: html.HtmlElement) -> str:
    return re.sub(r"\s+", " ", page.text_content())


def links(page: html.HtmlElement) -> list[str]:
    return [str(link.get("href")) for link in page.iter("a")]


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("language", ["sv", "en"])
def test_every_page_says_that_it_is_a_simulator(screen: Screen, language: str) -> None:
    screen.start()
    for path in ("/", "/orders/1", "/faults", "/nowhere", "/orders/99"):
        page = screen.browser.get(f"{path}?lang={language}")
        assert TEXTS[language]["banner"] in page.text
        assert "SIMULATOR</title>" in page.text
        assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
        assert page.headers["Cache-Control"] == "no-store"
        assert " style=" not in page.text
        assert not re.search(r"<script>| on[a-z]+=", page.text)


def test_every_text_is_in_both_languages() -> None:
    assert TEXTS["sv"].keys() == TEXTS["en"].keys()


def test_the_language_is_remembered(screen: Screen) -> None:
    assert "Öppna ärenden" in visible(screen.see("/"))
    screen.see("/?lang=en")
    assert "Open orders" in visible(screen.see("/"))


def test_home_lists_persons_and_orders(screen: Screen) -> None:
    screen.start()
    screen.orders.cancel(screen.start().order_ref, screen.rp_certificate)
    page = screen.see("/")
    assert all(person.name in visible(page) for person in PEOPLE)
    assert {"/orders/1", "/orders/2"} <= set(links(page))
    assert "pågår · outstandingTransaction" in visible(page)
    assert "avbrutet" in visible(page)


def test_an_order_shows_who_asks_for_what(screen: Screen) -> None:
    request = AuthRequest(
        endUserIp="192.0.2.1",
        userVisibleData=encoded("Logga in hos Åkeriet\nvia Leasify"),
        web=Web(referringDomain="login.example.se"),
        requirement=Requirement(personalNumber=ANNA.personal_number),
    )
    page = screen.launch(screen.start(request))
    text = visible(page)
    for shown in (
        "Jag identifierar mig hos Test av BankID (SIMULATOR)",
        "Logga in hos Åkeriet",
        "login.example.se",
        "192.0.2.1",
        "Bara för18900101-9802",
    ):
        assert shown in text
    buttons = [button.get("value") for button in page.iter("button") if button.get("name") == "person"]
    assert buttons == [ANNA.personal_number]


@pytest.mark.parametrize("text_format", ["plaintext", "simpleMarkdownV1", None])
def test_the_text_is_never_html(screen: Screen, text_format: Any) -> None:
    text = "# <b>x</b>\n*<script>alert(1)</script>*\n| <i>1</i> | &amp; |\n- <u>2</u>\n\ue03ci\ue03e"
    order = screen.start(
        SignRequest(endUserIp="192.0.2.1", userVisibleData=encoded(text), userVisibleDataFormat=text_format)
    )
    shown = screen.see(f"/orders/{order.number}").get_element_by_id("visible-text")
    names = {element.tag for element in shown.iter()}
    assert names <= {"div", "p", "br", "h3", "strong", "table", "tr", "td", "ul", "li"}
    for written in ("<b>x</b>", "<script>alert(1)</script>", "<i>1</i>", "&amp;", "<u>2</u>"):
        assert written in shown.text_content()


def test_formatting_is_shown(screen: Screen) -> None:
    text = "# Avtal\nJag *godkänner* det\noch \\*inget\\* mer.\n\n+ ett\n- två\n---\n|a|b|\n|---|---|\n|1|2|"
    order = screen.start(
        SignRequest(
            endUserIp="192.0.2.1",
            userVisibleData=encoded(text),
            userVisibleDataFormat="simpleMarkdownV1",
        )
    )
    shown = screen.see(f"/orders/{order.number}").get_element_by_id("visible-text")
    content = "".join(html.tostring(part, encoding="unicode").strip() for part in shown)
    assert content == (
        "<h3>Avtal</h3><p>Jag <strong>godkänner</strong> det<br>och *inget* mer.</p>"
        "<ul><li>ett</li><li>två</li></ul><hr>"
        "<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>"
    )


def test_a_launch_link_opens_the_app_and_leads_back(screen: Screen) -> None:
    order = screen.start()
    screen.launch(order)
    assert screen.state(order) == ("pending", "started")
    screen.do(order, "open", person=ANNA.personal_number)
    assert screen.state(order) == ("pending", "userSign")
    page = screen.do(order, "approve", code="123456")
    assert screen.state(order)[0] == "complete"
    assert page.get_element_by_id("return").get("href") == BACK


def test_a_launch_link_works_once(screen: Screen) -> None:
    order = screen.start()
    screen.launch(order)
    page = screen.launch(order)
    assert TEXTS["sv"]["problem_already_used"] in visible(page)
    assert screen.state(order) == ("pending", "started")


@pytest.mark.parametrize("url", ["javascript:alert(1)", " javascript:alert(1)", "data:text/html,x", "//x.se"])
def test_only_addresses_become_links(screen: Screen, url: str) -> None:
    order = screen.start(AuthRequest(endUserIp="192.0.2.1", returnUrl=url))
    screen.launch(order)
    page = screen.do(order, "cancel")
    assert url.strip() in visible(page)
    assert not any(link.strip().startswith(("javascript:", "data:", "//")) for link in links(page))


def test_a_scanned_order_leads_nowhere(screen: Screen) -> None:
    order = screen.start()
    screen.do(order, "open", person=ANNA.personal_number)
    page = screen.do(order, "approve", code="123456")
    assert screen.state(order)[0] == "complete"
    assert BACK not in links(page)


def test_a_qr_text_or_launch_link_can_be_pasted(screen: Screen, simulator_clock: SimulatorClock) -> None:
    form = {"person": ANNA.personal_number, "kind": "mobile"}
    order = screen.start()
    simulator_clock.wait(4)
    stale = screen.browser.post("/read", data=form | {"text": order.qr(1)}, follow_redirects=True)
    assert TEXTS["sv"]["problem_stale_code"] in stale.text
    fresh = screen.browser.post("/read", data=form | {"text": order.qr(4)})
    assert fresh.headers["Location"] == f"/orders/{order.number}"
    link = f"bankid:///?autostarttoken={screen.start().auto_start_token}&redirect=null"
    assert screen.browser.post("/read", data=form | {"text": link}).headers["Location"] == "/orders/2"


def test_three_wrong_codes_end_the_order(screen: Screen) -> None:
    order = screen.start()
    screen.do(order, "open", person=ANNA.personal_number)
    page = screen.do(order, "approve", code="000000")
    assert "Fel säkerhetskod: 1 av 3." in visible(page)
    screen.do(order, "approve", code="000000")
    assert screen.state(order) == ("pending", "userSign")
    page = screen.do(order, "approve", code="000000")
    assert screen.state(order) == ("failed", "certificateErr")
    assert "certificateErr" in visible(page)


def test_a_code_of_other_length_is_told(screen: Screen) -> None:
    order = screen.start()
    screen.do(order, "open", person=ANNA.personal_number)
    page = screen.do(order, "approve", code="12345")
    assert TEXTS["sv"]["problem_bad_code"] in visible(page)
    assert screen.state(order) == ("pending", "userSign")


@pytest.mark.parametrize(
    ("action", "form", "state"),
    [
        ("cancel", {}, ("failed", "userCancel")),
        ("fail", {"hint_code": "stepUpFailed"}, ("failed", "stepUpFailed")),
        ("step", {"hint_code": "userFace"}, ("pending", "userFace")),
    ],
)
def test_other_actions_of_a_person(screen: Screen, action: str, form: Any, state: tuple[str, str]) -> None:
    order = screen.start()
    screen.do(order, "open", person=ANNA.personal_number)
    screen.do(order, action, **form)
    assert screen.state(order) == state


def test_a_document_is_read_first(screen: Screen) -> None:
    order = screen.start(AuthRequest(endUserIp="192.0.2.1", requirement=Requirement(mrtd=True)))
    page = screen.do(order, "open", person=ANNA.personal_number)
    assert TEXTS["sv"]["mrtd_question"] in visible(page)
    screen.do(order, "mrtd", passed="no")
    assert screen.orders.get(order.number).mrtd is False
    assert screen.state(order) == ("pending", "userSign")


def test_a_call_is_answered_and_confirmed(screen: Screen) -> None:
    call = PhoneAuthRequest(personalNumber=ANNA.personal_number, callInitiator="RP")
    order = screen.start(call)
    assert "Svara som Anna Åkesson" in visible(screen.see(f"/orders/{order.number}"))
    assert TEXTS["sv"]["call_question"] in visible(screen.do(order, "answer"))
    screen.do(order, "confirm")
    assert screen.state(order) == ("pending", "userSign")


def test_an_action_that_is_impossible_now_is_explained(screen: Screen) -> None:
    order = screen.start()
    assert TEXTS["sv"]["problem_not_now"] in visible(screen.do(order, "approve", code="123456"))
    screen.orders.cancel(order.order_ref, screen.rp_certificate)
    assert TEXTS["sv"]["problem_ended"] in visible(screen.do(order, "cancel"))


def test_faults_are_switched_on_the_page(screen: Screen) -> None:
    form = {"fault": "http=503", "count": "forever", "call": "collect"}
    screen.browser.post("/faults", data=form)
    (switch,) = screen.faults.active()
    assert (switch.fault, switch.value, switch.left, switch.call) == ("http", "503", None, "collect")
    assert "503" in visible(screen.see("/faults"))
    for change in ({"fault": "http=418"}, {"fault": "fire"}, {"count": "x"}, {"call": "x"}):
        assert screen.browser.post("/faults", data=form | change).status_code == 400
    screen.browser.post("/faults", data={"reset": "yes"})
    assert screen.faults.active() == []


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}],
)
def test_another_sites_page_cannot_play_the_person(screen: Screen, headers: dict[str, str]) -> None:
    order = screen.start()
    screen.launch(order)
    url, form = f"/orders/{order.number}/open", {"person": ANNA.personal_number}
    assert screen.browser.post(url, data=form, headers=headers).status_code == 403
    assert screen.state(order) == ("pending", "started")
    own = {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}
    assert screen.browser.post(url, data=form, headers=own).status_code == 303
    assert screen.state(order) == ("pending", "userSign")


def test_the_http_calls_take_json_alone(screen: Screen) -> None:
    order = screen.start()
    body = {"personal_number": ANNA.personal_number, "autostart_token": order.auto_start_token}
    refused = screen.browser.post("/api/open", data=body)
    assert (refused.status_code, refused.json["error"] if refused.json else None) == (415, "bad_call")
    assert screen.browser.post("/api/open", json=body).status_code == 200


def test_the_http_calls_list_persons_and_orders(screen: Screen) -> None:
    screen.launch(screen.start())
    people = screen.browser.get("/api/people").json
    assert people is not None
    assert people[0] == {"personal_number": ANNA.personal_number, "name": ANNA.name}
    (order,) = screen.browser.get("/api/orders").json or []
    assert (order["order"], order["hint_code"], order["return_url"]) == (1, "started", BACK)
    chosen = screen.browser.post("/api/choose", json={"order": 1, "personal_number": ANNA.personal_number})
    assert chosen.json is not None
    assert chosen.json["hint_code"] == "userSign"


@pytest.mark.parametrize(
    "path", ["/orders/99", "/orders/x", "/nowhere", "/static/../phone.py", "/orders/1/fly"]
)
def test_an_unknown_path_is_not_found(screen: Screen, path: str) -> None:
    screen.start()
    method = "POST" if path.endswith("fly") else "GET"
    assert screen.browser.open(path, method=method).status_code == 404
