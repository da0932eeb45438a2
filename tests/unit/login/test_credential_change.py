"""Rule E as a table: which login lets a person make which change. A new change without a row fails."""

from datetime import UTC, datetime, timedelta

import pytest

from idp.login.credential_change import RECENT_LOGIN, Answer, Change, Login, needed_for

NOW = datetime(2027, 3, 28, 0, 59, tzinfo=UTC)
YES, RECENT, OWN = Answer.YES, Answer.RECENT_LOGIN, Answer.OWN_LOGIN
TABLE = {
    # own and recent, own and older, BankID and recent, BankID and older
    Change.PASSWORD: (YES, RECENT, OWN, OWN),
    Change.EMAIL: (YES, RECENT, OWN, OWN),
    Change.STATED_NUMBER: (YES, RECENT, OWN, OWN),
    Change.BANKID_LINK: (YES, RECENT, OWN, OWN),
    Change.BANKID_UNLINK: (YES, RECENT, YES, RECENT),
}
LOGINS = (
    Login(NOW - RECENT_LOGIN, is_own=True),
    Login(NOW - RECENT_LOGIN - timedelta(seconds=1), is_own=True),
    Login(NOW, is_own=False),
    Login(NOW - RECENT_LOGIN - timedelta(seconds=1), is_own=False),
)


def test_every_change_has_a_row() -> None:
    assert set(TABLE) == set(Change)


@pytest.mark.parametrize("change", Change)
def test_a_change_needs_what_the_table_says(change: Change) -> None:
    assert tuple(needed_for(change, login, now=NOW) for login in LOGINS) == TABLE[change]
