"""`idp users` adds, lists and disables users, and refuses bad input."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import bcrypt
import pytest
from flask import Flask

from idp import audit
from idp.account import email_change
from idp.clock import utcnow
from idp.crypto import PersonalNumberKeys
from idp.db import db
from idp.extensions import SETTINGS
from idp.mail import Recipient
from idp.users import bankid_links
from idp.users.models import User
from idp.users.personal_number import PersonalNumber
from tests.factories import PASSWORD
from tests.fakes.relying_party import RelyingParty
from tests.integration.commands.outcomes import ANNA, Run, count, refused, said, user_of

BCRYPT = bcrypt.hashpw(PASSWORD.encode(), b"$2b$04$abcdefghijklmnopqrstuu").decode().replace("$2b$", "$2y$")
KEYS = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/idp.sqlite3"


@pytest.fixture
def users_table(app: Flask, company: str) -> Callable[[], int]:
    """The number of users there are, beside Exempel AB."""
    return lambda: count(app, User)


def test_a_user_is_added_with_a_password(app: Flask, run: Run, company: str, rp: RelyingParty) -> None:
    added = said(run(*ANNA, "--password-stdin", stdin=PASSWORD + "\n"))
    assert added == f"added anna@example.se ({user_of(app).id})"
    assert "code" in rp.answer(rp.log_in())
    with app.app_context():
        created = audit.newest(1, event="user.created")[0]
        assert (created.actor, created.address, str(created.user_id)) == (
            "operator",
            None,
            str(user_of(app).id),
        )


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_user_is_added_with_an_older_hash(
    app: Flask, run: Run, company: str, rp: RelyingParty, end: str
) -> None:
    said(run(*ANNA, "--password-hash-stdin", stdin=BCRYPT + end))
    assert user_of(app).password_hash == BCRYPT
    assert "code" in rp.answer(rp.log_in())


def test_every_fact_of_a_user_can_be_given(app: Flask, run: Run, company: str) -> None:
    facts = ["--title", "VD", "--role", "company_admin", "--locale", "en", "--email-verified"]
    facts += ["--phone", "070-303 22 03"]
    said(run(*ANNA, *facts))
    shown = json.loads(said(run("users", "show", "ANNA@example.se", "--json")))
    assert {name: shown[name] for name in ("email", "name", "company", "role", "status", "title")} == {
        "email": "anna@example.se",
        "name": "Anna Åsén",
        "company": "Exempel AB",
        "role": "company_admin",
        "status": "active",
        "title": "VD",
    }
    assert (shown["locale"], shown["password"], shown["phone"]) == ("en", "none", "+46703032203")
    assert (shown["email_pending"], shown["bankid"], shown["bankid_used"]) == (None, None, None)
    assert shown["email_verified"]
    assert [event["event"] for event in shown["events"]] == ["user.created"]
    text = said(run("users", "show", "anna@example.se"))
    assert "Anna Åsén" in text
    assert "user.created" in text


def test_users_are_listed(run: Run, company: str) -> None:
    assert said(run("users", "list")) == "no users: add one with `idp users add EMAIL`"
    said(run("companies", "add", "Annat AB"))
    said(run(*ANNA))
    said(run("users", "add", "bo@annat.se", "--name", "Bo", "--company", "Annat AB"))
    every = json.loads(said(run("users", "list", "--json")))
    assert [user["email"] for user in every] == ["anna@example.se", "bo@annat.se"]
    theirs = json.loads(said(run("users", "list", "--company", "Annat AB", "--json")))
    assert [user["email"] for user in theirs] == ["bo@annat.se"]
    assert "bo@annat.se" in said(run("users", "list"))
    by_name = {row["name"]: row["users"] for row in json.loads(said(run("companies", "list", "--json")))}
    assert by_name == {"Exempel AB": 1, "Annat AB": 1}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({2: "Anna@Example.SE"}, "there is already a user with the address Anna@example.se"),
        ({2: "anna"}, "e-mail address 'anna'"),
        ({2: ""}, "e-mail address ''"),
        ({2: "anna@"}, "e-mail address 'anna@'"),
        ({2: "anna@example"}, "e-mail address"),
        ({2: "a" * 250 + "@example.se"}, "e-mail address"),
        ({2: "an na@example.se"}, "e-mail address"),
        ({2: "anna\n@example.se"}, "e-mail address"),
        ({2: "anna\udcff@example.se"}, "e-mail address"),
        ({4: " "}, "name is empty"),
        ({4: "x" * 201}, "name is longer than 200 characters"),
        ({4: "Anna\x1b[31m"}, "name contains control characters"),
        ({6: "Okänt AB"}, "there is no company 'Okänt AB': add it with `idp companies add`"),
    ],
)
def test_a_bad_user_is_refused(
    app: Flask, run: Run, company: str, changes: dict[int, str], problem: str
) -> None:
    said(run(*ANNA))
    arguments = list(ANNA)
    arguments[2] = "bo@example.se"
    for place, value in changes.items():
        arguments[place] = value
    (told,) = refused(run(*arguments))
    assert problem in told
    assert count(app, User) == 1


def test_every_problem_of_a_user_is_told_at_once(run: Run, company: str) -> None:
    told = refused(run("users", "add", "anna", "--name", " ", "--company", "Okänt AB"))
    assert len(told) == 3


def test_the_new_users_id_for_scripts(app: Flask, run: Run, company: str) -> None:
    added = json.loads(said(run(*ANNA, "--json")))
    assert added == {"id": str(user_of(app).id), "email": "anna@example.se"}


def test_a_bad_telephone_number_is_refused(app: Flask, run: Run, company: str) -> None:
    assert refused(run(*ANNA, "--phone", "hej")) == ["phone: not a valid telephone number"]
    assert count(app, User) == 0


def test_the_linked_bankid_is_shown_masked(
    app: Flask, run: Run, company: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said(run(*ANNA))
    user_id = user_of(app).id
    with app.app_context():
        linked, used = utcnow(), utcnow() + timedelta(hours=1)
        number = PersonalNumber("199001012385")
        bankid_links.link(user_id, number, "Anna", keys=PersonalNumberKeys(KEYS), now=linked)
        bankid_links.note_use(user_id, now=used)
        db.session.commit()
    for keys, expected in (
        (KEYS, "19900101-****"),
        (KEYS.replace("k1:MDEy", "k1:MDEz"), "linked"),
        ("", "linked"),
    ):
        monkeypatch.setenv("IDP_PERSONAL_NUMBER_KEYS", keys)
        result = said(run("users", "show", "anna@example.se", "--json"))
        shown = json.loads(result)
        assert shown["bankid"] == expected
        assert (shown["bankid_linked"], shown["bankid_used"]) == (str(linked), str(used))
        assert "2385" not in result.replace(str(user_id), "")
    assert "19900101-****" not in said(run("users", "list"))


def test_an_address_that_waits_for_its_link_is_shown(app: Flask, run: Run, company: str) -> None:
    said(run(*ANNA))
    user_id = user_of(app).id
    with app.app_context():
        owner = Recipient("anna@example.se", "Anna", "sv")
        given = SETTINGS.of(app)
        email_change.ask(user_id, owner, "ny@example.se", address=None, settings=given, now=utcnow())
        db.session.commit()
    shown = json.loads(said(run("users", "show", "anna@example.se", "--json")))
    assert (shown["email"], shown["email_pending"]) == ("anna@example.se", "ny@example.se")


@pytest.mark.parametrize("title", ["x" * 201, "VD\x1b[31m"])
def test_a_bad_title_is_refused(app: Flask, run: Run, company: str, title: str) -> None:
    (told,) = refused(run(*ANNA, "--title", title))
    assert told.startswith("title ")
    assert count(app, User) == 0


@pytest.mark.parametrize(
    ("options", "stdin", "problem"),
    [
        (["--password-stdin"], "kort", "the password is too short: at least 12 characters"),
        (["--password-stdin"], "", "the password is too short"),
        (["--password-stdin"], "ord " * 100, "the password is too long: at most 256 characters"),
        (["--password-stdin"], "anna@example.se", "the password is too easy to guess"),
        (["--password-stdin"], "Exempel AB 2026", "the password is too easy to guess"),
        (["--password-hash-stdin"], PASSWORD, "the hash is not of a kind that can be checked"),
        (["--password-hash-stdin"], "", "the hash is not of a kind that can be checked"),
        (["--password-hash-stdin"], BCRYPT[:-1], "the hash is cut off or damaged (bcrypt)"),
        (["--password-hash-stdin"], "$2y$10$kort", "the hash is cut off or damaged (bcrypt)"),
        (
            ["--password-hash-stdin"],
            "$6$salt$" + "a" * 86,
            "the hash is of a kind (SHA-512-crypt) that cannot",
        ),
        (["--password-stdin", "--password-hash-stdin"], PASSWORD, "give only one of"),
    ],
)
def test_a_bad_password_is_refused_and_not_repeated(
    users_table: Callable[[], int], run: Run, options: list[str], stdin: str, problem: str
) -> None:
    (told,) = refused(run(*ANNA, *options, stdin=stdin))
    assert problem in told
    assert not stdin or stdin not in told
    assert users_table() == 0


def test_a_password_that_is_not_utf_8_is_refused(app: Flask, run: Run, company: str) -> None:
    (told,) = refused(run(*ANNA, "--password-stdin", stdin=b"korrekt h\xe4st batteri klammer"))
    assert "UTF-8" in told
    assert count(app, User) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["users", "add", "anna@example.se"], "Missing option '--name'"),
        ([*ANNA, "--role", "king"], "'king' is not one of"),
        ([*ANNA, "--locale", "de"], "'de' is not one of"),
        (["users", "show"], "Missing argument 'EMAIL'"),
        (["users", "fly"], "No such command 'fly'"),
        (["audit", "list", "--event", "x"], "'x' is not one of"),
        (["audit", "list", "--limit", "0"], "0 is not in the range"),
        (["--env-file", "/nowhere/idp.env", "users", "list"], "does not exist"),
    ],
)
def test_wrong_usage_is_explained(run: Run, company: str, arguments: list[str], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_no_option_takes_a_password(run: Run, company: str) -> None:
    assert run(*ANNA, "--password", PASSWORD).exit_code == 2


@pytest.mark.parametrize("command", ["show", "disable", "enable"])
@pytest.mark.parametrize("email", ["okänd@example.se", "", "x\udcff@example.se"])
def test_an_unknown_user_is_refused(run: Run, company: str, command: str, email: str) -> None:
    (told,) = refused(run("users", command, email))
    assert told.startswith("there is no user with the address")


def test_a_user_is_disabled_and_enabled(app: Flask, run: Run, company: str, rp: RelyingParty) -> None:
    said(run(*ANNA, "--password-stdin", stdin=PASSWORD))
    tokens = rp.tokens()
    assert rp.userinfo(tokens.access_token).status_code == 200
    assert said(run("users", "disable", "Anna@Example.se")) == "Anna@Example.se is disabled"
    assert said(run("users", "disable", "anna@example.se")) == "anna@example.se was already disabled"
    assert rp.userinfo(tokens.access_token).status_code == 401
    assert rp.log_in().status_code == 401
    assert said(run("users", "enable", "anna@example.se")) == "anna@example.se is enabled"
    assert said(run("users", "enable", "anna@example.se")) == "anna@example.se was not disabled"
    assert rp.userinfo(tokens.access_token).status_code == 401, "what ended stays ended"
    assert "code" in rp.answer(rp.log_in())
    listed = json.loads(said(run("audit", "list", "--user", "anna@example.se", "--json")))
    assert {row["actor"] for row in listed if row["event"].startswith("user.")} == {"operator"}


def test_disabling_by_command_ends_the_sessions_in_the_database(
    app: Flask, run: Run, company: str, rp: RelyingParty
) -> None:
    said(run(*ANNA, "--password-stdin", stdin=PASSWORD))
    tokens = rp.tokens()
    said(run("users", "disable", "anna@example.se"))
    said(run("users", "enable", "anna@example.se"))
    assert rp.userinfo(tokens.access_token).status_code == 401
    assert 'id="login-form"' in rp.follow(rp.authorize()).text
