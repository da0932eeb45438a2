"""docs/swedish-profile.md names existing tests, and discovery has what the profile requires (§5.2)."""

import re
from pathlib import Path

from idp.oidc import metadata

TESTS = Path(__file__).parents[2]
PAGE = TESTS.parent / "docs" / "swedish-profile.md"
ROW = re.compile(r"\| [0-9][0-9.,– ]* \|")
NAMED = re.compile(r"`([a-z_/]+\.py)::(test_[a-z0-9_]+)`")


def test_every_requirement_names_a_test_that_there_is() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if ROW.match(line)]
    assert len(rows) > 70
    missing = []
    for row in rows:
        named = NAMED.findall(row.split(" | ")[-1])
        assert named, row
        missing += [
            f"{path}::{name}"
            for path, name in named
            if not re.search(rf"^def {name}\(", (TESTS / path).read_text(), re.MULTILINE)
        ]
    assert missing == []


def test_discovery_holds_every_required_field() -> None:
    facts = metadata.document(
        "https://login.example.se",
        algs=("RS256",),
        decryption_algs=("RSA-OAEP",),
        acrs=("https://login.example.se/acr/password",),
        languages=("sv", "en"),
        numbers=True,
        evidence=True,
        messages=True,
    )
    for name in ("issuer", "authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri"):
        assert facts[name].startswith("https://login.example.se")
    for name, required in {
        "scopes_supported": {"openid"},
        "response_types_supported": {"code"},
        "subject_types_supported": {"public", "pairwise"},
        "id_token_signing_alg_values_supported": {"RS256"},
        "token_endpoint_auth_methods_supported": {"private_key_jwt"},
        "token_endpoint_auth_signing_alg_values_supported": {"RS256", "ES256"},
        "code_challenge_methods_supported": {"S256"},
        "request_object_encryption_alg_values_supported": {"RSA-OAEP"},
        "request_object_encryption_enc_values_supported": {"A128GCM", "A256GCM"},
        "acr_values_supported": set(),
        "claims_supported": {"sub", "birthdate", "https://id.oidc.se/claim/orgAffiliation"},
    }.items():
        assert required <= set(facts[name]), name
        assert facts[name], name
    assert "none" not in facts["token_endpoint_auth_signing_alg_values_supported"]
    assert "plain" not in facts["code_challenge_methods_supported"]
    assert facts["claims_parameter_supported"] is True
    assert facts["request_parameter_supported"] is True
    assert facts["https://id.oidc.se/disco/userMessageSupported"] is True
    assert facts["https://id.oidc.se/disco/userMessageSupportedMimeTypes"] == ["text/plain", "text/markdown"]
