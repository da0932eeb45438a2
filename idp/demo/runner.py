"""What `idp demo` starts."""

from collections.abc import Mapping
from pathlib import Path


def run(*, host: str, port: int, portal_port: int, data_dir: Path, environ: Mapping[str, str]) -> None:
    """Run every part of the demo until Ctrl-C."""
    raise NotImplementedError
