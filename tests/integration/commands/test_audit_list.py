"""`idp audit list` shows the newest events."""

import json
from pathlib import Path

import pytest

from tests.factories import PASSWORD
from tests.fakes.relying_party import RelyingParty
from tests.integration.commands.outcomes import ANNA, Run, refused, said


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/idp.sqlite3"


def test_the_audit_is_listed(run: Run, company: str, rp: RelyingParty) -> None:
    said(run(*ANNA, "--password-stdin", stdin=PASSWORD))
    rp.log_in(password="fel")
    rp.log_in()
    rows = json.loads(said(run("audit", "list", "--json")))
    assert [row["event"] for row in rows][:3] == ["login.succeeded", "login.failed", "user.created"]
    assert rows[1]["detail"] == {"method": "password"}
    assert rows[1]["address"] == "127.0.0.1"
    assert len(rows[1]["reference"]) == 10
    assert len(json.loads(said(run("audit", "list", "--limit", "2", "--json")))) == 2
    failed = json.loads(said(run("audit", "list", "--event", "login.failed", "--json")))
    assert [row["event"] for row in failed] == ["login.failed"]
    assert "login.failed" in said(run("audit", "list"))
    assert said(run("audit", "list", "--event", "key.retired")) == "no events"
    assert refused(run("audit", "list", "--user", "x@example.se")) == [
        "there is no user with the address x@example.se"
    ]
