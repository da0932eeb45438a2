"""A login method is one folder and one entry in `app.METHODS`: the rest of the provider names none.

The tables below list each place that knows one by name, and why it may.
"""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from idp.app import METHOD_NAMES

PACKAGE = Path(__file__).parents[2] / "idp"
OWN_FOLDERS = {*METHOD_NAMES, "migrations"}

IMPORTERS = {
    "app.py": "the list of methods; the certificates that clients.yaml may name",
    "account/forms.py": "a new password is typed by the rules that choosing one by a mailed link has",
    "account/linking.py": "linking a BankID",
    "account/linking_views.py": "linking a BankID",
    "account/service.py": "choosing another password",
    "account/views.py": "choosing another password; linking a BankID",
    "commands/importing.py": "hashes of passwords from another system",
    "commands/running.py": "idp bankid-simulator",
    "commands/users.py": "a first password; evidence encrypted with a new key",
    "demo/runner.py": "the demo's BankID simulator and passwords",
    "demo/seed.py": "the demo's passwords",
    "doctor.py": "BankID's certificate",
    "purge.py": "expired orders, evidence and links",
}
"""Modules outside a method's own folder that import it, and what for."""

NAMERS = {
    "account/sealed_form.py": "a form's field `password`",
    "account/linking.py": "the section about the linked BankID",
    "account/stored_page.py": "the section about the linked BankID",
    "commands/users.py": "what an account has: a password, a BankID",
    "config.py": "groups of settings; words of examples that make no secret",
    "demo/runner.py": "what demo.json says of the demo",
    "doctor.py": "the part that looks at BankID's certificate",
    "login/credential_change.py": "what a person can change: the password",
    "oidc/clients/field_types.py": "words of examples that make no secret",
    "oidc/clients/problems.py": "the field `bankid` of clients.yaml",
    "oidc/clients/schema.py": "the field `bankid` of clients.yaml",
}
"""Modules outside a method's own folder in which a method's name is a string, and what that stands for."""


@cache
def modules() -> list[tuple[str, ast.Module]]:
    return [
        (str(path.relative_to(PACKAGE)), ast.parse(path.read_text()))
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in OWN_FOLDERS
    ]


def imported(tree: ast.Module) -> set[str]:
    """Full names of what a module imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    return found


def test_only_listed_modules_import_a_login_method() -> None:
    packages = tuple(f"idp.{name}" for name in METHOD_NAMES)
    importers = {
        path
        for path, tree in modules()
        if any(
            name == package or name.startswith(f"{package}.")
            for name in imported(tree)
            for package in packages
        )
    }
    assert importers == set(IMPORTERS)


def test_only_listed_modules_hold_a_login_methods_name() -> None:
    namers = Counter(
        path
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in METHOD_NAMES
    )
    assert set(namers) == set(NAMERS)


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_templates_ask_for_no_login_method_by_name(name: str) -> None:
    asking = re.compile(rf"""[=!]=\s*["']{name}["']|\bin\s*\([^)]*["']{name}["']""")
    assert not [
        str(path.relative_to(PACKAGE))
        for path in sorted((PACKAGE / "templates").rglob("*.html"))
        if asking.search(path.read_text())
    ]
