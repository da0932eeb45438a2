"""The benchmark counts right and sees every failure."""

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet, RSAKey

from bench import run as bench_run
from bench import service, waiting
from bench.driver import BANKID_WAIT, SCENARIOS, Plan, Run, Scenario, drive, percentile
from bench.provider import clients_yaml
from bench.run import bankid_figures, hash_ms, hash_share, parse, purge_figures, summarise, table
from bench.usage import cpu_ms, process_tree
from bench.visitor import Account, Client, FlowError, LoginPage, Provider, Visitor
from bench.waiting import LONGEST_RENEWAL_POLLS, WaitingVisitor
from bench.wire import Answer, Browser, CookieJar, WireError
from idp.oidc.clients.registry import load_clients

ISSUER = "http://127.0.0.1:8000"
KEY = RSAKey.generate_key(2048, parameters={"kid": "one", "alg": "RS256", "use": "sig"}, auto_kid=False)
OTHER_KEY = RSAKey.generate_key(2048, parameters={"kid": "one", "alg": "RS256", "use": "sig"}, auto_kid=False)
PROVIDER = Provider(ISSUER, Client("bench", "s", "http://127.0.0.1:9/cb"), {}, KeySet([KEY]))
NOBODY = Account("", "")


def answer_to(raw: bytes) -> Answer:
    """What the client makes of these bytes on the wire."""

    async def exchange() -> Answer:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(raw)
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            browser = Browser(f"http://127.0.0.1:{port}")
            try:
                return await browser.get(f"{browser.origin}/page?q=1")
            finally:
                browser.close()

    return asyncio.run(exchange())


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\n\r\n",
            b"hello",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: x\r\n\r\n", b"a"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
def test_bodies_are_read_whole(raw: bytes, body: bytes) -> None:
    assert answer_to(raw).body == body


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"",
    ],
)
def test_a_body_cut_short_is_an_error(raw: bytes) -> None:
    with pytest.raises(WireError):
        answer_to(raw)


def test_only_this_machine_is_contacted() -> None:
    with pytest.raises(ValueError, match="this machine only"):
        Browser("http://login.example.se")
    with pytest.raises(WireError, match="out of the provider"):
        asyncio.run(Browser(ISSUER).get("http://127.0.0.1:80001/jwks"))


def test_cookies_are_kept_by_path_and_deleted() -> None:
    jar = CookieJar()
    jar.take("session=a; Path=/; HttpOnly", "/login/1")
    jar.take("pending=b; Path=/login", "/login/1")
    assert jar.header("/login/1") == "Cookie: session=a; pending=b\r\n"
    assert jar.header("/loginx") == "Cookie: session=a\r\n"
    jar.take("session=; Max-Age=0; Path=/", "/logout")
    jar.take("pending=c; Max-Age=0; Path=/login", "/login/1")
    assert jar.header("/login/1") == ""


def test_the_login_form_is_told_from_other_forms() -> None:
    page = LoginPage(
        b'<a id="tab-password" href="/login/1/password?a=1&amp;b=2">E-post</a>'
        b'<form id="language"><input type="hidden" name="csrf_token" value="other"></form>'
        b'<form id="login-form" method="post"><input type="hidden" name="csrf_token" value="a&amp;b">'
        b'<input name="email" value="x"></form><form><input type="hidden" name="late" value="1"></form>'
    )
    assert page.tab == "/login/1/password?a=1&b=2"
    assert page.action == ""
    assert page.hidden == {"csrf_token": "a&b"}


def tokens(**changes: Any) -> dict[str, Any]:
    half = hashlib.sha256(b"at").digest()[:16]
    now = int(time.time())
    claims = {
        **{"iss": ISSUER, "aud": "bench", "sub": "alice", "nonce": "n", "iat": now, "exp": now + 300},
        **{"at_hash": urlsafe_b64encode(half).rstrip(b"=").decode()},
    }
    key = changes.pop("key", KEY)
    return {
        "access_token": "at",
        "id_token": jwt.encode({"alg": "RS256", "kid": "one"}, {**claims, **changes}, key),
    }


def test_a_right_id_token_is_accepted() -> None:
    assert PROVIDER.check_id_token(tokens(), "n", signature=True)["sub"] == "alice"


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        *(("iss", f"{ISSUER}/"), ("aud", "other"), ("aud", ["bench", "other"]), ("nonce", "m")),
        *(("exp", 1), ("iat", 2**40), ("sub", ""), ("at_hash", "x")),
    ],
)
def test_a_wrong_claim_is_an_error(claim: str, value: object) -> None:
    with pytest.raises(FlowError, match=f"wrong {claim}"):
        PROVIDER.check_id_token(tokens(**{claim: value}), "n", signature=False)


