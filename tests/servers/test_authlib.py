"""A Python portal with Authlib works as the relying app of a running provider."""

from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oidc.core import CodeIDToken, UserInfo
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.factories import SECRET
from tests.servers.person import Person
from tests.servers.provider import AFTER_LOGOUT_URI, EMAIL, REDIRECT_URI, Server

pytestmark = pytest.mark.servers

VERIFIER = "a-verifier-that-is-a-good-deal-longer-than-43-characters"
NONCE = "a-nonce"


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
def test_login_userinfo_and_logout(server: Server) -> None:
    metadata = httpx2.get(f"{server.issuer}/.well-known/openid-configuration", trust_env=False).json()
    assert metadata["issuer"] == server.issuer
    keys = KeySet.import_key_set(httpx2.get(metadata["jwks_uri"], trust_env=False).json())
    with (
        Person(server.issuer) as anna,
        OAuth2Client(
            "portal",
            SECRET,
            scope="openid profile email",
            redirect_uri=REDIRECT_URI,
            code_challenge_method="S256",
            trust_env=False,
        ) as portal,
    ):
        endpoint = metadata["authorization_endpoint"]
        url, state = portal.create_authorization_url(endpoint, code_verifier=VERIFIER, nonce=NONCE)
        returned = anna.log_in(url).headers["Location"]
        assert parse_qs(urlsplit(returned).query)["iss"] == [server.issuer]

        token = portal.fetch_token(
            metadata["token_endpoint"],
            authorization_response=returned,
            state=state,
            code_verifier=VERIFIER,
        )
        assert token["token_type"] == "Bearer"
        decoded = jwt.decode(token["id_token"], keys, algorithms=["RS256"])
        id_token = CodeIDToken(
            decoded.claims,
            decoded.header,
            options={
                "iss": {"essential": True, "value": server.issuer},
                "aud": {"essential": True, "value": "portal"},
                "nonce": {"essential": True, "value": NONCE},
            },
            params={"client_id": "portal", "nonce": NONCE, "access_token": token["access_token"]},
        )
        id_token.validate()
        assert id_token["at_hash"]

        userinfo = UserInfo(portal.get(metadata["userinfo_endpoint"]).json())
        assert userinfo.sub == id_token["sub"]
        assert (userinfo.name, userinfo.email) == ("Anna Åsén", EMAIL)

        again, _ = portal.create_authorization_url(endpoint, code_verifier=VERIFIER, prompt="none")
        assert "code=" in anna.visit(again).headers["Location"]
        logout = httpx2.URL(
            metadata["end_session_endpoint"],
            params={
                "id_token_hint": token["id_token"],
                "post_logout_redirect_uri": AFTER_LOGOUT_URI,
                "state": "bye",
            },
        )
        assert anna.visit(str(logout)).headers["Location"] == f"{AFTER_LOGOUT_URI}?state=bye"
        assert "error=login_required" in anna.visit(again).headers["Location"]
        assert portal.get(metadata["userinfo_endpoint"]).status_code == 401


@pytest.mark.parametrize("server", ["sqlite"], indirect=True)
def test_refresh_introspection_revocation_and_client_credentials(server: Server) -> None:
    metadata = httpx2.get(f"{server.issuer}/.well-known/openid-configuration", trust_env=False).json()
    keys = KeySet.import_key_set(httpx2.get(metadata["jwks_uri"], trust_env=False).json())
    with (
        Person(server.issuer) as anna,
        OAuth2Client(
            "offline",
            SECRET,
            scope="openid email offline_access",
            redirect_uri=REDIRECT_URI,
            code_challenge_method="S256",
            trust_env=False,
        ) as app,
    ):
        url, state = app.create_authorization_url(
            metadata["authorization_endpoint"], code_verifier=VERIFIER, nonce=NONCE
        )
        returned = anna.log_in(url).headers["Location"]
        endpoint = metadata["token_endpoint"]
        first = app.fetch_token(
            endpoint, authorization_response=returned, state=state, code_verifier=VERIFIER
        )
        second = app.refresh_token(endpoint, refresh_token=first["refresh_token"])
        claims = jwt.decode(second["access_token"], keys, algorithms=["RS256"])
        assert claims.header["typ"] == "at+jwt"
        assert app.get(metadata["userinfo_endpoint"]).json()["email"] == EMAIL
        told = app.introspect_token(metadata["introspection_endpoint"], token=second["access_token"]).json()
        assert (told["active"], told["sub"]) == (True, claims.claims["sub"])
        app.revoke_token(metadata["revocation_endpoint"], token=first["refresh_token"])
        assert app.introspect_token(
            metadata["introspection_endpoint"], token=second["access_token"]
        ).json() == {"active": False}
        own = httpx2.post(
            endpoint, data={"grant_type": "client_credentials"}, auth=("offline", SECRET), trust_env=False
        ).json()
        told = app.introspect_token(metadata["introspection_endpoint"], token=own["access_token"]).json()
        assert (told["active"], told["sub"]) == (True, "offline")
