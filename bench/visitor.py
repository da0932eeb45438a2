"""A person with a browser, and the relying app that they visit: the steps of every scenario."""

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any, Self
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

from joserfc import jws
from joserfc.jwk import KeySet

from bench.wire import Answer, Browser

SCOPE = "openid profile email"
SIGNATURE_EVERY = 20  # checking each would cost the driver as much as all the rest of a flow
MOST_REDIRECTS = 8


class FlowError(Exception):
    """A step did not end as OpenID Connect says that it should."""


@dataclass(frozen=True)
class Client:
    """The relying app's entry in clients.yaml, with its secret."""

    client_id: str
    client_secret: str
    redirect_uri: str


@dataclass(frozen=True)
class Account:
    email: str
    password: str


@dataclass(frozen=True)
class Granted:
    """What the relying app keeps between the redirect and its token request."""

    code: str
    verifier: str
    nonce: str


class LoginPage(HTMLParser):
    """Finds the e-mail tab and the login form with its hidden fields."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tab: str | None = None
        self.action: str | None = None
        self.hidden: dict[str, str] = {}
        self._inside = False
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if given.get("id") == "tab-password":
            self.tab = given.get("href")
        elif tag == "form":
            self._inside = given.get("id") == "login-form"
            if self._inside:
                self.action = given.get("action", "")
        elif self._inside and tag == "input" and given.get("type") == "hidden":
            self.hidden[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


@dataclass(frozen=True)
class Provider:
    """The provider as its discovery document and key set describe it."""

    issuer: str
    client: Client
    metadata: dict[str, Any]
    keys: KeySet

    @classmethod
    async def discover(cls, issuer: str, client: Client) -> Self:
        browser = Browser(issuer)
        try:
            metadata = ok(await browser.get(f"{issuer}/.well-known/openid-configuration")).json()
            keys = ok(await browser.get(metadata["jwks_uri"])).json()
        finally:
            browser.close()
        return cls(issuer, client, metadata, KeySet.import_key_set(keys))

    def check_id_token(self, tokens: dict[str, Any], nonce: str, *, signature: bool) -> dict[str, Any]:
        """The ID token's claims (OIDC Core §3.1.3.7, §3.1.3.6). Raises `FlowError`."""
        token: str = tokens["id_token"]
        claims: dict[str, Any] = json.loads(_unpadded(token.split(".")[1]))
        half_hash = hashlib.sha256(tokens["access_token"].encode()).digest()[:16]
        now = time.time()
        for name, holds in {
            "iss": claims["iss"] == self.issuer,
            "aud": claims["aud"] in (self.client.client_id, [self.client.client_id]),
            "nonce": claims["nonce"] == nonce,
            "exp": claims["exp"] > now,
            "iat": claims["iat"] <= now + 1,
            "sub": bool(claims["sub"]),
            "at_hash": claims.get("at_hash") in (None, _base64url(half_hash)),
        }.items():
            if not holds:
                raise FlowError(f"ID token: wrong {name}")
        if signature:
            jws.deserialize_compact(token, self.keys, algorithms=["RS256"])
        return claims


