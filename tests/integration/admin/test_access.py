"""Only a company's administrators see and change its users, on every page and for every id."""

from uuid import uuid4

import pytest
from flask import Flask
from time_machine import Traveller

from idp.clock import utcnow
from idp.db import db
from idp.login.models import Interaction
from idp.users import accounts
from idp.users.models import User
from tests.factories import PASSWORD
from tests.fakes.relying_party import HTTPS
from tests.integration.admin.conftest import ADMIN, COLLEAGUE, Company, Person, fields_of, stored

GETS = ["", "/disable", "/unlink"]
POSTS = ["", "/disable", "/enable", "/unlink", "/welcome"]
DETAILS = {
    "name": "Ändrad",
    "title": "",
    "email": "x@example.se",
    "phone": "",
    "locale": "sv",
    "role": "user",
}


@pytest.mark.parametrize("who", ["stranger", "nobody", "no id"])
def test_other_companies_users_are_not_found(app: Flask, admin: Person, company: Company, who: str) -> None:
    user_id = {"stranger": company.stranger, "nobody": str(uuid4()), "no id": "1 OR 1=1"}[who]
    before = stored(app, company.stranger)
    for path in GETS:
        assert admin.get(f"/admin/users/{user_id}{path}").status_code == 404
    for path in POSTS:
        assert admin.post(f"/admin/users/{user_id}{path}", version=0, **DETAILS).status_code == 404
    assert stored(app, company.stranger) == before


def test_a_plain_user_finds_no_such_pages(app: Flask, company: Company) -> None:
    anna = Person(app, app.test_client()).log_in(COLLEAGUE)
    for path in ["/admin/users", "/admin/users/new", *(f"/admin/users/{company.admin}{end}" for end in GETS)]:
        assert anna.get(path).status_code == 404
    for path in ["/admin/users/new", *(f"/admin/users/{company.colleague}{end}" for end in POSTS)]:
        assert anna.post(path, version=0, **{**DETAILS, "role": "company_admin"}).status_code == 404
    assert stored(app, company.colleague)["role"] == "user"


@pytest.mark.parametrize(
    "ending", ["", "?q=%C3%A5s%C3%A9n&page=1", "/new", "/{colleague}", "/{colleague}/disable"]
)
def test_a_logged_out_administrator_logs_in_and_comes_back(app: Flask, company: Company, ending: str) -> None:
    path = "/admin/users" + ending.format(colleague=company.colleague)
    person = Person(app, app.test_client())
    login_page = person.follow(person.get(path))
    assert 'id="login-form"' in login_page.text
    answer = person.post(login_page.request.path, email=ADMIN, password=PASSWORD)
    page = person.follow(answer)
    assert page.status_code == 200
    assert page.request.full_path.rstrip("?") == path


def test_posts_without_a_login_are_refused(app: Flask, company: Company) -> None:
    person = Person(app, app.test_client())
    assert person.post(f"/admin/users/{company.colleague}/enable").status_code == 401


@pytest.mark.parametrize(
    ("path", "back"),
    [("{0}/enable", "{0}"), ("{0}/disable", "{0}/disable"), ("{0}/welcome", "{0}"), ("new", "new")],
)
def test_a_refused_post_says_where_to_log_in(app: Flask, company: Company, path: str, back: str) -> None:
    person = Person(app, app.test_client())
    refused = person.post("/admin/users/" + path.format(company.colleague))
    where = "/admin/users/" + back.format(company.colleague)
    assert f'<a class="button primary" href="{where}">Logga in</a>' in refused.text
    answer = person.follow(person.get(where))
    page = person.follow(person.post(answer.request.path, email=ADMIN, password=PASSWORD))
    assert (page.status_code, page.request.path) == (200, where)


