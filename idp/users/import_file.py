"""Reading the file of `idp users import`: CSV as spreadsheets write it."""

import csv
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO

from idp.users.fields import BadInput

REQUIRED = ("email", "name", "company")
OPTIONAL = ("title", "phone", "locale", "role", "password_hash", "email_verified")
COLUMNS = (*REQUIRED, *OPTIONAL)
MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Line:
    """One person's line: where it begins in the file, and its values by column, '' for none."""

    number: int
    values: dict[str, str]
    problem: str | None = None


def read(data: bytes) -> list[Line]:
    """The lines below the header, empty ones left out.

    UTF-8 with or without byte order mark; commas or semicolons, whichever the header has. Raises `BadInput`
    when the whole file is unreadable: by its encoding, its header, a quote that never ends.
    """
    rows = _rows(_text(data))
    try:
        _, header = next(rows)
    except StopIteration:
        raise BadInput("the file is empty: its first line must name the columns") from None
    columns = _columns(header)
    lines = [_line(number, columns, cells) for number, cells in rows if any(cell.strip() for cell in cells)]
    if not lines:
        raise BadInput("the file has no line below the column names")
    return lines


def _text(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise BadInput("the file is UTF-16: save it as 'CSV UTF-8'")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise BadInput(f"line {number}: not UTF-8: save the file as 'CSV UTF-8'") from None


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with the number of the line it begins on."""
    header = text.partition("\n")[0]
    delimiter = ";" if header.count(";") > header.count(",") else ","
    reader = csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins = 1
    try:
        for cells in reader:
            yield begins, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        raise BadInput(f"line {begins}: not CSV from here on: {error}") from None


def _columns(header: list[str]) -> list[str]:
    columns = [cell.strip().lower() for cell in header]
    while columns and not columns[-1]:
        columns.pop()
    problems = [f"line 1: {_unknown(column)}" for column in columns if column not in COLUMNS]
    problems += [
        f"line 1: the column {column} appears {columns.count(column)} times"
        for column in COLUMNS
        if columns.count(column) > 1
    ]
    problems += [f"line 1: the column {column} is missing" for column in REQUIRED if column not in columns]
    if problems:
        raise BadInput(*problems)
    return columns


def _unknown(column: str) -> str:
    near = difflib.get_close_matches(column, COLUMNS, 1)
    hint = f"did you mean {near[0]}?" if near else f"the columns are {', '.join(COLUMNS)}"
    return f"unknown column {column!r}: {hint}"


def _line(number: int, columns: list[str], cells: list[str]) -> Line:
    # Spreadsheets leave empty cells at the end of a line out, or add some.
    values = dict.fromkeys(COLUMNS, "")
    values.update(zip(columns, (cell.strip() for cell in cells), strict=False))
    problem = None
    if any(cell.strip() for cell in cells[len(columns) :]):
        problem = f"has {len(cells)} values for {len(columns)} columns"
    return Line(number, values, problem)
