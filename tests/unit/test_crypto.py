"""A sealed text opens in its place only, and a lookup survives any rotation of keys."""

import hashlib
from base64 import b64encode

import pytest

from idp.config import ConfigError
from idp.crypto import CannotOpen, PersonalNumberKeys, Sealer, parse_keys


def key(key_id: str) -> str:
    """An entry of the setting: a different secret for each id."""
    return f"{key_id}:{b64encode(hashlib.sha256(key_id.encode()).digest()).decode()}"


OLD, NEW = key("old"), key("new")


ANNA = "189001019802"


def test_the_sealed_text_tells_nothing() -> None:
    sealer = Sealer(NEW)
    first, second = (sealer.seal(ANNA, purpose="a") for _ in range(2))
    assert first != second
    assert len(first) == len(sealer.seal("0" * len(ANNA), purpose="a"))
    assert ANNA not in first


@pytest.mark.parametrize(
    "changes",
    [{"purpose": "b"}, {"context": "row 2"}, {"context": ""}, {"purpose": "a row 1", "context": ""}],
)
def test_a_sealed_text_opens_in_its_place_only(changes: dict[str, str]) -> None:
    sealer = Sealer(NEW)
    place = {"purpose": "a", "context": "row 1"}
    sealed = sealer.seal(ANNA, **place)
    assert sealer.open(sealed, **place) == ANNA
    with pytest.raises(CannotOpen, match="changed"):
        sealer.open(sealed, **{**place, **changes})


def test_a_key_that_is_gone_is_named() -> None:
    sealed = Sealer(OLD).seal(ANNA, purpose="a")
    with pytest.raises(CannotOpen, match="'old', which IDP_PERSONAL_NUMBER_KEYS does not list"):
        Sealer(NEW).open(sealed, purpose="a")


def test_a_key_of_the_same_name_is_not_the_same() -> None:
    sealed = Sealer(OLD).seal(ANNA, purpose="a")
    with pytest.raises(CannotOpen, match="changed"):
        Sealer(NEW.replace("new:", "old:")).open(sealed, purpose="a")


def test_the_first_key_seals() -> None:
    both = PersonalNumberKeys(f"{NEW},{OLD}")
    assert both.encrypt(ANNA, context="1").startswith("new.")
    assert both.lookups(ANNA) == (PersonalNumberKeys(NEW).lookup(ANNA), PersonalNumberKeys(OLD).lookup(ANNA))
    assert both.lookup(ANNA) == both.lookups(ANNA)[0]


def test_an_encrypted_number_is_bound_to_its_row() -> None:
    keys = PersonalNumberKeys(NEW)
    encrypted = keys.encrypt(ANNA, context="1")
    with pytest.raises(CannotOpen):
        keys.decrypt(encrypted, context="2")


def test_a_number_is_no_other_sealed_text() -> None:
    """Neither does the encryption key serve for lookup: it is another, derived for that."""
    sealer, keys = Sealer(NEW), PersonalNumberKeys(NEW)
    with pytest.raises(CannotOpen):
        keys.decrypt(sealer.seal(ANNA, purpose="evidence", context="1"), context="1")
    (parsed,) = parse_keys(NEW)
    uses = {parsed.derive(use) for use in ("seal personal number", "lookup personal number", "seal evidence")}
    assert len(uses | {parsed.secret}) == 4


def test_a_lookup_is_the_same_each_time_and_fits_its_column() -> None:
    keys = PersonalNumberKeys(NEW)
    assert keys.lookup(ANNA) == PersonalNumberKeys(NEW).lookup(ANNA)
    assert len(keys.lookup(ANNA)) == 64
    assert keys.lookup(ANNA) != keys.lookup("199001012385")
    assert keys.lookup(ANNA) != hashlib.sha256(ANNA.encode()).hexdigest()


# The setting

SECRET = NEW.partition(":")[2]


def test_keys_are_read_in_order() -> None:
    assert [parsed.id for parsed in parse_keys(f"{NEW}, {OLD}")] == ["new", "old"]
    assert all(len(parsed.secret) == 32 for parsed in parse_keys(f"{NEW},{OLD}"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "entry 1 must look like id:base64"),
        (f"{NEW},", "entry 2 must look like id:base64"),
        (SECRET, "entry 1 must look like id:base64"),
        (f":{SECRET}", "entry 1 must look like id:base64"),
        (f"a.b:{SECRET}", "entry 1 must look like id:base64"),
        (f"{'a' * 33}:{SECRET}", "entry 1 must look like id:base64"),
        ("new:", "key new is not 32 bytes"),
        (f"new:{SECRET[:-1]}", "key new is not 32 bytes"),
        (f"new:{SECRET}=", "key new is not 32 bytes"),
        (f"new:{SECRET[:-4]}", "key new is not 32 bytes"),
        (f"new:{SECRET}AAAA", "key new is not 32 bytes"),
        (f"new:{SECRET[:10]} {SECRET[10:]}", "key new is not 32 bytes"),
        (f"new:{b64encode(bytes(32)).decode()}", "key new looks like an example"),
        (f"{NEW},{OLD.replace('old:', 'new:')}", "two keys new"),
        (f"{NEW},other:{SECRET}", "key other is the same as another"),
    ],
)
def test_a_bad_setting_is_explained_without_its_secret(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_keys(text)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith("IDP_PERSONAL_NUMBER_KEYS: ")
    assert problem in caught.value.problems[0]
    assert SECRET[:8] not in str(caught.value)


def test_every_bad_key_is_reported() -> None:
    with pytest.raises(ConfigError) as caught:
        Sealer("a:x,b:y,?")
    assert len(caught.value.problems) == 3


def test_a_key_does_not_show_its_secret() -> None:
    (parsed,) = parse_keys(NEW)
    assert repr(parsed) == "Key(id='new')"