def test_a_wrong_signature_is_an_error() -> None:
    with pytest.raises(BadSignatureError):
        PROVIDER.check_id_token(tokens(key=OTHER_KEY), "n", signature=True)


@pytest.mark.parametrize(("percent", "expected"), [(50, 50.0), (99, 99.0), (100, 100.0), (0, 1.0)])
def test_percentiles(percent: float, expected: float) -> None:
    assert percentile([float(value) for value in range(1, 101)], percent) == expected
    assert percentile([7.0], percent) == 7.0


def spending(program: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


def test_cpu_time_of_children_counts_also_when_they_have_ended() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass\n"
    program = (
        f"import subprocess, sys, time\nsubprocess.run([sys.executable, '-c', {burn!r}])\n"
        "waits = [sys.executable, '-c', 'import sys; sys.stdin.read()']\n"
        "child = subprocess.Popen(waits, stdin=subprocess.PIPE)\n"
        "print('ready', flush=True)\nchild.wait()"
    )
    with spending(program) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        tree = process_tree(parent.pid)
        used = cpu_ms(parent.pid)
        parent.kill()
    assert tree[0] == parent.pid
    assert len(tree) == 2
    assert 290 <= used < 2000


def run(**changes: Any) -> Run:
    values: dict[str, Any] = {
        **{"scenario": "login", "operations": 10, "errors": 0, "first_errors": [], "p50_ms": 5.0},
        **{"cpu_ms": {"provider": 2.0, "driver": 0.5}, "worker_memory_mib": [61.0, 60.0]},
    }
    return Run(**{**values, **changes})


def test_the_summary_holds_medians_and_all_errors() -> None:
    runs = [run(p50_ms=9.0), run(errors=2), run(p50_ms=1.0, cpu_ms={"provider": 7.0}), run(scenario="jwks")]
    summary = summarise(runs)
    assert list(summary) == ["login", "jwks"]
    assert summary["login"]["p50_ms"] == 5.0
    assert summary["login"]["cpu_ms.provider"] == 2.0
    assert summary["login"]["errors"] == 2
    assert "61 60" in table(summary)


def test_a_scenario_that_never_succeeded_is_shown_with_its_errors() -> None:
    summary = summarise([Run("login", 0, 3, ["set-up: refused"])])
    assert summary["login"]["errors"] == 3
    row = table(summary).splitlines()[1].split()
    assert row == ["login", *("-" for _ in range(9)), "3", "-"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--seconds", "0"],
        ["--repeat", "21"],
        ["--scenarios", "jwks,x"],
        ["--concurrency", "-1"],
        ["--waiting", "0"],
        ["--clients", "20001"],
    ],
)
def test_impossible_options_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert parse([]).repeat == 3
    with pytest.raises(SystemExit):
        parse(arguments)
    assert arguments[0].strip("-").removesuffix("s") in capsys.readouterr().err


def polled(answer: str, *frames: tuple[float, str], without_code: int = 0) -> str:
    """What a visitor who has seen these frames says of an answer to a poll; empty: nothing."""

    async def poll() -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\n\r\n{answer}".encode())
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            visitor = WaitingVisitor(Provider(origin, PROVIDER.client, {}, PROVIDER.keys), NOBODY, count())
            visitor.poll_url = f"{origin}/poll"
            visitor.frames.extend(frames)
            visitor.without_code_now = without_code
            try:
                await visitor.poll()
            except FlowError as error:
                return str(error)
            finally:
                visitor.browser.close()
            return ""

    return asyncio.run(poll())


def test_a_poll_wants_a_pending_order_and_a_code_that_moves() -> None:
    now = time.perf_counter()
    pending = {"state": "pending", "qr": "<svg>2</svg>"}
    assert not polled(json.dumps(pending))
    assert not polled(json.dumps(pending), (now - 2, "<svg>1</svg>"), (now + 60, "<svg>2</svg>"))
    assert polled(json.dumps(pending), (now - 1, "<svg>2</svg>")) == "the QR code stands still"
    assert polled(json.dumps(pending | {"state": "failed"})) == "failed, not pending"


def test_a_code_may_be_missing_for_a_while_only() -> None:
    bare = json.dumps({"state": "pending", "qr": None})
    assert not polled(bare)
    assert not polled(bare, without_code=LONGEST_RENEWAL_POLLS - 1)
    assert polled(bare, without_code=LONGEST_RENEWAL_POLLS) == "pending, without a QR code"


