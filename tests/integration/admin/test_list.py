"""The list of a company's users: whom it shows, in what order, and what can be found in it."""

import re
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from idp.clock import utcnow
from idp.users import service as users
from idp.users.models import Role
from tests.factories import make_user
from tests.fakes.statements import Statements
from tests.integration.admin.conftest import Company, Person
from tests.integration.test_budget import reads_and_writes


def names(page: TestResponse) -> list[str]:
    assert page.status_code == 200, page.text
    return re.findall(r'<th scope="row"><a href="[^"]*">([^<]*)</a>', page.text)


def add(app: Flask, **facts: Any) -> None:
    with app.app_context():
        make_user(password=None, **facts)


def test_own_company_only(admin: Person) -> None:
    page = admin.get("/admin/users")
    assert names(page) == ["Anna Åsén", "Berit Öst", "César Ek"]
    assert "annat.se" not in page.text
    assert page.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("ÅSÉN", ["Anna Åsén"]),
        ("åsén", ["Anna Åsén"]),
        ("öst", ["Berit Öst"]),
        ("cesar ek", ["César Ek"]),
        ("ek", ["Anna Åsén", "César Ek"]),  # her title is Ekonom
        ("EKONOM anna", ["Anna Åsén"]),
        ("BERIT@Example", ["Berit Öst"]),
        ("  anna   ", ["Anna Åsén"]),
        ("asen", []),
        ("sven", []),  # of the other company
        ("%", []),
        ("_", []),
        ("\\", []),
        ("/", []),
        ("'", []),
        ("<b>", []),
        ("an\0na", ["Anna Åsén"]),
        ("\ud800", []),
        ("x" * 5000, []),
    ],
)
def test_search(admin: Person, query: str, found: list[str]) -> None:
    page = admin.browser.get(
        "/admin/users",
        query_string={"q": query.encode("utf-8", "surrogatepass")},
        base_url="https://login.example.se",
    )
    assert names(page) == found
    assert ('id="user-none"' in page.text) == (not found)
    assert "<b>" not in page.text


def test_wildcards_are_found_as_they_are_written(app: Flask, admin: Person) -> None:
    add(app, email="a_b@example.se", name="Hundra 100% Åkare")
    for query in ("100%25", "a_b", "_"):
        assert names(admin.get(f"/admin/users?q={query}")) == ["Hundra 100% Åkare"]


def test_a_new_name_and_title_are_found(app: Flask, admin: Person, company: Company) -> None:
    admin.save(company.colleague, name="Örjan Ny", title="Ålfiskare")
    assert names(admin.get("/admin/users?q=ÅLFISKARE")) == ["Örjan Ny"]
    assert names(admin.get("/admin/users?q=anna ås")) == []


def test_swedish_order(app: Flask, admin: Person) -> None:
    for place, name in enumerate(["Örn", "Ärla", "Åsa", "zara", "Émile", "Eva"]):
        add(app, email=f"{place}@example.se", name=name)
    order = ["Anna Åsén", "Berit Öst", "César Ek", "Émile", "Eva", "zara", "Åsa", "Ärla", "Örn"]
    assert names(admin.get("/admin/users")) == order
    assert names(admin.get("/admin/users?order=desc")) == order[::-1]


def test_other_orders(app: Flask, admin: Person, company: Company) -> None:
    with app.app_context():
        users.disable(UUID(company.colleague), now=utcnow())
    assert names(admin.get("/admin/users?sort=email&order=desc"))[0] == "César Ek"
    assert names(admin.get("/admin/users?sort=login&order=desc"))[0] == "Berit Öst"
    assert names(admin.get("/admin/users?sort=login"))[-1] == "Berit Öst"
    assert names(admin.get("/admin/users?sort=status"))[-1] == "Anna Åsén"
    assert 'aria-sort="ascending"' in admin.get("/admin/users?sort=status").text


@pytest.mark.parametrize("query", ["sort=password_hash", "order=x", "page=0", "page=-1", "page=x", "page=²"])
def test_nonsense_is_as_if_not_said(admin: Person, query: str) -> None:
    assert names(admin.get(f"/admin/users?{query}")) == ["Anna Åsén", "Berit Öst", "César Ek"]


def test_paging_keeps_search_and_order(app: Flask, admin: Person) -> None:
    for number in range(57):
        add(app, email=f"{number:03}@example.se", name=f"Per {number:03}")
    page = admin.get("/admin/users?q=per&order=desc")
    assert "57 träffar" in page.text
    assert "Sida 1 av 3" in page.text
    assert 'rel="prev"' not in page.text
    seen = names(page)
    while (following := re.search(r'rel="next" href="([^"]*)"', page.text)) is not None:
        page = admin.get(following[1].replace("&amp;", "&"))
        seen += names(page)
    assert seen == [f"Per {number:03}" for number in reversed(range(57))]
    assert names(admin.get("/admin/users?q=per&page=999999")) == [f"Per {n:03}" for n in range(50, 57)]


def test_an_administrator_alone_is_told_how_to_go_on(app: Flask, company: Company) -> None:
    add_admin = {"email": "ensam@tredje.se", "name": "Ensam", "company": "Tredje AB"}
    with app.app_context():
        make_user(role=Role.COMPANY_ADMIN, **add_admin)
    page = Person(app, app.test_client()).log_in("ensam@tredje.se").get("/admin/users")
    assert 'id="user-alone"' in page.text


def test_a_page_asks_the_database_four_things(admin: Person, statements: Statements) -> None:
    admin.get("/admin/users")  # what a connection asks once
    _, sent = statements.of(lambda: admin.get("/admin/users?q=a&sort=login"))
    assert reads_and_writes(sent) == (4, 0), sent
