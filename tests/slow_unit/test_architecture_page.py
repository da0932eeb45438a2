"""docs/architecture.md shows every folder of the provider, and names no module that is gone."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def test_every_package_is_in_the_tree() -> None:
    packages = {path.parent.name for path in (ROOT / "idp").rglob("__init__.py")} - {"idp"}
    assert not [name for name in sorted(packages) if not re.search(rf"\b{name}/", PAGE)]


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"`(idp/[\w/]+(?:\.py)?/?)`", PAGE))
    assert len(named) > 8
    assert not [name for name in sorted(named) if not (ROOT / name).exists()]
