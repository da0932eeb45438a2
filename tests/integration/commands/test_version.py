"""`idp --version` prints the version that the changelog describes."""

import configparser
import re
from importlib.metadata import version
from pathlib import Path

from click.testing import CliRunner

from idp.cli import main

ROOT = Path(__file__).parents[3]


def test_the_command_prints_the_installed_version() -> None:
    result = CliRunner().invoke(main, ["--version"], prog_name="idp")
    assert (result.exit_code, result.output) == (0, f"idp, version {version('leasify-idp')}\n")


def test_the_newest_version_of_the_changelog_is_the_packages_own() -> None:
    package = configparser.ConfigParser()
    package.read(ROOT / "setup.cfg")
    newest = re.search(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None
    assert re.sub(r"\.dev\d+$", "", package["metadata"]["version"]) == newest[1]
