"""The docstrings of oidc: every public name has one, and it names the section that it implements."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import idp.oidc

ROOM = Path(idp.oidc.__file__).parent
SPECS = (
    r"RFC \d{4}",
    *("OIDC Core", "OIDC Discovery", "OIDC Registration", "Form Post Response Mode"),
    *("RP-Initiated Logout 1.0", "Back-Channel Logout 1.0", "Front-Channel Logout 1.0"),
    *("Swedish claims specification", "Swedish request parameter extensions"),
)
SECTION = re.compile(rf"({'|'.join(SPECS)}) (§\d+(\.\d+)*|Appendix [A-Z])")

OUR_OWN = {
    # clients.yaml: the file, its problems and its changes
    *("clients.diff", "clients.entry_notes", "clients.field_types", "clients.file", "clients.new_entry"),
    *("clients.problems", "clients.registry", "clients.schema", "clients.yaml_nodes", "clients.bankid"),
    # the folder of keys
    *("keys.files", "keys.rotation"),
    # rows of the database
    *("models", "people", "consents", "revocation", "logout.notices"),
    # how the application is put together
    *("blueprint", "endpoints", "provider"),
}
"""Modules and names that no specification governs: their docstrings may do without a section."""

Definition = ast.FunctionDef | ast.ClassDef


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOM.rglob("*.py")):
        if path.name != "__init__.py":
            name = ".".join(path.relative_to(ROOM).with_suffix("").parts)
            yield name, ast.parse(path.read_text())


def public(body: list[ast.stmt]) -> Iterator[Definition]:
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node


FUNCTIONS_AND_CLASSES = {
    f"{module}.{node.name}": (module, node) for module, tree in modules() for node in public(tree.body)
}


def names_a_section(node: Definition) -> bool:
    return SECTION.search(ast.get_docstring(node) or "") is not None


def test_every_module_and_public_name_has_a_docstring() -> None:
    without = [module for module, tree in modules() if not ast.get_docstring(tree)]
    for name, (_, node) in FUNCTIONS_AND_CLASSES.items():
        members = public(node.body) if isinstance(node, ast.ClassDef) else ()
        without += [name] if not ast.get_docstring(node) else []
        without += [f"{name}.{member.name}" for member in members if not ast.get_docstring(member)]
    assert len(FUNCTIONS_AND_CLASSES) > 200, "the modules have moved"
    assert without == []


def test_every_public_function_and_class_names_the_section_that_it_implements() -> None:
    without = [
        name
        for name, (module, node) in FUNCTIONS_AND_CLASSES.items()
        if not names_a_section(node) and not OUR_OWN & {module, name}
    ]
    assert without == []


def test_only_what_needs_it_is_called_our_own() -> None:
    in_need = {
        entry
        for name, (module, node) in FUNCTIONS_AND_CLASSES.items()
        if not names_a_section(node)
        for entry in (module, name)
    }
    assert OUR_OWN - in_need == set()


def test_a_section_is_written_in_one_way() -> None:
    other_names = re.compile(r"OpenID Connect Core|(?<!OIDC )\b(Core|Discovery) §|Logout §")
    found = [
        f"{name}: {other_names.search(docstring)}"
        for name, (_, node) in FUNCTIONS_AND_CLASSES.items()
        if other_names.search(docstring := ast.get_docstring(node) or "")
    ]
    assert found == []
