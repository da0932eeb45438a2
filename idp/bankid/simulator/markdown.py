"""A text that BankID's app shows formatted: simpleMarkdownV1 as HTML, with nothing of the sender's own.

The dialect is BankID's "Guidelines for Formatted Text" 1.1: headings, strong text between single
asterisks, lists, tables, a rule, and a backslash before what is meant as it stands.
"""

import re
from itertools import groupby

from markupsafe import Markup, escape

HEADING = re.compile(r"(#{1,3}) +(.+)")
ITEM = re.compile(r"[-+*] +(.+)")
RULE = re.compile(r"-{3,} *")
ROW = re.compile(r" *\|(.*)\| *")
DASHES = re.compile(r" *:?-+:? *")
STRONG = re.compile(r"\*([^*]+)\*")
ESCAPED = re.compile(r"\\([\\*#|+-])")
CELL, HEAD_CELL = Markup("<td>{}</td>"), Markup("<th>{}</th>")
PRIVATE_USE = 0xE000
"""Escaped characters are moved here, where no pattern matches them."""


def as_plain(text: str) -> Markup:
    """The unformatted text, line by line."""
    return Markup("<p>{}</p>").format(Markup("<br>").join(text.splitlines()))


def as_markdown(text: str) -> Markup:
    """The text with its formatting. HTML in it stays text."""
    hidden = ESCAPED.sub(lambda found: chr(PRIVATE_USE + ord(found[1])), text)
    return Markup("").join(
        _block(kind, list(lines)) for kind, lines in groupby(hidden.splitlines(), key=_kind)
    )


def _kind(line: str) -> str:
    for kind, pattern in (("rule", RULE), ("heading", HEADING), ("item", ITEM), ("row", ROW)):
        if pattern.fullmatch(line):
            return kind
    return "text" if line.strip() else "empty"


def _block(kind: str, lines: list[str]) -> Markup:
    if kind == "rule":
        return Markup("<hr>")
    if kind == "heading":
        return Markup("").join(_heading(line) for line in lines)
    if kind == "item":
        items = Markup("").join(Markup("<li>{}</li>").format(_inline(line[1:].strip())) for line in lines)
        return Markup("<ul>{}</ul>").format(items)
    if kind == "row":
        return _table([ROW.sub(r"\1", line).split("|") for line in lines])
    if kind == "text":
        return Markup("<p>{}</p>").format(Markup("<br>").join(_inline(line) for line in lines))
    return Markup("")


def _heading(line: str) -> Markup:
    found = HEADING.fullmatch(line)
    assert found is not None
    level = len(found[1]) + 2  # one level below the page's own headings
    return Markup("<h{0}>{1}</h{0}>").format(level, _inline(found[2]))


def _table(rows: list[list[str]]) -> Markup:
    has_head = len(rows) > 1 and all(DASHES.fullmatch(cell) for cell in rows[1])
    head, body = (rows[:1], rows[2:]) if has_head else ([], rows)
    lines = [*(_row(row, HEAD_CELL) for row in head), *(_row(row, CELL) for row in body)]
    return Markup("<table>{}</table>").format(Markup("").join(lines))


def _row(cells: list[str], cell: Markup) -> Markup:
    shown = (cell.format(_inline(text.strip())) for text in cells)
    return Markup("<tr>{}</tr>").format(Markup("").join(shown))


def _inline(text: str) -> Markup:
    parts = STRONG.split(text)
    shown = [
        Markup("<strong>{}</strong>").format(_plain(part)) if place % 2 else _plain(part)
        for place, part in enumerate(parts)
    ]
    return Markup("").join(shown)


def _plain(text: str) -> Markup:
    return escape("".join(chr(ord(char) - PRIVATE_USE) if _is_hidden(char) else char for char in text))


def _is_hidden(char: str) -> bool:
    return PRIVATE_USE <= ord(char) < PRIVATE_USE + 128
