"""Random texts survive sealing, and random numbers every rotation of keys."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idp.crypto import CannotOpen, PersonalNumberKeys, Sealer
from tests.unit.test_crypto import ANNA, NEW, key


@given(text=st.text(), purpose=st.text(), context=st.text())
def test_a_sealed_text_opens(text: str, purpose: str, context: str) -> None:
    sealer = Sealer(NEW)
    sealed = sealer.seal(text, purpose=purpose, context=context)
    assert sealer.open(sealed, purpose=purpose, context=context) == text
    assert sealed.isascii()


@given(place=st.integers(0, 200), character=st.characters(codec="ascii"))
def test_a_changed_sealed_text_does_not_open(place: int, character: str) -> None:
    sealer = Sealer(NEW)
    sealed = sealer.seal(ANNA, purpose="a")
    place %= len(sealed)
    changed = sealed[:place] + character + sealed[place + 1 :]
    if changed != sealed:
        with pytest.raises(CannotOpen):
            sealer.open(changed, purpose="a")


@given(st.text())
def test_a_text_that_was_never_sealed_does_not_open(text: str) -> None:
    sealer = Sealer(NEW)
    for sealed in (text, f"new.{text}", f"new{text}"):
        with pytest.raises(CannotOpen):
            sealer.open(sealed, purpose="a")


# Rotation


@given(
    numbers=st.lists(st.from_regex("[0-9]{12}", fullmatch=True), min_size=1, max_size=5, unique=True),
    ids=st.lists(st.sampled_from(["k1", "k2", "k3", "k4"]), min_size=2, max_size=4, unique=True),
)
def test_numbers_survive_every_step_of_a_rotation(numbers: list[str], ids: list[str]) -> None:
    """Key after key: the new one is put first, every row sealed again, the old one taken away."""
    rows = {}
    current = PersonalNumberKeys(key(ids[0]))
    for number in numbers:
        rows[number] = (current.encrypt(number, context=number[:3]), current.lookup(number))
    for old, new in pairwise(ids):
        both = PersonalNumberKeys(f"{key(new)},{key(old)}")
        for number, (encrypted, lookup) in rows.items():
            assert not both.is_current(encrypted)
            assert both.decrypt(encrypted, context=number[:3]) == number
            assert lookup in both.lookups(number)
            rows[number] = (both.encrypt(number, context=number[:3]), both.lookup(number))
        alone = PersonalNumberKeys(key(new))
        for number, (encrypted, lookup) in rows.items():
            assert alone.is_current(encrypted)
            assert alone.decrypt(encrypted, context=number[:3]) == number
            assert alone.lookups(number) == (lookup,)