def test_a_late_operation_is_late_from_when_it_was_due_and_holds_up_no_other() -> None:
    """With `every`, an operation that takes three times as long leaves the next ones late too."""
    begun = []

    async def slow_at_first(_visitor: Visitor) -> None:
        begun.append(1)
        await asyncio.sleep(0.3 if len(begun) == 1 else 0)

    paced = Scenario(slow_at_first, every=0.1)
    window = asyncio.run(drive(paced, [Visitor(PROVIDER, NOBODY, count())], 0.45))
    assert len(window.latencies_ms) == 5
    first, second, *_rest = window.latencies_ms
    assert first > 250
    assert second > 150


def test_the_people_who_wait_and_the_length_of_a_window() -> None:
    plan = Plan(ISSUER, PROVIDER.client, [NOBODY], list(SCENARIOS), None, 1, {}, waiting=7)
    assert [len(plan.people(name)) for name in ("login", BANKID_WAIT)] == [1, 7]
    assert plan.window(BANKID_WAIT) > 30  # an order's time to be scanned: each is renewed once
    assert Plan(ISSUER, PROVIDER.client, [], [], 3.0, 1, {}).window(BANKID_WAIT) == 3.0


def test_the_cost_of_waiting_is_reported() -> None:
    waited = run(
        scenario=BANKID_WAIT,
        operations=6000,
        operations_per_second=300.0,
        cpu_ms={"simulator": 0.5},
        memory_before_mib=[60.0],
        bankid={"collects": 2400, "orders": 12, "without_code": 9},
    )
    assert bankid_figures(waited, 300) == (
        "bankid_wait: 300 waited; 2400 collects, 0.80 in two seconds for each; 12 orders renewed, "
        "9 polls without a code meanwhile; simulator 0.50 ms; workers 60 MiB before, 61 60 after"
    )


def test_clients_that_nobody_uses_stand_before_those_that_are_measured(tmp_path: Path) -> None:
    path = tmp_path / "clients.yaml"
    for number, expected in {1: 3, 3: 3, 20: 20}.items():
        path.write_text(clients_yaml(PROVIDER.client, number))
        found = load_clients(path, login_methods=["password", "bankid"])
        assert len(found) == expected
        assert list(found)[-3:] == ["bench", waiting.CLIENT_ID, service.CLIENT_ID]


def test_the_purges_cost_is_reported() -> None:
    summary = summarise([run(cpu_ms={"provider": 2.0, "purge": 0.125}), run(scenario="jwks")])
    assert purge_figures(summary) == "purge beside, CPU milliseconds for each operation: login 0.12"


def test_the_hashs_share_of_a_login() -> None:
    assert hash_ms() > 1
    assert hash_share(50.0, 40.0) == "login: 40.0 of 50.0 ms are the password hash, 80%"


@pytest.mark.parametrize(("errors", "code"), [(0, 0), (1, 1)])
def test_a_failed_operation_is_seen_in_the_exit_code(
    errors: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = ["WireError: refused"] * errors
    monkeypatch.setattr(bench_run, "benchmark", lambda _options: [run(errors=errors, first_errors=failures)])
    monkeypatch.setattr(signal, "signal", lambda *_arguments: None)
    assert bench_run.main([]) == code
    assert ("login: WireError: refused" in capsys.readouterr().err) == bool(errors)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """An empty folder for temporary files that PostgreSQL's own account may pass through too."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.mark.servers
@pytest.mark.postgresql
def test_the_whole_benchmark_runs_and_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    """One visitor, two who wait, seconds: server, PostgreSQL, simulator, driver, and a purge beside them."""
    command = [sys.executable, "-m", "bench", "--repeat", "1", "--concurrency", "1", "--waiting", "2"]
    command += ["--clients", "12", "--purge"]
    done = subprocess.run(
        [*command, "--seconds", "2.8", "--scenarios", "login,bankid_wait", "--json", tmp_path / "bench.json"],
        check=False,
        capture_output=True,
        text=True,
        timeout=180,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert done.returncode == 0, done.stderr
    login, wait = json.loads((tmp_path / "bench.json").read_text())["runs"]
    assert login["operations"] > 0
    assert login["cpu_ms"]["provider"] > 1
    assert len(login["worker_memory_mib"]) == 2
    assert login["cpu_ms"]["purge"] > 0
    assert wait["operations"] == 6  # two people, due at once and twice more
    assert 1 <= wait["bankid"]["collects"] <= 4
    assert wait["bankid"]["orders"] == 0
    assert "2 waited" in done.stdout
    assert "purge beside" in done.stdout
    assert list(temporary.iterdir()) == []
