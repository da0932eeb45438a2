"""The demo's outbox page shows the mails of a folder and keeps their HTML apart."""

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from idp import mail_transport
from idp.demo import outbox, portal
from idp.mail import OutgoingMail

LINK = "http://127.0.0.1:8000/password/reset/abc?email=anna%40example.se"
PLAIN = "Content-Type: text/plain; charset=utf-8\r\n\r\nFölj {link}\r\n"
HTML = (
    "Content-Type: text/html; charset=utf-8\r\n\r\n"
    '<!doctype html><html><head><title>x</title></head><body><a href="{link}">länk</a>'
    "<script>alert(1)</script></body></html>\r\n"
)


def letter(subject: str, minute: int) -> OutgoingMail:
    parts = "".join(f"--b\r\n{part.format(link=LINK)}" for part in (PLAIN, HTML))
    head = (
        f"Date: Sun, 22 Nov 2026 12:{minute:02}:00 +0000\r\nTo: Anna <anna@example.se>\r\n"
        f"Subject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
    )
    return OutgoingMail("anna@example.se", f"{head}{parts}--b--\r\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def visitor(folder: Path) -> FlaskClient:
    client = {
        "client_id": "demo-portal",
        "client_secret": "x",
        "redirect_uri": "http://127.0.0.1:8001/callback",
        "post_logout_redirect_uri": "http://127.0.0.1:8001/",
        "token_endpoint_auth_method": "client_secret_basic",
        "scope": "openid",
    }
    facts = {"issuer": "http://127.0.0.1:8000", "outbox_dir": str(folder), "clients": [client]}
    return portal.create_app(facts).test_client()


def deliver(folder: Path, *mails: OutgoingMail) -> list[str]:
    with mail_transport.transport(f"file:{folder}", sender="x@example.se").session() as send:
        for mail in mails:
            send(mail)
    return sorted(path.name for path in folder.glob("*.eml"))


def test_a_page_without_mails(visitor: FlaskClient) -> None:
    page = visitor.get("/outbox/?lang=sv")
    assert page.status_code == 200
    assert "Inga mejl har skickats än." in page.text
    assert "No mail has been sent yet." in visitor.get("/outbox/?lang=en").text


def test_the_newest_mail_is_first(visitor: FlaskClient, folder: Path) -> None:
    deliver(folder, letter("Det andra", 2), letter("Det första <b>", 1))
    (folder / ".20261122T120300-0.eml.1").write_text("half written")
    (folder / "notes.txt").write_text("nothing")
    page = visitor.get("/outbox/").text
    assert page.index("Det andra") < page.index("Det första &lt;b&gt;")
    assert "anna@example.se" in page
    assert page.count("<li>") == 2


def test_a_mail_has_its_text_with_links_and_a_frame(visitor: FlaskClient, folder: Path) -> None:
    (name,) = deliver(folder, letter("Återställning", 1))
    page = visitor.get(f"/outbox/{name}")
    assert page.headers["Cache-Control"] == "no-store"
    assert f'href="{LINK}"' in page.text
    assert f'src="/outbox/{name}/html"' in page.text
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page.text
    assert "alert(1)" not in page.text


def test_the_html_is_kept_apart(visitor: FlaskClient, folder: Path) -> None:
    (name,) = deliver(folder, letter("Hej", 1))
    part = visitor.get(f"/outbox/{name}/html")
    assert part.headers["Content-Security-Policy"] == outbox.HTML_POLICY
    assert "allow-scripts" not in outbox.HTML_POLICY
    assert "allow-same-origin" not in outbox.HTML_POLICY
    assert '<head><base target="_blank">' in part.text
    assert f'href="{LINK}"' in part.text


@pytest.mark.parametrize("name", ["x.eml", "..%2Fkept.json", "%2Fetc%2Fpasswd", ".x.eml", "x.txt", "%00.eml"])
@pytest.mark.parametrize("end", ["", "/html"])
def test_other_files_are_not_shown(visitor: FlaskClient, folder: Path, name: str, end: str) -> None:
    (folder / ".x.eml").write_text("Subject: x\r\n\r\n")
    (folder / "x.txt").write_text("Subject: x\r\n\r\n")
    assert visitor.get(f"/outbox/{name}{end}").status_code == 404
