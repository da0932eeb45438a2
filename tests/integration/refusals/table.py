"""The answers as they are kept, a file for each group of cases: sorted, a line for each case."""

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).with_name("kept")

Told = dict[str, Any]
Table = dict[str, Told]


def groups() -> list[str]:
    """The groups that a file is kept for."""
    return sorted(path.stem for path in FOLDER.iterdir())


def read(group: str) -> Table:
    """The kept answers of a group, by case."""
    table: Table = json.loads(_path(group).read_text())
    return table


def text(group: str) -> str:
    """The group's file as it is."""
    return _path(group).read_text()


def written(table: Table) -> str:
    """The table as a file holds it."""
    lines = ",\n".join(f"  {_json(case)}: {_json(answer)}" for case, answer in sorted(table.items()))
    return f"{{\n{lines}\n}}\n"


def differences(kept: Table, answers: Table) -> list[str]:
    """What is not as it is kept, a line for each case."""
    return [
        f"{case}: {_json(kept[case]) if case in kept else 'not in the file'}"
        f" -> {_json(answers[case]) if case in answers else 'no such case'}"
        for case in sorted({*kept, *answers})
        if kept.get(case) != answers.get(case)
    ]


def _path(group: str) -> Path:
    return FOLDER / f"{group}.json"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


class Writer:
    """A pytest plugin that writes every file anew after a run in which every request was made."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Write, unless something went wrong."""
        if exitstatus != pytest.ExitCode.OK:
            return
        FOLDER.mkdir(exist_ok=True)
        for path in FOLDER.iterdir():
            path.unlink()
        for group, table in self.tables.items():
            _path(group).write_text(written(table))
