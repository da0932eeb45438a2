"""Administrators' changes of access need a recent login."""

import pytest
from flask import Flask
from time_machine import Traveller

from idp.users.accounts import find_by_email
from tests.factories import PASSWORD
from tests.integration.admin.conftest import ADMIN, NEW, Company, Person, stored


@pytest.mark.parametrize("changes", [{"email": "ny@example.se"}, {"role": "company_admin"}])
def test_changes_of_access_need_a_recent_login(
    app: Flask, admin: Person, company: Company, clock: Traveller, changes: dict[str, str]
) -> None:
    before = stored(app, company.colleague)
    clock.shift(16 * 60)
    login_page = admin.follow(admin.save(company.colleague, name="Anna Ny", **changes))
    assert 'id="login-form"' in login_page.text
    assert stored(app, company.colleague) == before
    page = admin.follow(admin.post(login_page.request.path, email=ADMIN, password=PASSWORD))
    assert 'id="admin-resumed"' in page.text
    assert "Anna Ny" in page.text
    assert stored(app, company.colleague) == before, "saved by the person, not by coming back"
    fields = {**admin.filled(company.colleague), "name": "Anna Ny", **changes}
    assert admin.post(f"/admin/users/{company.colleague}", **fields).status_code == 303
    assert stored(app, company.colleague)["name"] == "Anna Ny"


@pytest.mark.parametrize("action", ["disable", "unlink"])
def test_disabling_and_unlinking_need_a_recent_login(
    app: Flask, admin: Person, company: Company, clock: Traveller, action: str
) -> None:
    clock.shift(16 * 60)
    path = f"/admin/users/{company.colleague}/{action}"
    for response in (admin.get(path), admin.post(path)):
        assert 'id="login-form"' in admin.follow(response).text
    assert stored(app, company.colleague)["status"] == "active"


def test_a_new_administrator_needs_a_recent_login(app: Flask, admin: Person, clock: Traveller) -> None:
    clock.shift(16 * 60)
    login_page = admin.follow(admin.post("/admin/users/new", **{**NEW, "role": "company_admin"}))
    assert 'id="login-form"' in login_page.text
    page = admin.follow(admin.post(login_page.request.path, email=ADMIN, password=PASSWORD))
    assert "nils@example.se" in page.text
    with app.app_context():
        assert find_by_email("nils@example.se") is None


def test_other_details_need_no_recent_login(
    app: Flask, admin: Person, company: Company, clock: Traveller
) -> None:
    clock.shift(16 * 60)
    assert admin.save(company.colleague, name="Anna Ny").location == f"/admin/users/{company.colleague}"
    assert stored(app, company.colleague)["name"] == "Anna Ny"
