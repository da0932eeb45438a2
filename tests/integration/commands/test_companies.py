"""`idp companies` adds and lists companies."""

import json
from pathlib import Path

import pytest
from flask import Flask

from idp.users.models import Company
from tests.integration.commands.outcomes import Run, count, refused, said


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/idp.sqlite3"


@pytest.mark.parametrize("number", ["556677-8899", "5566778899", " 5566778899 "])
def test_companies_are_added_and_listed(app: Flask, run: Run, number: str) -> None:
    assert said(run("companies", "list")) == "no companies: add one with `idp companies add NAME`"
    assert json.loads(said(run("companies", "list", "--json"))) == []
    assert said(run("companies", "add", "Exempel  AB ", "--org-number", number)) == "added Exempel AB"
    said(run("companies", "add", "Övrigt & Söner"))
    assert json.loads(said(run("companies", "list", "--json"))) == [
        {"name": "Exempel AB", "org_number": "5566778899", "users": 0},
        {"name": "Övrigt & Söner", "org_number": None, "users": 0},
    ]
    table = said(run("companies", "list")).splitlines()
    assert table[0].split() == ["name", "org_number", "users"]
    assert table[1].split() == ["Exempel", "AB", "5566778899", "0"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["Exempel AB"], "there is already a company 'Exempel AB'"),
        ([""], "company name is empty"),
        (["  "], "company name is empty"),
        (["x" * 201], "company name is longer than 200 characters"),
        (["a\x07b"], "company name contains control characters"),
        (["a\udcffb"], "company name contains control characters"),
        (["Ny AB", "--org-number", "556677-8898"], "is not ten digits with a correct check digit"),
        (["Ny AB", "--org-number", "556677-889"], "is not ten digits"),
        (["Ny AB", "--org-number", ""], "is not ten digits"),
        (["Ny AB", "--org-number", "٥٥٦٦٧٧٨٨٩٩"], "is not ten digits"),
    ],
)
def test_a_bad_company_is_refused(
    app: Flask, run: Run, company: str, arguments: list[str], problem: str
) -> None:
    (told,) = refused(run("companies", "add", *arguments))
    assert problem in told
    assert count(app, Company) == 1
