"""The sentences that operators, relying apps and people read are plain English: subject first, then verb."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[2]
CATALOGUE = ROOT / "idp" / "translations" / "en" / "LC_MESSAGES" / "messages.po"

# What is not written, and what is written instead.
UNWANTED = {
    r"(?<!there )\bis no\b(?! longer)": "is not a",
    r"(?<!there )\b(is|are|was|were) none\b": "is not one of, is not valid",
    r"\bnone such\b": "no … of that name",
    r"\bholds?\b": "contains, has",
    r"\bwho(m|so)?ever\b": "the person who",
    r"\btells?\b": "returns, reports, says",
    r"\blook(s|ed)? (at|whether|up|for)\b": "check, query",
    r"\A(what|who)\b(?!.*\?)": "a noun",
    r"\bis (here|there) twice\b": "appears twice",
    r"\bof the future\b": "in the future",
}


def problems(text: str) -> list[str]:
    return [pattern for pattern in UNWANTED if re.search(pattern, text, re.IGNORECASE)]


def written(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of each string that is a value; of an f-string the text between its fields."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


def helped(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and docstring of each function with a decorator: click shows them as help."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.decorator_list:
            yield node.lineno, ast.get_docstring(node) or ""


def test_strings_are_in_plain_english() -> None:
    found = []
    for path in sorted((ROOT / "idp").rglob("*.py")):
        tree = ast.parse(path.read_text())
        texts = list(written(tree))
        if path.is_relative_to(ROOT / "idp" / "commands"):
            texts += helped(tree)
        found += [
            f"{path.relative_to(ROOT)}:{line}: {text!r}: {unwanted}"
            for line, text in texts
            if (unwanted := problems(text))
        ]
    assert not found, "\n".join(found)


def test_english_pages_and_mails_are_in_plain_english() -> None:
    with CATALOGUE.open("rb") as file:
        messages = list(read_po(file))
    texts = [
        text
        for message in messages
        if message.id
        for text in (message.string if isinstance(message.string, tuple) else (message.string,))
    ]
    assert len(texts) > 400
    found = [f"{text!r}: {unwanted}" for text in texts if (unwanted := problems(text))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "the telephone number is none",
        "IDP_ISSUER is no URL",
        "must hold no query",
        "Whoever was logged in here",
        "a scope that tells nothing",
        "What people see the app called.",
    ],
)
def test_a_sentence_that_is_not_plain_is_found(text: str) -> None:
    assert problems(text)


@pytest.mark.parametrize(
    "text",
    [
        "there is no user with the address anna@example.se",
        "the client is no longer in the clients file",
        "IDP_ISSUER: not a URL",
        "Who scans the QR code?",
    ],
)
def test_a_plain_sentence_passes(text: str) -> None:
    assert not problems(text)
