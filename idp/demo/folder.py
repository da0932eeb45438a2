"""The demo's data directory: one run at a time, private files, secrets made once."""

import fcntl
import os
import secrets
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ValidationError

from idp.config import ConfigError
from idp.crypto import KEY_BYTES
from idp.tokens import new_token

CONSONANTS = "bdfgklmnprstv"
VOWELS = "aeiou"


class SavedSecrets(BaseModel):
    """What a run leaves for the next one. `clients_file` is the SHA-256 of clients.yaml as generated."""

    secret_key: str
    personal_number_keys: str = ""
    client_secrets: dict[str, str] = {}
    passwords: dict[str, str] = {}
    clients_file: str | None = None


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Make the directory and lock it. Raises `ConfigError` when another demo holds it, and `OSError`."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                [f"{directory} is in use by another `idp demo`: stop that one, or give another --data-dir"]
            ) from None
        yield


def load_secrets(directory: Path, *, client_ids: Iterable[str], emails: Iterable[str]) -> SavedSecrets:
    """The saved secrets; missing ones are made and stored. Raises `ConfigError` for a damaged file."""
    path = directory / "kept.json"
    if path.exists():
        try:
            saved = SavedSecrets.model_validate_json(path.read_bytes())
        except ValidationError:
            raise ConfigError([f"{path} is damaged: remove it, and new passwords are made"]) from None
    else:
        saved = SavedSecrets(secret_key=new_token())
    saved.personal_number_keys = saved.personal_number_keys or new_personal_number_keys()
    for client_id in client_ids:
        saved.client_secrets.setdefault(client_id, new_token())
    for email in emails:
        saved.passwords.setdefault(email, new_password())
    store_secrets(directory, saved)
    return saved


def store_secrets(directory: Path, saved: SavedSecrets) -> None:
    write_private(directory / "kept.json", saved.model_dump_json(indent=2) + "\n")


def write_private(path: Path, text: str) -> None:
    """Replace the whole file, readable by its owner only. Raises `OSError` with the file's name."""
    new = path.with_name(f".{path.name}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def new_personal_number_keys() -> str:
    """A value for IDP_PERSONAL_NUMBER_KEYS: one random key."""
    return f"demo:{b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def new_password() -> str:
    """A password to say aloud and to type on any keyboard: eight random syllables, 48 bits."""
    syllables = [secrets.choice(CONSONANTS) + secrets.choice(VOWELS) for _ in range(8)]
    return "-".join(first + second for first, second in zip(syllables[::2], syllables[1::2], strict=True))
