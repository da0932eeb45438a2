"""`idp users import` takes a file of people whole, or its good lines alone."""

import difflib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import sqlalchemy as sa
from flask import Flask
from passlib.hash import pbkdf2_sha512

from idp import audit
from idp.db import db
from idp.users import accounts, import_file, importing
from idp.users.models import Company, User
from tests.conftest import DATABASES
from tests.factories import PASSWORD, make_company, make_user
from tests.fakes.outbox import queued
from tests.fakes.relying_party import RelyingParty

Run = Callable[..., Any]
Import = Callable[..., Any]
BCRYPT = bcrypt.hashpw(PASSWORD.encode(), b"$2b$04$abcdefghijklmnopqrstuu").decode().replace("$2b$", "$2y$")
LONG_HASH = pbkdf2_sha512.using(rounds=1, salt_size=200).hash("any")  # PostgreSQL would refuse the whole file
HEADER = "email,name,company"
GOOD = "anna@example.se,Anna Åsén,Exempel AB"


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/idp.sqlite3"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def load(app: Flask, run: Run, tmp_path: Path) -> Import:
    """Import a file of these lines into a database with Exempel AB; gives click's result."""
    with app.app_context():
        make_company()

    def imported(*lines: str, options: tuple[str, ...] = (), data: bytes | None = None) -> Any:
        file = tmp_path / "people.csv"
        file.write_bytes("\r\n".join(lines).encode() if data is None else data)
        return run("users", "import", str(file), *options)

    return imported


def said(result: Any) -> str:
    assert result.exit_code == 0, result.output
    return str(result.stdout).strip()