@pytest.mark.parametrize("ending", ["new", "{0}"])
def test_a_form_is_kept_when_the_login_has_ended(
    app: Flask, admin: Person, company: Company, clock: Traveller, ending: str
) -> None:
    fields = admin.filled(company.colleague, name="Nils Ny", email="nils@example.se")
    clock.shift(61 * 60)
    path = "/admin/users/" + ending.format(company.colleague)
    login_page = admin.follow(admin.post(path, **fields))
    foreign = admin.post(login_page.request.path, email="cesar@example.se", password=PASSWORD)
    assert foreign.status_code == 403, "it is for the one who filled it in"
    page = admin.follow(admin.post(login_page.request.path, email=ADMIN, password=PASSWORD))
    assert 'id="admin-resumed"' in page.text
    assert fields_of(page)["name"] == "Nils Ny"
    assert stored(app, company.colleague)["name"] == "Anna Åsén"
    assert admin.post(path, **fields_of(page)).status_code == 303


@pytest.mark.parametrize(
    "ending", ["/new", "/{0}", "/{0}/disable", "/{0}/enable", "/{0}/unlink", "/{0}/welcome"]
)
def test_a_forged_post_changes_nothing(app: Flask, admin: Person, company: Company, ending: str) -> None:
    before = stored(app, company.colleague)
    path = "/admin/users" + ending.format(company.colleague)
    assert admin.browser.post(path, data={**DETAILS, "version": "0"}, **HTTPS).status_code == 400
    assert stored(app, company.colleague) == before


@pytest.mark.parametrize("path", ["", "/disable", "/enable", "/unlink", "/welcome"])
def test_posts_are_taken_only_where_something_happens(admin: Person, company: Company, path: str) -> None:
    response = admin.get(f"/admin/users/{company.colleague}{path}")
    expected = {"": 200, "/disable": 200, "/unlink": 303, "/enable": 405, "/welcome": 405}
    assert response.status_code == expected[path]


@pytest.mark.parametrize("path", ["/disable", "/enable", "/unlink", "/welcome"])
def test_administrators_cannot_act_on_themselves(
    app: Flask, admin: Person, company: Company, path: str
) -> None:
    before = stored(app, company.admin)
    assert admin.post(f"/admin/users/{company.admin}{path}").status_code == 404
    assert stored(app, company.admin) == before


def test_an_administrator_keeps_own_address_and_role(app: Flask, admin: Person, company: Company) -> None:
    fields = {"version": 0, **DETAILS, "name": "Berit Ny"}
    assert admin.post(f"/admin/users/{company.admin}", **fields).status_code == 303
    after = stored(app, company.admin)
    assert (after["name"], after["email"], after["role"]) == ("Berit Ny", ADMIN, "company_admin")


def test_an_administrator_disabled_in_the_middle(app: Flask, admin: Person, company: Company) -> None:
    fields = admin.filled(company.colleague, name="Ändrad")
    with app.app_context():
        found = accounts.find_by_email(ADMIN)
        assert found is not None
        accounts.disable(found.id, now=utcnow())
    assert admin.post(f"/admin/users/{company.colleague}", **fields).status_code == 401
    assert stored(app, company.colleague)["name"] == "Anna Åsén"


def test_an_administrator_demoted_in_the_middle(app: Flask, admin: Person, company: Company) -> None:
    fields = admin.filled(company.colleague, name="Ändrad")
    with app.app_context():
        found = accounts.find_by_email(ADMIN)
        assert found is not None
        db.session.get_one(User, found.id).role = "user"
        db.session.commit()
    assert admin.post(f"/admin/users/{company.colleague}", **fields).status_code == 404
    assert stored(app, company.colleague)["name"] == "Anna Åsén"


def test_another_persons_kept_form_is_not_shown(
    app: Flask, admin: Person, company: Company, clock: object
) -> None:
    clock.shift(16 * 60)  # type: ignore[attr-defined]
    admin.save(company.colleague, email="ny@example.se")
    with app.app_context():
        uid = db.session.query(Interaction.uid).order_by(Interaction.created_at.desc()).limit(1).scalar()
    foreign = Person(app, app.test_client()).log_in("cesar@example.se")
    assert foreign.get(f"/admin/resume/{uid}").location == "/admin/users"
    assert admin.get(f"/admin/resume/{uid}").location == f"/login/{uid}", "not before the new login"
    assert admin.get("/admin/resume/unknown").location == "/admin/users"
