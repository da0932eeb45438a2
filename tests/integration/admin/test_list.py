"""The list of a company's users is complete, ordered and searchable."""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from flask import Flask
from werkzeug.test import TestResponse

from idp.admin import listing
from idp.admin.listing import PAGE_SIZE, UserSearch
from idp.clock import utcnow
from idp.db import db
from idp.users import accounts
from idp.users.models import NEVER, Role, User
from tests.factories import make_user
from tests.fakes.statements import Statements
from tests.integration.admin.conftest import Company, Person
from tests.integration.db.test_budget import reads_and_writes

CROWD = 2017
KEYS = ("name_key", "title_key", "email_key")
SHOWN = ("id", "company_id", *KEYS, "status", "last_login_at")


def names(page: TestResponse) -> list[str]:
    assert page.status_code == 200, page.text
    return re.findall(r'<th scope="row"><a href="[^"]*">([^<]*)</a>', page.text)


def add(app: Flask, **facts: Any) -> None:
    with app.app_context():
        make_user(password=None, **facts)


def test_the_list_shows_the_own_company_only(admin: Person) -> None:
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
def test_a_search_finds_names_and_addresses(admin: Person, query: str, found: list[str]) -> None:
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


def test_names_are_sorted_in_swedish(app: Flask, admin: Person) -> None:
    for place, name in enumerate(["Örn", "Ärla", "Åsa", "zara", "Émile", "Eva"]):
        add(app, email=f"{place}@example.se", name=name)
    order = ["Anna Åsén", "Berit Öst", "César Ek", "Émile", "Eva", "zara", "Åsa", "Ärla", "Örn"]
    assert names(admin.get("/admin/users")) == order
    assert names(admin.get("/admin/users?order=desc")) == order[::-1]


def test_the_list_sorted_by_other_columns(app: Flask, admin: Person, company: Company) -> None:
    with app.app_context():
        accounts.disable(UUID(company.colleague), now=utcnow())
    assert names(admin.get("/admin/users?sort=email&order=desc"))[0] == "César Ek"
    assert names(admin.get("/admin/users?sort=login&order=desc"))[0] == "Berit Öst"
    assert names(admin.get("/admin/users?sort=login"))[-1] == "Berit Öst"
    assert names(admin.get("/admin/users?sort=status"))[-1] == "Anna Åsén"
    assert 'aria-sort="ascending"' in admin.get("/admin/users?sort=status").text


@pytest.mark.parametrize("query", ["sort=password_hash", "order=x", "page=0", "page=-1", "page=x", "page=²"])
def test_nonsense_parameters_are_ignored(admin: Person, query: str) -> None:
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


@pytest.fixture
def crowd(app: Flask, admin: Person) -> list[dict[str, Any]]:
    """Every user of the company as a row, so many that pages are far away; many are alike."""
    assert admin
    now = utcnow()
    with app.app_context():
        company_id = db.session.scalars(sa.select(User.company_id).where(User.name == "Anna Åsén")).one()
        rows = [
            {
                "id": uuid4(),
                "company_id": company_id,
                "email": f"p{number * 7919 % CROWD:04}@example.se",
                "email_key": f"p{number * 7919 % CROWD:04}@example.se",
                "name": f"Person {number * 31 % 400:03}",
                "title": "Chef_50%" if number % 97 == 0 else None,
                "status": "disabled" if number % 3 == 0 else "active",
                "last_login_at": now - timedelta(hours=number % 500 + 1) if number % 4 else NEVER,
                "created_at": now,
                "updated_at": now,
            }
            for number in range(CROWD)
        ]
        db.session.execute(sa.insert(User), rows)
        db.session.commit()
        found = db.session.scalars(sa.select(User).where(User.company_id == company_id))
        return [{name: getattr(one, name) for name in SHOWN} for one in found]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("name", ("name_key", "id")),
        ("email", ("email_key",)),
        ("login", ("last_login_at", "id")),
        ("status", ("status", "name_key", "id")),
    ],
)
def test_the_pages_of_a_crowd_hold_each_user_once_in_order(
    app: Flask, crowd: list[dict[str, Any]], sort: str, order: tuple[str, ...], descending: bool
) -> None:
    expected = sorted(crowd, key=lambda row: [row[column] for column in order], reverse=descending)
    company_id = crowd[0]["company_id"]
    with app.app_context():
        pages = [
            listing.find(company_id, UserSearch(sort=sort, descending=descending, page=page))
            for page in range(1, -(-len(crowd) // PAGE_SIZE) + 1)
        ]
    entries = [entry for page in pages for entry in page.users]
    assert [entry.id for entry in entries] == [row["id"] for row in expected]
    assert {(page.hits, page.pages) for page in pages} == {(len(crowd), len(pages))}
    logins = [entry.last_login_at or NEVER for entry in entries]
    assert logins == [row["last_login_at"] for row in expected]


def test_a_search_in_a_crowd(app: Flask, crowd: list[dict[str, Any]]) -> None:
    company_id = crowd[0]["company_id"]
    for query, words in {
        "PERSON 39": ("person", "39"),
        "f_50% person": ("f_50%", "person"),
        "f/50": ("f/50",),
        "p12 1 2 3": ("p12", "1", "2", "3"),
    }.items():
        text = {row["id"]: "\n".join(row[name] or "" for name in KEYS) for row in crowd}
        matching = [row for row in crowd if all(word in text[row["id"]] for word in words)]
        expected = [row["id"] for row in sorted(matching, key=lambda row: (row["name_key"], row["id"]))]
        with app.app_context():
            first = listing.find(company_id, UserSearch(query=query))
            last = listing.find(company_id, UserSearch(query=query, page=999))
        assert first.hits == last.hits == len(expected)
        assert [entry.id for entry in first.users] == expected[:PAGE_SIZE]
        assert [entry.id for entry in last.users] == expected[(last.page - 1) * PAGE_SIZE :]


@pytest.mark.parametrize("sort", listing.SORTS)
def test_no_page_of_a_crowd_sorts_it(app: Flask, crowd: list[dict[str, Any]], sort: str) -> None:
    """PostgreSQL walks an index that is in the wanted order."""
    with app.app_context():
        if db.engine.dialect.name != "postgresql":
            return
        page = listing._page(sort, False, 0).compile(db.engine)
        facts = page.params | {"company_id": crowd[0]["company_id"], "skipped": PAGE_SIZE}
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE users")
            plan = connection.exec_driver_sql(f"EXPLAIN {page}", facts).scalars().all()
    assert sum("Sort  (" in line for line in plan) == 1, plan  # of the page's own users


def test_a_login_is_noted_beside_the_person(app: Flask, admin: Person, company: Company) -> None:
    assert admin
    with app.app_context():
        noted = dict(db.session.execute(sa.select(User.id, User.last_login_at)).all())
    assert noted.pop(UUID(company.admin)) > utcnow() - timedelta(minutes=1)
    assert set(noted.values()) == {NEVER}


def test_a_page_takes_four_queries(admin: Person, statements: Statements) -> None:
    admin.get("/admin/users")  # what a connection asks once
    _, sent = statements.of(lambda: admin.get("/admin/users?q=a&sort=login"))
    assert reads_and_writes(sent) == (4, 0), sent
