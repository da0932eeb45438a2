"""What differs from database to database is told apart in one place."""

from pathlib import Path

import idp

ROOT = Path(idp.__file__).parent


def test_only_the_database_module_asks_which_database_it_is() -> None:
    modules = [path for path in ROOT.rglob("*.py") if "migrations" not in path.parts]
    asking = {path.relative_to(ROOT).as_posix() for path in modules if "dialect.name" in path.read_text()}
    assert asking == {"db.py"}
