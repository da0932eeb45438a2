"""Settings come from a file too, and the environment wins."""

from pathlib import Path

import pytest

from tests.integration.commands.outcomes import Run, refused, said


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/idp.sqlite3"


def test_settings_come_from_a_file_and_the_environment_wins(
    run: Run, company: str, tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file = tmp_path / "idp.env"
    env_file.write_text(
        "IDP_SECRET_KEY=abcdefgh01234567abcdefgh$01234567\nIDP_DATABASE_URL=sqlite:////no/x\n"
    )
    monkeypatch.delenv("IDP_SECRET_KEY")
    (told,) = refused(run("companies", "list"))
    assert told == "IDP_SECRET_KEY is missing"
    assert "Exempel AB" in said(run("--env-file", str(env_file), "companies", "list"))


def test_an_env_file_that_is_no_text_is_named(run: Run, tmp_path: Path) -> None:
    env_file = tmp_path / "idp.env"
    env_file.write_bytes(b"IDP_ISSUER=\xff\xfe\n")
    (told,) = refused(run("--env-file", str(env_file), "companies", "list"))
    assert "UTF-8" in told
