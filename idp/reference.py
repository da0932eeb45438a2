"""The reference of a request: on its error page, in its log lines and its audit rows."""

import secrets

from flask import g, has_request_context

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # no letter or digit that is misread aloud


def reference() -> str:
    """The reference of this request, which a person can read out: ten characters, 50 random bits.

    Made when something first asks for it; most answers to machines never do.
    """
    if "reference" not in g:
        number = secrets.randbits(50)
        g.reference = "".join(ALPHABET[(number >> shift) & 31] for shift in range(0, 50, 5))
    made: str = g.reference
    return made


def request_facts() -> dict[str, str]:
    """The facts about the request in each of its log lines."""
    return {"request_id": reference()} if has_request_context() else {}
