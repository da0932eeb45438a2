"""A BankID is linked to accounts, found, shown masked, unlinked and re-encrypted."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask

from idp import audit
from idp.bankid.models import EVIDENCE_PURPOSE, Evidence
from idp.clock import utcnow
from idp.crypto import CannotOpen, PersonalNumberKeys, Sealer
from idp.db import db
from idp.users import accounts, bankid_links
from idp.users.models import BankIdLink
from idp.users.personal_number import PersonalNumber
from tests.factories import make_user

OLD = "old:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
NEW = "new:ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
ANNA = PersonalNumber("189001019802")
BJORN = PersonalNumber("199001012385")

KEYS = PersonalNumberKeys(OLD)


@pytest.fixture
def environ(environ: dict[str, str]) -> dict[str, str]:
    return environ | {"IDP_PERSONAL_NUMBER_KEYS": OLD}


def link(user_id: str | UUID, number: PersonalNumber, keys: PersonalNumberKeys = KEYS) -> None:
    bankid_links.link(UUID(str(user_id)), number, "Anna Åkesson", keys=keys, now=utcnow())


def found(number: PersonalNumber, keys: PersonalNumberKeys = KEYS) -> list[str]:
    return [account.email for account in bankid_links.find_accounts(number, keys=keys)]


def events(event: audit.Event) -> list[audit.AuditRow]:
    return audit.newest(100, event=event.value)


def test_a_linked_bankid_finds_its_account_and_no_other_does(app: Flask, anna: str) -> None:
    with app.app_context():
        assert found(ANNA) == []
        link(anna, ANNA)
        assert found(ANNA) == ["anna@example.se"]
        assert found(BJORN) == []
        (row,) = events(audit.Event.BANKID_LINKED)
        assert str(row.user_id) == anna


def test_one_bankid_may_open_several_accounts_and_disabled_ones_are_told(app: Flask, anna: str) -> None:
    with app.app_context():
        other = make_user(email="anna@annat.example.se", company="Annat AB")
        link(anna, ANNA)
        link(other.id, ANNA)
        accounts.disable(other.id, now=utcnow())
        found = bankid_links.find_accounts(ANNA, keys=KEYS)
        assert {account.email: account.is_active for account in found} == {
            "anna@example.se": True,
            "anna@annat.example.se": False,
        }
        assert {account.company.name for account in found} == {"Exempel AB", "Annat AB"}


def test_linking_again_replaces_the_bankid(app: Flask, anna: str) -> None:
    with app.app_context():
        link(anna, ANNA)
        link(anna, BJORN)
        assert found(ANNA) == []
        assert found(BJORN) == ["anna@example.se"]
        assert db.session.scalar(sa.select(sa.func.count()).select_from(BankIdLink)) == 1


def test_the_number_is_stored_sealed_for_its_row_and_shown_masked(
    app: Flask, clock: time_machine.Traveller, anna: str
) -> None:
    with app.app_context():
        link(anna, ANNA)
        row = db.session.get_one(BankIdLink, UUID(anna))
        assert ANNA.digits not in f"{row.number_encrypted}{row.number_lookup}{row.name}"
        assert KEYS.decrypt(row.number_encrypted, context=anna) == ANNA.digits
        with pytest.raises(CannotOpen):
            KEYS.decrypt(row.number_encrypted, context=str(uuid4()))
        shown = bankid_links.state(UUID(anna), keys=KEYS)
        assert shown == bankid_links.LinkState("Anna Åkesson", "18900101-****", utcnow(), None)


def test_the_last_use_is_noted(app: Flask, clock: time_machine.Traveller, anna: str) -> None:
    with app.app_context():
        link(anna, ANNA)
        clock.shift(60)
        bankid_links.note_use(UUID(anna), now=utcnow())
        db.session.commit()
        shown = bankid_links.state(UUID(anna), keys=KEYS)
        assert shown is not None
        assert shown.last_used_at == utcnow()


def test_unlinking_is_audited_once(app: Flask, anna: str) -> None:
    with app.app_context():
        link(anna, ANNA)
        assert bankid_links.unlink(UUID(anna), now=utcnow()) is True
        assert found(ANNA) == []
        assert bankid_links.state(UUID(anna), keys=KEYS) is None
        assert bankid_links.unlink(UUID(anna), now=utcnow()) is False
        assert len(events(audit.Event.BANKID_UNLINKED)) == 1


def test_no_number_reaches_the_audit_trail(app: Flask, anna: str) -> None:
    with app.app_context():
        link(anna, ANNA)
        bankid_links.unlink(UUID(anna), now=utcnow())
        rows = audit.newest(100)
        assert len(rows) >= 3
        for row in rows:
            assert ANNA.digits[2:8] not in f"{row.detail} {row.actor}"


def test_numbers_of_an_old_key_are_found_until_and_after_rotation(app: Flask, anna: str) -> None:
    both, new = PersonalNumberKeys(f"{NEW},{OLD}"), PersonalNumberKeys(NEW)
    with app.app_context():
        other = make_user(email="bjorn@example.se", name="Björn Öberg")
        link(anna, ANNA)
        link(other.id, BJORN, both)
        assert found(ANNA, both) == ["anna@example.se"]
        assert found(ANNA, new) == []
        assert bankid_links.rotate_key(keys=both) == 1
        assert bankid_links.rotate_key(keys=both) == 0
        assert found(ANNA, new) == ["anna@example.se"]
        assert found(BJORN, new) == ["bjorn@example.se"]
        shown = bankid_links.state(UUID(anna), keys=new)
        assert shown is not None
        assert shown.masked_number == "18900101-****"


def test_a_bankid_linked_during_the_rotation_stays(app: Flask, anna: str) -> None:
    class Meanwhile(PersonalNumberKeys):
        """Its holder links another BankID while the old number is being encrypted anew."""

        def decrypt(self, value: str, *, context: str) -> str:
            digits = super().decrypt(value, context=context)
            link(anna, BJORN)
            return digits

    with app.app_context():
        link(anna, ANNA)
        assert bankid_links.rotate_key(keys=Meanwhile(f"{NEW},{OLD}")) == 0
        both = PersonalNumberKeys(f"{NEW},{OLD}")
        assert (found(ANNA, both), found(BJORN, both)) == ([], ["anna@example.se"])


def test_rotation_goes_through_every_batch(app: Flask, anna: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bankid_links, "ROTATION_BATCH", 2)
    with app.app_context():
        link(anna, ANNA)
        for number in range(4):
            link(make_user(email=f"p{number}@example.se", password=None).id, BJORN)
        assert bankid_links.rotate_key(keys=PersonalNumberKeys(f"{NEW},{OLD}")) == 5
        assert len(found(BJORN, PersonalNumberKeys(NEW))) == 4


def keep_evidence(sealer: Sealer) -> None:
    db.session.add(
        Evidence(
            order_id="an-order",
            order_ref="a-reference",
            sealed=sealer.seal("the evidence", purpose=EVIDENCE_PURPOSE, context="an-order"),
            created_at=utcnow(),
            delete_after=utcnow(),
        )
    )
    db.session.commit()


# The commands, on a database they can reach


class TestCommands:
    @pytest.fixture
    def database_url(self, tmp_path: Any) -> str:
        return f"sqlite:///{tmp_path / 'idp.sqlite3'}"

    def test_a_bankid_is_unlinked_by_command(self, app: Flask, run: Callable[..., Any], anna: str) -> None:
        with app.app_context():
            link(anna, ANNA)
        ended = run("users", "unlink-bankid", "anna@example.se")
        assert (ended.exit_code, ended.output.strip()) == (
            0,
            "unlinked the BankID of anna@example.se",
        )
        again = run("users", "unlink-bankid", "anna@example.se")
        assert again.output.strip() == "anna@example.se had no linked BankID"
        with app.app_context():
            assert found(ANNA) == []
            (row,) = events(audit.Event.BANKID_UNLINKED)
            assert (row.actor, str(row.user_id)) == ("operator", anna)
        unknown = run("users", "unlink-bankid", "nobody@example.se")
        assert unknown.exit_code != 0

    def test_the_key_is_rotated_by_command(
        self, app: Flask, run: Callable[..., Any], anna: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with app.app_context():
            link(anna, ANNA)
            keep_evidence(Sealer(OLD))
        unchanged = run("personal-numbers", "rotate-key")
        assert unchanged.output.strip() == "re-encrypted 0 personal numbers and the evidence of 0 logins"
        monkeypatch.setenv("IDP_PERSONAL_NUMBER_KEYS", f"{NEW},{OLD}")
        ended = run("personal-numbers", "rotate-key")
        assert ended.exit_code == 0
        assert ended.output.strip() == "re-encrypted 1 personal numbers and the evidence of 1 logins"
        with app.app_context():
            assert found(ANNA, PersonalNumberKeys(NEW)) == ["anna@example.se"]
            rows = events(audit.Event.PERSONAL_NUMBER_KEY_ROTATED)
            assert [row.detail for row in rows] == [
                {"numbers": 1, "evidence": 1},
                {"numbers": 0, "evidence": 0},
            ]
            kept = db.session.scalars(sa.select(Evidence)).one()
            opened = Sealer(NEW).open(kept.sealed, purpose=EVIDENCE_PURPOSE, context=kept.order_id)
            assert opened == "the evidence"

    def test_the_rotate_command_needs_the_keys(
        self, app: Flask, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("IDP_PERSONAL_NUMBER_KEYS")
        ended = run("personal-numbers", "rotate-key")
        assert ended.exit_code != 0
        assert "IDP_PERSONAL_NUMBER_KEYS is missing" in ended.output
