"""The simulator's test persons. Their numbers, which Skatteverket publishes for tests, belong to nobody."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """A person with a BankID. `personal_number` has 12 digits, `name` is in the bank's spelling."""

    personal_number: str
    name: str
    given_name: str
    surname: str
    bank: str


BANK = "SIMULATOR Testbank A AB (publ)"
OTHER_BANK = "SIMULATOR Testbank B AB (publ)"

PEOPLE = (
    Person("189001019802", "Anna Åkesson", "Anna", "Åkesson", BANK),
    Person("199001012385", "Björn Öberg", "Björn", "Öberg", BANK),
    # Some banks write names in capitals, with every first name.
    Person("200211242383", "KARL ERIK MAGNUS LINDSTRÖM", "KARL ERIK MAGNUS", "LINDSTRÖM", OTHER_BANK),
    Person("191212121212", "Tolvan Tolvansson", "Tolvan", "Tolvansson", BANK),
    Person("201701012393", "Elsa von Test", "Elsa", "von Test", OTHER_BANK),
)


def find(personal_number: str) -> Person | None:
    """The test person with this number of 12 digits."""
    return next((person for person in PEOPLE if person.personal_number == personal_number), None)
