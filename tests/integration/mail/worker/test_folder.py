"""The worker delivers mails into a folder."""

import resource
import signal
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from flask import Flask

from idp import mail_transport
from tests.integration.mail.worker.delivering import Lines, add, deliver, letter
from tests.integration.mail.worker.trouble import trouble


def test_a_folder_gets_whole_files(inside: Flask, tmp_path: Path) -> None:
    folder = tmp_path / "utbrev å"
    folder.mkdir()
    add(letter(), letter("bo@example.se"))
    assert deliver(f"file:{folder}")
    files = sorted(folder.iterdir())
    assert all(file.name.startswith("20261122T120000-") and file.suffix == ".eml" for file in files)
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    messages = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]
    assert sorted(str(message["To"]) for message in messages) == ["anna@example.se", "bo@example.se"]


def test_a_second_delivery_of_a_mail_replaces_the_first(tmp_path: Path) -> None:
    with mail_transport.Folder(tmp_path).session() as send:
        send(letter())
        send(letter())
    assert len(list(tmp_path.iterdir())) == 1


def test_a_missing_folder(inside: Flask, tmp_path: Path, lines: Lines) -> None:
    folder = tmp_path / "outbox"
    assert trouble(f"file:{folder}", lines) == f"{folder}: No such file or directory"
    folder.mkdir()
    assert deliver(f"file:{folder}")
    assert len(list(folder.iterdir())) == 1


def test_a_full_disk_leaves_no_half_a_file(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with mail_transport.Folder(tmp_path).session() as send, pytest.raises(mail_transport.Trouble):
            send(letter())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, previous)
    assert list(tmp_path.iterdir()) == []
    with mail_transport.Folder(tmp_path).session() as send:
        send(letter())
    assert len(list(tmp_path.iterdir())) == 1