def refused(result: Any) -> list[str]:
    """The problems told, when nothing was changed: the lines', or the whole file's."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stdout == ""
    told = [line.removeprefix("error: ") for line in result.stderr.splitlines() if line.startswith("error: ")]
    return [line for line in told if not line.startswith("nothing was changed")]


def emails(app: Flask) -> list[str]:
    with app.app_context():
        return list(db.session.scalars(sa.select(User.email).order_by(User.email_key)))


def one(app: Flask, email: str = "anna@example.se") -> User:
    with app.app_context():
        user = accounts.find_by_email(email)
        assert user is not None
        return user


def test_people_move_in_with_their_passwords(app: Flask, load: Import, rp: RelyingParty) -> None:
    header = "email;name;company;title;phone;locale;role;password_hash;email_verified"
    row = f"Anna@Example.se;Anna Åsén;Exempel AB;VD;070-303 22 03;en;company_admin;{BCRYPT};ja"
    told = said(load(header, row, "bo@example.se;Bo;Exempel AB;;;;;;"))
    assert told == "added 2 users of 2 lines; 1 welcome mails"
    anna = one(app)
    assert (anna.email, anna.name, anna.company.name, anna.title) == (
        "Anna@example.se",
        "Anna Åsén",
        "Exempel AB",
        "VD",
    )
    assert (anna.phone, anna.locale, anna.role) == ("+46703032203", "en", "company_admin")
    assert anna.email_verified_at is not None
    bo = one(app, "bo@example.se")
    assert (bo.title, bo.phone, bo.locale, bo.role, bo.password_hash, bo.email_verified_at) == (
        *(None, None, "sv", "user", None, None),
    )
    assert (bo.notices, bo.status) == (True, "active")
    assert "code" in rp.answer(rp.log_in(email="anna@example.se"))
    with app.app_context():
        created = audit.newest(10, event="user.created")
        assert {row.user_id for row in created} == {anna.id, bo.id}
        assert {(row.actor, row.detail["by"]) for row in created} == {("operator", "import")}


@pytest.mark.parametrize(
    ("options", "welcomed"),
    [
        ((), ["bo@example.se"]),
        (("--welcome",), ["anna@example.se", "bo@example.se"]),
        (("--no-welcome",), []),
    ],
)
def test_the_people_who_are_welcomed(
    app: Flask, load: Import, options: tuple[str, ...], welcomed: list[str]
) -> None:
    lines = (f"{HEADER},password_hash", f"{GOOD},{BCRYPT}", "bo@example.se,Bo,Exempel AB,")
    facts = json.loads(said(load(*lines, options=(*options, "--json"))))
    assert facts["welcomed"] == len(welcomed)
    assert (
        sorted(str(mail["To"]).rpartition("<")[2].strip("<>") for mail in queued(app, "welcome")) == welcomed
    )


@pytest.mark.parametrize(
    "data",
    [
        "﻿email;name;company\r\nanna@example.se;Anna;Exempel AB\r\n",
        "email,name,company\nanna@example.se,Anna,Exempel AB",
        "\r\n".join(["Email , NAME,Company,,", "anna@example.se, Anna ,Exempel  AB,,,", "", ",,", " , "]),
        'name,company,email,title\nAnna,"Exempel AB",anna@example.se\n',
        'company,email,title,name\n"Exempel\nAB",anna@example.se,,"Anna"\n',
    ],
)
def test_files_as_spreadsheets_write_them(app: Flask, load: Import, data: str) -> None:
    assert said(load(data=data.encode())).startswith("added 1 users of 1 lines")
    assert one(app).name == "Anna"


def test_a_file_from_standard_input(app: Flask, load: Import, run: Run) -> None:
    said(run("users", "import", "-", stdin=f"{HEADER}\n{GOOD}\n"))
    assert emails(app) == ["anna@example.se"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "the file is empty: its first line must name the columns"),
        (b"email,name,company\n", "the file has no line below the column names"),
        (b"email,name,company\n\n,,\n", "the file has no line below the column names"),
        (b"email,name,compny\na@b.se,A,B\n", "line 1: unknown column 'compny': did you mean company?"),
        (b"email,name,company,xyzzy\n", "line 1: unknown column 'xyzzy': the columns are email, name"),
        (b"email,name,company,name\n", "line 1: the column name appears 2 times"),
        (b"email,name\na@b.se,A\n", "line 1: the column company is missing"),
        (b"email,name,company\na@b.se,J\xf6rgen,B\n", "line 2: not UTF-8: save the file as 'CSV UTF-8'"),
        ("email,name,company\n".encode("utf-16"), "the file is UTF-16: save it as 'CSV UTF-8'"),
        (b'email,name,company\na@b.se,A,B\nb@b.se,"B,C\n', "line 3: not CSV from here on"),
        (b'email,name,company\na@b.se,"A"x,B\n', "line 2: not CSV from here on"),
        (b"email,name,company\na@b.se," + b"x" * 200_000, "line 2: not CSV from here on"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--partial",)])
def test_a_file_that_cannot_be_read(
    app: Flask, load: Import, data: bytes, problem: str, options: tuple[str, ...]
) -> None:
    told = refused(load(data=data, options=options))
    assert any(line.startswith(problem) for line in told), told
    assert emails(app) == []


@pytest.mark.parametrize(
    ("column", "value", "problem"),
    [
        ("email", "", "e-mail address '': "),
        ("email", "anna@", "e-mail address 'anna@': "),
        ("email", "anna@ex\x00ample.se", "e-mail address "),
        ("name", "", "name is empty"),
        ("name", "x" * 201, "name is longer than 200 characters"),
        ("name", "Anna\x07", "name contains control characters"),
        ("company", "", "company is empty"),
        ("company", "Exempl AB", "there is no company 'Exempl AB': did you mean 'Exempel AB'?"),
        ("company", "EXEMPEL AB", "there is no company 'EXEMPEL AB': did you mean 'Exempel AB'?"),
        ("company", "Okänt", "there is no company 'Okänt': add it, or give --create-companies"),
        ("title", "x" * 201, "title is longer than 200 characters"),
        ("phone", "ring mig", "phone 'ring mig': "),
        ("phone", "070", "phone '070': "),
        ("locale", "de", "locale 'de': must be sv or en"),
        ("role", "company-admin", "role 'company-admin': did you mean company_admin?"),
        ("role", "king", "role 'king': must be user or company_admin"),
        ("email_verified", "kanske", "email_verified 'kanske': must be yes or no"),
        ("password_hash", "hemligt-0815", "password_hash is not of a kind that can be checked: use bcrypt"),
        ("password_hash", "$6$salt$" + "a" * 86, "password_hash is of a kind (SHA-512-crypt) that cannot"),
        ("password_hash", "5f4dcc3b5aa765d61d8327deb882cf99", "password_hash is of a kind (MD5) that cannot"),
        ("password_hash", BCRYPT[:-1], "password_hash is cut off or damaged (bcrypt)"),
        ("password_hash", LONG_HASH, "password_hash is longer than 255 characters"),
        ("password_hash", BCRYPT.replace("$04$", "$31$"), "password_hash would take too long to check"),
    ],
)
def test_a_bad_value_is_explained_with_its_line_and_changes_nothing(
    app: Flask, load: Import, column: str, value: str, problem: str
) -> None:
    facts = dict.fromkeys(import_file.COLUMNS, "")
    facts |= {"email": "bo@example.se", "name": "Bo", "company": "Exempel AB"}
    good = ",".join(facts.values())
    facts[column] = value
    bad = ",".join(facts.values()).replace("bo@", "cilla@")
    lines = (",".join(facts), good, bad)
    (told,) = refused(load(*lines))
    assert told.startswith(f"line 3: {problem}")
    assert emails(app) == []
    if column == "password_hash":
        assert value not in told
    result = load(*lines, options=("--partial",))
    assert result.exit_code == 1
    assert result.stdout.startswith("added 1 users of 2 lines, 1 bad lines left out")
    assert f"error: {told}" in result.stderr.splitlines()
    assert emails(app) == ["bo@example.se"]
    assert len(queued(app)) == 1


def test_every_bad_line_is_told_with_all_its_problems(app: Flask, load: Import) -> None:
    told = refused(load(HEADER, "anna,,Okänt", GOOD, "", "bo@example.se,Bo,Exempel AB,x", '"cilla","C\nC",'))
    assert [line.partition(":")[0] for line in told] == ["line 2", "line 5", "line 6"]
    assert all(
        problem in told[0] for problem in ("e-mail address 'anna'", "name is empty", "no company 'Okänt'")
    )
    assert told[1] == "line 5: has 4 values for 3 columns"
    assert emails(app) == []


def test_addresses_twice_in_the_file_or_there_already(app: Flask, load: Import) -> None:
    with app.app_context():
        make_user(email="bo@example.se")
    lines = (HEADER, GOOD, "ANNA@Example.SE,A,Exempel AB", "Bo@example.se,B,Exempel AB", GOOD)
    told = refused(load(*lines))
    assert told == [
        "line 3: has the same address as line 2",
        "line 4: there is already a user with the address Bo@example.se",
        "line 5: has the same address as line 2",
    ]
    assert load(*lines, options=("--partial",)).exit_code == 1
    assert emails(app) == ["anna@example.se", "bo@example.se"]
    assert len(refused(load(*lines))) == 4, "a second time, all are there"


def test_companies_come_along_when_asked(app: Flask, load: Import) -> None:
    lines = (HEADER, GOOD, "bo@ny.se,Bo,Ny & Söner", "cilla@ny.se,Cilla,Ny & Söner", "d@x.se,,Onödig AB")
    assert len(refused(load(*lines, options=("--create-companies",)))) == 1
    assert load(*lines, options=("--create-companies", "--partial")).exit_code == 1
    with app.app_context():
        assert sorted(db.session.scalars(sa.select(Company.name))) == ["Exempel AB", "Ny & Söner"]
        created = audit.newest(9, event="company.created")
        assert [row.detail["company"] for row in created] == ["Ny & Söner", "Exempel AB"]
    (told,) = refused(load(HEADER, "e@ny.se,E,NY & söner", options=("--create-companies",)))
    assert "did you mean 'Ny & Söner'?" in told


def test_names_like_an_unknown_company_are_looked_for_once(
    load: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "MAX_SEARCHED", 2)
    asked: list[str] = []
    look = difflib.get_close_matches
    monkeypatch.setattr(
        difflib, "get_close_matches", lambda name, *rest: asked.append(name) or look(name, *rest)
    )
    names = ("Exempl AB", "Okänt", "Exempl AB", "Exemple AB", "Exempl AB")
    told = refused(load(HEADER, *(f"a{turn}@example.se,A,{name}" for turn, name in enumerate(names))))
    assert asked == ["Exempl AB", "Okänt"]
    near, add = "did you mean 'Exempel AB'?", "add it, or give --create-companies"
    assert [line.rpartition(": ")[2] for line in told] == [near, add, near, add, near]


def test_a_dry_run_changes_nothing(app: Flask, load: Import) -> None:
    told = said(load(HEADER, GOOD, "bo@ny.se,Bo,Ny AB", options=("--dry-run", "--create-companies")))
    assert told == "would add 2 users of 2 lines, 1 new companies; 2 welcome mails"
    assert emails(app) == []
    assert queued(app) == []


def test_the_outcome_for_scripts(load: Import) -> None:
    result = load(HEADER, GOOD, "x,Bo,Exempel AB", options=("--json", "--partial"))
    assert result.exit_code == 1
    facts = json.loads(result.stdout)
    assert (facts["lines"], facts["added"], facts["welcomed"], facts["dry_run"]) == (2, 1, 1, False)
    assert [line["line"] for line in facts["bad"]] == [3]


def test_an_address_added_meanwhile_undoes_the_import(
    app: Flask, load: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    with app.app_context():
        make_user()
    monkeypatch.setattr(importing, "_taken", lambda keys: set())
    lines = [HEADER, *(f"a{number}@example.se,A,Exempel AB" for number in range(importing.BATCH)), GOOD]
    (told,) = [line for line in load(*lines).stderr.splitlines() if line.startswith("error")]
    assert "of this file meanwhile: nothing was changed" in told
    assert emails(app) == ["anna@example.se"]
    assert queued(app) == []


def test_many_batches_and_progress(app: Flask, load: Import, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "BATCH", 2)
    monkeypatch.setattr("idp.commands.importing.TELL_EVERY", 2)
    result = load(HEADER, *(f"a{number}@example.se,A,Exempel AB" for number in range(5)))
    assert said(result) == "added 5 users of 5 lines; 5 welcome mails"
    assert [line for line in result.stderr.splitlines() if not line.startswith("{")] == [
        *("checked 2 of 5", "checked 4 of 5", "checked 5 of 5"),
        *("added 2 of 5", "added 4 of 5", "added 5 of 5"),
    ]
    assert len(emails(app)) == 5
