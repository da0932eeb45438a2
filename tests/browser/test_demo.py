"""`idp demo` prints and writes its facts, refuses what cannot work, and leaves nothing running."""

import http.client
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bench.ports import free_port
from idp.demo.folder import new_password
from idp.demo.texts import TEXTS
from idp.password.policy import weakness
from tests.browser.running_demo import RunningDemo, descendants, environment, left_running

pytestmark = pytest.mark.servers


def get(url: str) -> tuple[int, str]:
    """Status and body of a GET; redirects are not followed."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def refused(directory: Path, *options: str, **settings: str) -> str:
    """Run a demo that has to end with status 1 before it is ready; gives what it said."""
    ended = subprocess.run(
        [sys.executable, "-m", "idp", "demo", "--data-dir", str(directory), *options],
        env=environment(**settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    return ended.stderr


def other_ports() -> list[str]:
    """Options for four ports that nobody listens on."""
    options = ("--port", "--portal-port", "--phone-port", "--bankid-port")
    return [part for option in options for part in (option, str(free_port()))]


def test_the_demos_output_and_facts(demo: RunningDemo) -> None:
    assert demo.output[-1] == f"ready {demo.issuer} portal {demo.portal}"
    assert [line for line in demo.output if line.startswith("ready ")] == demo.output[-1:]
    said = "\n".join(demo.output)
    for user in demo.facts["users"]:
        assert user["email"] in said
        assert user["password"] in said

    assert demo.facts["issuer"] == f"http://127.0.0.1:{demo.port}"
    assert demo.facts["portal_url"] == f"http://127.0.0.1:{demo.portal_port}"
    assert demo.facts["phone_url"] == f"http://127.0.0.1:{demo.phone_port}"
    assert f"BankID simulator   {demo.facts['phone_url']}" in said
    assert re.search(r"anna@example\.se .*, BankID linked$", said, re.MULTILINE)
    assert re.search(r"bjorn@example\.se .*, no BankID linked$", said, re.MULTILINE)
    assert Path(demo.facts["outbox_dir"]).is_dir()
    people = [(user["email"], user["role"], user["company"]) for user in demo.facts["users"]]
    assert people == [
        ("anna@example.se", "user", "Exempel AB"),
        ("bjorn@example.se", "company_admin", "Exempel AB"),
    ]
    known = {
        person["personal_number"] for person in json.loads(get(demo.facts["phone_url"] + "/api/people")[1])
    }
    assert {user["personal_number"] for user in demo.facts["users"]} <= known
    by_id = {client["client_id"]: client for client in demo.facts["clients"]}
    assert by_id["demo-portal"]["redirect_uri"] == f"{demo.portal}/callback"
    assert by_id["demo-portal"]["post_logout_redirect_uri"] == f"{demo.portal}/"
    assert len(by_id["demo-portal"]["client_secret"]) >= 32
    assert by_id["demo-spa"]["client_secret"] is None


def test_the_demos_files_are_its_owners_alone(demo: RunningDemo) -> None:
    paths = [demo.directory, *demo.directory.rglob("*")]
    open_to_others = [path for path in paths if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert open_to_others == []
    assert (demo.directory / "demo.json") in paths
    assert (demo.directory / "bankid" / "rp.key") in paths


def test_commands_work_beside_the_demo(demo: RunningDemo) -> None:
    listed = demo.command("users", "list", "--json")
    assert [user["email"] for user in json.loads(listed.stdout)] == ["anna@example.se", "bjorn@example.se"]
    assert demo.command("clients", "check").returncode == 0


def test_clients_file_is_read_again(demo: RunningDemo) -> None:
    ask = f"{demo.issuer}/authorize?response_type=code&client_id={{}}&redirect_uri=http://127.0.0.1:3000/cb"
    ask += "&scope=openid&code_challenge=" + "x" * 43 + "&code_challenge_method=S256"
    assert get(ask.format("my-app"))[0] == 400
    path = demo.directory / "clients.yaml"
    before = path.read_text()
    entry = "  my-app:\n    redirect_uris: [http://127.0.0.1:3000/cb]\n    token_endpoint_auth_method: none\n"
    path.write_text(before + entry)
    try:
        _wait_for(lambda: get(ask.format("my-app"))[0] == 303)
    finally:
        path.write_text(before)
    _wait_for(lambda: get(ask.format("my-app"))[0] == 400)


def _wait_for(happens: Callable[[], bool], *, within_seconds: float = 20) -> None:
    deadline = time.monotonic() + within_seconds
    while not happens():
        assert time.monotonic() < deadline, "has not happened"
        time.sleep(0.1)


def test_second_demo_on_the_same_directory(demo: RunningDemo) -> None:
    said = refused(demo.directory, *other_ports())
    assert "is in use by another `idp demo`" in said
    assert get(demo.issuer + "/readyz")[0] == 200


def test_port_in_use(tmp_path: Path) -> None:
    options = ("--port", "--portal-port", "--phone-port", "--bankid-port")
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in options]
        ports = {option: one.getsockname()[1] for option, one in zip(options, taken, strict=True)}
        said = refused(tmp_path / "data", *(str(part) for pair in ports.items() for part in pair))
    for option, port in ports.items():
        assert f"port {port} is in use: choose another with {option}\n" in said


def test_port_given_twice(tmp_path: Path) -> None:
    said = refused(tmp_path / "data", "--phone-port", "8001")
    assert "--portal-port and --phone-port are both 8001" in said


def test_the_demo_without_bankid(tmp_path: Path) -> None:
    demo = RunningDemo(tmp_path / "data", IDP_BANKID_ENVIRONMENT="off").start()
    assert demo.facts["phone_url"] is None
    assert "BankID simulator" not in "\n".join(demo.output)
    assert get(demo.issuer + "/login/bankid")[0] == 404
    assert get(demo.issuer + "/login/password")[0] == 200
    with pytest.raises(ConnectionError):
        get(f"http://127.0.0.1:{demo.phone_port}/")
    assert demo.stop() == 0
    demo.errors.close()


def test_an_address_that_no_browser_opens_is_refused(tmp_path: Path) -> None:
    assert "Set IDP_ISSUER" in refused(tmp_path / "data", "--host", "0.0.0.0", *other_ports())


def test_data_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "file" in refused(tmp_path / "file" / "data")


def test_setting_that_is_wrong(tmp_path: Path) -> None:
    said = refused(tmp_path / "data", *other_ports(), IDP_SESSION_HOURS="many", IDP_BRAND_COLOR="#000000")
    assert "IDP_SESSION_HOURS" in said
    assert "did you mean IDP_BRAND_COLOUR?" in said


def test_restart_keeps_secrets_and_what_people_changed(tmp_path: Path) -> None:
    first = RunningDemo(tmp_path / "data").start()
    assert first.stop(signal.SIGTERM) == 0
    first.errors.close()
    clients = tmp_path / "data" / "clients.yaml"
    generated = clients.read_text()

    # Other ports: the generated entries follow, the environment's settings win and are kept for commands.
    brand = {"IDP_BRAND_NAME": "Provbolaget", "IDP_DATABASE_URL": f"sqlite:///{tmp_path}/other.sqlite3"}
    second = RunningDemo(tmp_path / "data", **brand).start()
    assert second.facts["users"] == first.facts["users"]
    secrets = [client["client_secret"] for client in first.facts["clients"]]
    assert [client["client_secret"] for client in second.facts["clients"]] == secrets
    assert clients.read_text() == generated.replace(first.portal, second.portal).replace(
        first.issuer, second.issuer
    )
    assert "Provbolaget" in get(second.issuer + "/login/password")[1]
    assert (tmp_path / "other.sqlite3").exists()
    assert json.loads(second.command("users", "list", "--json").stdout)
    assert second.stop() == 0
    second.errors.close()

    # Once changed by hand the file stays, and the demo says what it lacks.
    changed = clients.read_text().replace("Demoappen", "Min app")
    clients.write_text(changed)
    third = RunningDemo(tmp_path / "data", options=["--host", "localhost"]).start()
    assert third.issuer == f"http://localhost:{third.port}"
    assert third.portal == f"http://localhost:{third.portal_port}"
    assert get(third.facts["phone_url"] + "/")[0] == 200
    assert clients.read_text() == changed
    assert f"demo-portal: redirect_uris lacks {third.portal}/callback" in "\n".join(third.output)
    assert third.stop() == 0
    third.errors.close()


@pytest.mark.parametrize("victim", ["runner", "part"])
def test_a_demo_killed_outright_leaves_nothing_running(tmp_path: Path, victim: str) -> None:
    demo = RunningDemo(tmp_path / "data").start()
    started = descendants(demo.process.pid)
    assert len(started) >= 4
    if victim == "runner":
        assert demo.stop(signal.SIGKILL) == -signal.SIGKILL
    else:
        os.kill(min(started), signal.SIGKILL)
        assert demo.process.wait(20) == 1
        assert "has stopped (signal 9), so the demo ends" in demo.log()
        demo.stop()
    assert left_running(started, within_seconds=20) == set()
    demo.errors.close()


def test_made_passwords_are_good_ones() -> None:
    made = {new_password() for _ in range(50)}
    assert len(made) == 50
    assert {weakness(password, ("anna@example.se", "Anna", "Exempel AB")) for password in made} == {None}


def test_portal_says_everything_in_both_languages() -> None:
    assert TEXTS["sv"].keys() == TEXTS["en"].keys()
    same = {key for key, text in TEXTS["sv"].items() if TEXTS["en"][key] == text}
    assert same == {"userinfo_title"}
