"""A file of the provider holds one idea, and so does a function; imports stand where everybody sees them."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "idp"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LONGEST_FILE = 400
LONGEST_FUNCTION = 70


def sources() -> dict[str, str]:
    return {
        str(path.relative_to(PACKAGE)): path.read_text()
        for path in sorted(PACKAGE.rglob("*.py"))
        if "migrations" not in path.relative_to(PACKAGE).parts
    }


def test_no_file_is_too_long() -> None:
    assert not [path for path, text in sources().items() if text.count("\n") > LONGEST_FILE]


def test_no_function_is_too_long() -> None:
    assert not [
        f"{path}:{node.lineno} {node.name}"
        for path, text in sources().items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, FUNCTIONS) and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
    ]


def test_no_function_imports() -> None:
    assert not [
        f"{path}:{inner.lineno} in {node.name}"
        for path, text in sources().items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, FUNCTIONS)
        for inner in ast.walk(node)
        if isinstance(inner, (ast.Import, ast.ImportFrom))
    ]