class Visitor:
    """One virtual user: the same person, connection and cookie jar for a whole run."""

    def __init__(self, provider: Provider, account: Account, turns: Iterator[int]) -> None:
        self.provider = provider
        self.account = account
        self.turns = turns  # shared by all visitors, so that one ID token in so many is verified
        self.browser = Browser(provider.issuer)
        self.access_token = self.refresh_token = ""
        self.scope = SCOPE

    async def plain(self, url: str) -> None:
        """A GET that must answer 200 with something."""
        if not ok(await self.browser.get(url)).body:
            raise FlowError(f"{urlsplit(url).path}: empty")

    async def sign_on(self) -> None:
        """A whole single sign-on: code, tokens, userinfo about the same person."""
        claims = await self.redeem(await self.authorize())
        await self.read_userinfo(claims["sub"])

    async def log_in(self) -> None:
        """A whole login by e-mail and password in a fresh browser, up to the tokens."""
        self.browser.jar.cookies.clear()
        await self.redeem(await self.authorize(fresh=True))

    async def authorize(self, *, fresh: bool = False) -> Granted:
        """The code for an authorization request (OIDC Core §3.1.2, RFC 7636, RFC 9207).

        `fresh`: the login form must come, and is filled in; otherwise it must not.
        """
        client, endpoint = self.provider.client, self.provider.metadata["authorization_endpoint"]
        verifier, state, nonce = (secrets.token_urlsafe(size) for size in (48, 16, 16))
        parameters = {
            "response_type": "code",
            "client_id": client.client_id,
            "redirect_uri": client.redirect_uri,
            "scope": self.scope,
            "state": state,
            "nonce": nonce,
            "code_challenge": s256(verifier),
            "code_challenge_method": "S256",
        }
        url = f"{endpoint}?{urlencode(parameters)}"
        url, page = await self._follow(url, await self.browser.get(url))
        if fresh != (page is not None):
            raise FlowError(f"{urlsplit(url).path}: a login was {'' if fresh else 'not '}due")
        if page is not None:
            url = await self._fill_in(url, page)
        answer = dict(parse_qsl(urlsplit(url).query))
        if "code" not in answer or answer.get("state") != state or answer.get("iss") != self.provider.issuer:
            raise FlowError(f"no code, or a wrong state or iss: {sorted(answer)} {answer.get('error', '')}")
        return Granted(answer["code"], verifier, nonce)

    async def redeem(self, granted: Granted) -> dict[str, Any]:
        """The checked claims of the ID token for a code; keeps the access token (OIDC Core §3.1.3)."""
        client = self.provider.client
        pair = f"{quote(client.client_id, safe='')}:{quote(client.client_secret, safe='')}"
        answer = await self.browser.post(
            self.provider.metadata["token_endpoint"],
            {
                "grant_type": "authorization_code",
                "code": granted.code,
                "redirect_uri": client.redirect_uri,
                "code_verifier": granted.verifier,
            },
            {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"},
        )
        tokens = ok(answer).json()
        self.access_token = tokens["access_token"]
        self.refresh_token = tokens.get("refresh_token", "")
        verify = next(self.turns) % SIGNATURE_EVERY == 0
        return self.provider.check_id_token(tokens, granted.nonce, signature=verify)

    async def read_userinfo(self, sub: str | None = None) -> None:
        """GET /userinfo; with `sub` given the answer must be about that person (OIDC Core §5.3.4)."""
        headers = {"Authorization": f"Bearer {self.access_token}"}
        claims = ok(await self.browser.get(self.provider.metadata["userinfo_endpoint"], headers)).json()
        if not claims["sub"] or sub not in (None, claims["sub"]):
            raise FlowError("userinfo: another sub")

    async def _fill_in(self, url: str, answer: Answer) -> str:
        page = LoginPage(answer.body)
        if page.action is None and page.tab is not None:
            url = urljoin(url, page.tab)
            page = LoginPage(ok(await self.browser.get(url)).body)
        if page.action is None:
            raise FlowError(f"{urlsplit(url).path}: no login form")
        target = urljoin(url, page.action) if page.action else url
        fields = {**page.hidden, "email": self.account.email, "password": self.account.password}
        came_from = {"Origin": self.provider.issuer, "Referer": url}
        url, rest = await self._follow(target, await self.browser.post(target, fields, came_from))
        if rest is not None:
            raise FlowError(f"{urlsplit(url).path}: the login was not accepted")
        return url

    async def _follow(self, url: str, answer: Answer) -> tuple[str, Answer | None]:
        """Where redirects end: a page of the provider, or the relying app's address (and no page)."""
        for _ in range(MOST_REDIRECTS):
            if answer.status not in (302, 303):
                return url, ok(answer)
            url = urljoin(url, answer.headers["location"])
            if url.startswith(f"{self.provider.client.redirect_uri}?"):
                return url, None
            answer = await self.browser.get(url)
        raise FlowError(f"{urlsplit(url).path}: too many redirects")


def ok(answer: Answer) -> Answer:
    """The answer, if it is 200. Raises `FlowError`."""
    if answer.status != 200:
        beginning = answer.body[:160].decode(errors="replace")
        raise FlowError(f"{answer.path}: {answer.status} {beginning}")
    return answer


def s256(verifier: str) -> str:
    """The code challenge of a verifier (RFC 7636 §4.2)."""
    return _base64url(hashlib.sha256(verifier.encode()).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
