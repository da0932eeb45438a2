"""A phone's browser, and how many browsers are logged in."""

import sqlalchemy as sa
from flask import Flask

from idp.db import db
from idp.login.models import BrowserSession
from tests.integration.bankid.conftest import Phone

ANDROID = (
    "Mozilla/5.0 (Linux; Android 16; Pixel 10) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Mobile Safari/537.36"
)


def sessions(app: Flask) -> int:
    with app.app_context():
        return db.session.scalar(sa.select(sa.func.count()).select_from(BrowserSession)) or 0


def nonce_of(phone: Phone) -> str:
    url = phone.orders()[0]["return_url"]
    assert url is not None
    return str(url.partition("#nonce=")[2])
