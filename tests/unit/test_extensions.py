"""What the application holds for its parts is read through typed slots alone."""

import re
from pathlib import Path

import pytest
from flask import Flask

from idp.extensions import Slot

ROOT = Path(__file__).parents[2]
HAND_MADE = re.compile(r"""extensions(\.\w+\()?[\[(]?["']idp\.""")
DECLARED = re.compile(r"""Slot\(["'](\w+)["']\)""")


def sources() -> dict[str, str]:
    return {
        str(path.relative_to(ROOT)): path.read_text()
        for folder in ("idp", "tests", "bench")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != Path(__file__)
    }


def test_a_slot_holds_what_was_put_in() -> None:
    slot: Slot[int] = Slot("number")
    app = Flask("test")
    with pytest.raises(KeyError):
        slot.of(app)
    assert slot.find(app) is None
    slot.put(app, 7)
    assert slot.of(app) == slot.find(app) == 7
    with app.app_context():
        assert slot.current() == slot.find() == 7


def test_names_of_extensions_stand_in_their_slots_alone() -> None:
    assert not [path for path, text in sources().items() if HAND_MADE.search(text)]


def test_each_slot_is_declared_once() -> None:
    names = [
        name for path, text in sources().items() if path.startswith("idp/") for name in DECLARED.findall(text)
    ]
    assert len(names) > 10
    assert len(names) == len(set(names))
