"""A delivery that fails for its server's sake."""

import json

from tests.integration.mail.worker.delivering import Lines, add, attempts, deliver, given_up, letter


def trouble(url: str, lines: Lines) -> str:
    """Try two mails at a server in trouble: one attempt is made, both stay. Gives the reason told."""
    add(letter(), letter("bo@example.se"))
    assert not deliver(url)
    assert attempts() == [1, 0]
    assert given_up() == []
    logged = lines()
    assert [line["event"] for line in logged] == ["mail_trouble", "mail_deferred"]
    assert "@" not in json.dumps(logged)
    return str(logged[0]["reason"])
