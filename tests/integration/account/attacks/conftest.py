"""Anna and her company's administrator, each logged in at a browser."""

import pytest
from flask import Flask
from time_machine import Traveller

from idp.account import linking_views
from idp.crypto import NUMBER_KEYS, PersonalNumberKeys
from idp.users.models import Role
from tests.factories import make_user
from tests.integration.account.attacks.forms import ANNA, BERIT, KEYS
from tests.integration.admin.conftest import Person


@pytest.fixture
def colleague(app: Flask, clock: Traveller) -> str:
    """Anna of Exempel AB, whose administrator is Berit; her id."""
    NUMBER_KEYS.put(app, PersonalNumberKeys(KEYS))
    app.register_blueprint(linking_views.blueprint)  # as where BankID is on
    with app.app_context():
        make_user(email=BERIT, name="Berit Öst", role=Role.COMPANY_ADMIN)
        return str(make_user().id)


@pytest.fixture
def admin(app: Flask, colleague: str) -> Person:
    return Person(app, app.test_client()).log_in(BERIT)


@pytest.fixture
def anna(app: Flask, colleague: str) -> Person:
    return Person(app, app.test_client()).log_in(ANNA)
