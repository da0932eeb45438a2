"""openid-client (Node) works as the relying app, with each authentication, form_post, PAR, DPoP and JAR."""

import json
import subprocess
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.factories import SECRET
from tests.fakes import assertions
from tests.servers.node import PROGRAMS, installed
from tests.servers.person import Person, posted_form
from tests.servers.provider import AFTER_LOGOUT_URI, EMAIL, REDIRECT_URI, Server

pytestmark = [pytest.mark.servers, pytest.mark.parametrize("server", ["sqlite"], indirect=True)]

SOURCE = Path(__file__).parent / "openid_client"
PRIVATE_KEY = assertions.KEYS["ES256"].as_dict(private=True)


@pytest.fixture(scope="module")
def relying_party(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script in a folder of its own, with its packages."""
    folder = installed(SOURCE, tmp_path_factory.mktemp("openid_client"))
    return folder / "relying_party.mjs"


class Script:
    """The running script: one line of JSON in, one out. It ends with the `with` block."""

    def __init__(self, path: Path) -> None:
        self._node = subprocess.Popen(
            [PROGRAMS / "node", path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._node.kill()
        self._node.communicate()

    def ask(self, said: dict[str, Any]) -> dict[str, Any]:
        """The script's answer; fails with its error when it ends instead."""
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.stdin.write(json.dumps(said) + "\n")
        self._node.stdin.flush()
        line = self._node.stdout.readline()
        if not line:
            pytest.fail(f"the script ended:\n{self._node.communicate()[1][-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def settings(server: Server, **changes: Any) -> dict[str, Any]:
    """What the script is told first: the portal by default."""
    portal = {
        "issuer": server.issuer,
        "client_id": "portal",
        "client_secret": SECRET,
        "authentication": "client_secret_basic",
        "alg": "RS256",
        "response_mode": "query",
        "redirect_uri": REDIRECT_URI,
        "after_logout_uri": AFTER_LOGOUT_URI,
    }
    return portal | changes


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"client_id": "poster", "authentication": "client_secret_post"},
        {"client_id": "keyed", "authentication": "private_key_jwt", "private_key": PRIVATE_KEY},
        {"client_id": "spa", "authentication": "none"},
        {"response_mode": "form_post"},
        {"client_id": "curve", "alg": "ES256"},
    ],
    ids=["basic", "post", "private_key_jwt", "none", "form_post", "ES256"],
)
def test_login_userinfo_and_logout(server: Server, relying_party: Path, changes: dict[str, Any]) -> None:
    asked = settings(server, **changes)
    with Script(relying_party) as script, Person(server.issuer) as anna:
        returned = anna.log_in(script.ask(asked)["url"])
        if asked["response_mode"] == "form_post":
            result = script.ask({"body": posted_form(returned)})
        else:
            result = script.ask({"url": returned.headers["Location"]})
        assert result["metadata"] == server.issuer
        assert result["header"]["alg"] == asked["alg"]
        assert (result["claims"]["iss"], result["claims"]["aud"]) == (server.issuer, asked["client_id"])
        assert result["userinfo"]["sub"] == result["claims"]["sub"]
        assert (result["userinfo"]["name"], result["userinfo"]["email"]) == ("Anna Åsén", EMAIL)
        assert anna.visit(result["logout"]).headers["Location"] == f"{AFTER_LOGOUT_URI}?state=bye"


@pytest.mark.parametrize(
    ("client_id", "authentication", "key"),
    [
        ("offline", "client_secret_basic", None),
        ("mobile", "none", None),
        ("offline", "client_secret_basic", "ES256"),
        ("mobile", "none", "PS256"),
    ],
)
def test_refresh_introspection_revocation_and_client_credentials(
    server: Server, relying_party: Path, client_id: str, authentication: str, key: str | None
) -> None:
    asked = settings(
        server,
        client_id=client_id,
        authentication=authentication,
        scope="openid profile email offline_access",
        dpop=key,
    )
    with Script(relying_party) as script, Person(server.issuer) as anna:
        returned = anna.log_in(script.ask(asked)["url"])
        result = script.ask({"url": returned.headers["Location"]})
        offline = result["offline"]
        assert result["type"] == ("dpop" if key else "bearer")
        for name in ("iss", "sub", "aud", "auth_time", "sid"):
            assert offline["claims"][name] == result["claims"][name]
        assert offline["userinfo"]["email"] == EMAIL
        assert offline["rotates"] is (client_id == "mobile")
        assert offline["afterwards"] == "invalid_grant"
        if client_id == "offline":
            assert offline["active"] is True
            assert (offline["own"]["active"], offline["own"]["sub"]) == (True, "offline")


@pytest.mark.parametrize(
    ("client_id", "changes", "sent"),
    [
        ("strict", {"dpop": "ES256"}, {"client_id", "request_uri"}),
        ("signing", {"request_object": True}, {"client_id", "request"}),
        ("strict", {"dpop": "ES256", "request_object": True}, {"client_id", "request_uri"}),
    ],
    ids=["PAR with DPoP", "JAR", "JAR pushed with DPoP"],
)
def test_requests_that_nobody_between_can_change(
    server: Server, relying_party: Path, client_id: str, changes: dict[str, Any], sent: set[str]
) -> None:
    """Login, refresh, userinfo and logout with private_key_jwt; the browser carries nothing it could change.

    Each client's entry demands it, so that an ordinary request of the same app is refused.
    """
    asked = settings(
        server,
        client_id=client_id,
        authentication="private_key_jwt",
        private_key=PRIVATE_KEY,
        scope="openid profile email offline_access",
        **changes,
    )
    with Script(relying_party) as script, Person(server.issuer) as anna:
        url = script.ask(asked)["url"]
        assert set(parse_qs(urlsplit(url).query)) == sent
        result = script.ask({"url": anna.log_in(url).headers["Location"]})
        assert result["type"] == ("dpop" if "dpop" in changes else "bearer")
        offline = result["offline"]
        for claims in (result["claims"], offline["claims"]):
            assert (claims["iss"], claims["aud"]) == (server.issuer, client_id)
        assert result["userinfo"] == offline["userinfo"]
        assert offline["userinfo"]["email"] == EMAIL
        assert (offline["active"], offline["afterwards"]) == (True, "invalid_grant")
        assert anna.visit(result["logout"]).headers["Location"] == f"{AFTER_LOGOUT_URI}?state=bye"
    plain = settings(server, client_id=client_id, authentication="private_key_jwt", private_key=PRIVATE_KEY)
    with Script(relying_party) as script, Person(server.issuer) as anna:
        refused = parse_qs(urlsplit(anna.visit(script.ask(plain)["url"]).headers["Location"]).query)
        assert refused["error"] == ["invalid_request"]


@pytest.mark.parametrize("parameter", ["state", "iss"])
def test_the_relying_app_refuses_a_response_that_was_changed(
    server: Server, relying_party: Path, parameter: str
) -> None:
    """openid-client looks at what we send along, so the test above would hear of a wrong one (RFC 9207)."""
    with Script(relying_party) as script, Person(server.issuer) as anna:
        returned = anna.log_in(script.ask(settings(server))["url"]).headers["Location"]
        assert f"&{parameter}=" in returned
        with pytest.raises(pytest.fail.Exception, match=f'"{parameter}"'):
            script.ask({"url": returned.replace(f"&{parameter}=", f"&{parameter}=x")})
