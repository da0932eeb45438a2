"""Each environment pins its roots, and the simulator's is read from its folder."""

import json
import shutil
from pathlib import Path

import pytest

from idp.bankid.api import environment
from idp.bankid.api.environment import ROOTS, SetupError, fingerprint


def test_production_is_pinned() -> None:
    production = environment.production()
    assert production.name == "production"
    assert production.base_url == "https://appapi2.bankid.com/rp/v6.0/"
    assert fingerprint(production.ssl_root) == (
        "e6a2d45c0a1051c959428649f86a09a9b2152cd551993cc2eb4cf094bdacbecb"
    )
    assert fingerprint(production.signature_root) == (
        "ca32588e385b961d58e26010c6f8c839f7ca071e497de6b7841640a61506fd31"
    )
    assert production.policies["mobile"] == "1.2.752.78.1.5"


def test_the_test_environment_is_pinned() -> None:
    test = environment.test()
    assert test.name == "test"
    assert test.base_url == "https://appapi2.test.bankid.com/rp/v6.0/"
    assert fingerprint(test.ssl_root) == "f3d0740ebfb3700e3b81aa791fee451472698c84e199c2eb48a443ff1d5b405c"
    assert fingerprint(test.signature_root) == (
        "c6faeaf8ccadcfd0738dc99140ca788c1a19a93f843c5a9ec1369872d50e45f2"
    )
    assert test.policies["mobile"] == "1.2.3.4.25"


def test_no_policy_of_the_test_environment_is_good_in_production_but_nordeas() -> None:
    shared = set(environment.production().policies.values()) & set(environment.test().policies.values())
    assert shared == {"1.2.752.71.1.3"}


@pytest.mark.parametrize("root", ["production-ssl.pem", "production-signature.pem"])
def test_production_refuses_an_exchanged_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: str
) -> None:
    shutil.copytree(ROOTS, tmp_path / "roots")
    monkeypatch.setattr(environment, "ROOTS", tmp_path / "roots")
    assert environment.production()
    shutil.copy(ROOTS / root.replace("production", "test"), tmp_path / "roots" / root)
    with pytest.raises(SetupError, match=f"{root} is not the root"):
        environment.production()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a simulator leaves in its folder; any two roots will do."""
    shutil.copy(ROOTS / "test-ssl.pem", tmp_path / "ssl-root.pem")
    shutil.copy(ROOTS / "test-signature.pem", tmp_path / "signature-root.pem")
    facts = {"base_url": "https://127.0.0.1:8443/rp/v6.0/", "phone_url": "http://127.0.0.1:8002"}
    (tmp_path / "environment.json").write_text(json.dumps(facts))
    return tmp_path


def test_the_simulators_folder_is_an_environment(folder: Path) -> None:
    simulator = environment.simulator(folder)
    assert (simulator.name, simulator.base_url) == ("simulator", "https://127.0.0.1:8443/rp/v6.0/")
    assert simulator.ssl_root == environment.test().ssl_root
    assert simulator.signature_root == environment.test().signature_root
    assert simulator.policies == environment.test().policies


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("environment.json", None, "start it with `idp bankid-simulator`"),
        ("environment.json", "", "does not contain"),
        ("environment.json", "[]", "does not contain"),
        ("environment.json", "{}", "does not contain"),
        ("environment.json", '{"base_url": null}', "https address"),
        ("environment.json", '{"base_url": "http://127.0.0.1:8443/rp/v6.0/"}', "https address"),
        ("environment.json", '{"base_url": "https://127.0.0.1:8443/rp/v6.0"}', "ends with a slash"),
        ("ssl-root.pem", None, "cannot be read"),
        ("signature-root.pem", "no certificate", "does not contain a certificate in PEM form"),
    ],
)
def test_problems_of_the_simulators_folder_are_named_plainly(
    folder: Path, name: str, content: str | None, words: str
) -> None:
    assert environment.simulator(folder)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(SetupError, match=words):
        environment.simulator(folder)
