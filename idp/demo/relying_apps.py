"""The demo's own entries in clients.yaml."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from idp.demo.folder import SavedSecrets, write_private
from idp.oidc.clients.client import Client


@dataclass(frozen=True)
class RelyingApp:
    """A client of the demo; its paths are the portal's."""

    client_id: str
    name: str
    name_en: str
    auth_method: str
    callback: str
    home: str
    login: str
    scope: str
    comment: str
    consent: str = "implicit"
    subject_type: str = "public"

    @property
    def backchannel_logout(self) -> str:
        return "/backchannel-logout" + self.home.rstrip("/")

    @property
    def is_public(self) -> bool:
        return self.auth_method == "none"


APPS = (
    RelyingApp(
        client_id="demo-portal",
        name="Demoportalen",
        name_en="Demo portal",
        auth_method="client_secret_basic",
        callback="/callback",
        home="/",
        login="/login",
        scope="openid profile email phone",
        comment="the portal",
    ),
    RelyingApp(
        client_id="demo-consent",
        name="Demorapporter",
        name_en="Demo reports",
        auth_method="client_secret_post",
        callback="/callback/consent",
        home="/consent",
        login="/login/consent",
        scope="openid profile email",
        comment="asks the person first, and gets a sub of its own",
        consent="explicit",
        subject_type="pairwise",
    ),
    RelyingApp(
        client_id="demo-spa",
        name="Demoappen",
        name_en="Demo app",
        auth_method="none",
        callback="/callback/spa",
        home="/spa",
        login="/login/spa",
        scope="openid profile email",
        comment="a public client: no secret, only PKCE",
    ),
)

HEAD = """\
# The relying apps of the demo. Change this file while the demo runs: it is read again within two seconds,
# and a file with problems changes nothing. `idp --env-file {env_file} clients check` reports them.
# Once you have changed it, the demo leaves it alone, also when it is started on other ports.

version: 1
clients:
"""

TAIL = """
  # An app of your own on this machine: uncomment, and give your client library the issuer
  # {issuer}
  # my-app:
  #   client_name: Min app
  #   client_name#en: My app
  #   redirect_uris: ["http://127.0.0.1:3000/callback"]
  #   post_logout_redirect_uris: ["http://127.0.0.1:3000/"]
  #   token_endpoint_auth_method: none     # or client_secret_basic, with a secret from `idp clients secret`
  #   scope: openid profile email
"""


def clients_yaml(*, portal_url: str, issuer: str, env_file: Path, saved: SavedSecrets) -> str:
    """A clients.yaml with the demo's own clients, for people to read and extend."""
    parts = [HEAD.format(env_file=env_file)]
    for app in APPS:
        parts.append(
            f"  {app.client_id}:  # {app.comment}\n"
            f"    client_name: {app.name}\n"
            f"    client_name#en: {app.name_en}\n"
            f'    redirect_uris: ["{portal_url}{app.callback}"]\n'
            f'    post_logout_redirect_uris: ["{portal_url}{app.home}"]\n'
            f'    backchannel_logout_uri: "{portal_url}{app.backchannel_logout}"\n'
            f'    initiate_login_uri: "{portal_url}{app.login}"\n'
            f"    token_endpoint_auth_method: {app.auth_method}\n"
        )
        if not app.is_public:
            digest = hashlib.sha256(saved.client_secrets[app.client_id].encode()).hexdigest()
            parts.append(f'    client_secrets:\n      - {{sha256: "{digest}"}}\n')
        parts.append(
            f"    scope: {app.scope}\n    consent: {app.consent}\n    subject_type: {app.subject_type}\n"
        )
    parts.append(TAIL.format(issuer=issuer))
    return "".join(parts)


def write_clients_file(path: Path, text: str, saved: SavedSecrets) -> bool:
    """Write the generated file unless somebody has changed the last one. Returns whether it was written."""
    if path.exists() and not hmac.compare_digest(_digest(path.read_bytes()), saved.clients_file or ""):
        return False
    write_private(path, text)
    saved.clients_file = _digest(text.encode())
    return True


def missing_from(clients: Mapping[str, Client], *, portal_url: str, saved: SavedSecrets) -> list[str]:
    """A line for each thing that the demo needs and these clients lack."""
    lines = []
    for app in APPS:
        client = clients.get(app.client_id)
        if client is None:
            lines.append(f"{app.client_id}: there is no such client")
            continue
        if portal_url + app.callback not in client.redirect_uris:
            lines.append(f"{app.client_id}: redirect_uris lacks {portal_url}{app.callback}")
        if portal_url + app.home not in client.post_logout_redirect_uris:
            lines.append(f"{app.client_id}: post_logout_redirect_uris lacks {portal_url}{app.home}")
        if not app.is_public:
            digest = _digest(saved.client_secrets[app.client_id].encode())
            if digest not in [secret.sha256 for secret in client.client_secrets]:
                lines.append(f"{app.client_id}: client_secrets lacks sha256 {digest}")
    return lines


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
