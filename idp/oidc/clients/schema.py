"""The JSON Schema of clients.yaml, for editors: made of the models that also check the file.

An editor tells misspelt keys and wrong types while somebody types; what fields ask of each other, and what
URIs may be, only `idp clients check` knows.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from idp.oidc.clients.bankid import KINDS
from idp.oidc.clients.client import Client
from idp.oidc.clients.field_types import SCOPES

SHIPPED = "clients.schema.json"
"""The file's name in this package; `make schema` writes it anew."""

DESCRIPTIONS: Mapping[str, str] = {
    "client_name": "What people see the app called, in Swedish.",
    "client_name#en": "The same in English; left out: client_name.",
    "application_type": "web, or native: an app on a phone or computer, whose redirect URI may have a scheme"
    " of its own (com.example.app:/cb) and whose loopback address may vary in its port.",
    "grant_types": "What the app may exchange for tokens. refresh_token also needs offline_access in scope;"
    " client_credentials is for the app itself, without a person.",
    "redirect_uris": "Where answers may be sent; compared byte for byte. https, or http on loopback.",
    "post_logout_redirect_uris": "Where people may be sent after the app logged them out.",
    "backchannel_logout_uri": "Told from our server, by a logout token, when a person's session ends.",
    "backchannel_logout_session_required": "Whether logout tokens must name the session (sid).",
    "frontchannel_logout_uri": "Loaded unseen in the person's browser when the session ends.",
    "frontchannel_logout_session_required": "Whether that address gets iss and sid.",
    "initiate_login_uri": "Where a login at the app begins: for start pages, and for going back to.",
    "client_uri": "The app's home page.",
    "logo_uri": "The app's picture.",
    "policy_uri": "What the app does with personal data; linked where people are asked to agree.",
    "tos_uri": "The app's terms; linked where people are asked to agree.",
    "contacts": "Who answers for the app; for operators.",
    "token_endpoint_auth_method": "How the app proves who it is: exactly this one is accepted. none is for"
    " apps that can keep neither key nor secret.",
    "client_secrets": "SHA-256 of machine-made secrets (idp clients new, idp clients secret); several while"
    " one is being replaced.",
    "token_endpoint_auth_signing_alg": "The only alg that client assertions may have; left out: any that"
    " suits the app's keys.",
    "jwks": "The app's public keys. Either this or jwks_uri.",
    "jwks_uri": "Where the app serves its public keys: https on a public address, no redirect.",
    "require_pkce": "false only for a confidential app that cannot do PKCE.",
    "require_pushed_authorization_requests": "true: only pushed requests (RFC 9126) are taken.",
    "require_signed_request_object": "true: only requests in a signed request object (RFC 9101) are taken.",
    "request_object_signing_alg": "The only alg that request objects may have; left out: any that suits the"
    " app's keys.",
    "scope": f"What the app may ask for, of: {' '.join(SCOPES)}",
    "login_methods": "Which ways of logging in reach the app; left out: all.",
    "bankid": "What the app's BankID logins demand.",
    "companies": "Names of the companies whose people may use the app; left out: all.",
    "consent": "explicit: people are asked before anything about them is shared.",
    "subject_type": "pairwise: a sub of its own for each sector.",
    "sector_identifier": "The host name over which pairwise subs are computed; left out: the redirect URIs'.",
    "default_acr_values": "How strong a login the app wants when a request does not say.",
    "default_max_age": "How old a login may be, in seconds, when a request does not say.",
    "require_auth_time": "Whether ID tokens must hold auth_time; they always do.",
    "id_token_signed_response_alg": "The alg that ID tokens are signed with; there must be a key for it.",
    "id_token_encrypted_response_alg": "Encrypts ID tokens to the app's key; left out: only signed.",
    "id_token_encrypted_response_enc": "How the content of an encrypted ID token is encrypted.",
    "userinfo_signed_response_alg": "Makes userinfo answers signed JWTs; left out: JSON.",
    "userinfo_encrypted_response_alg": "Encrypts userinfo answers to the app's key.",
    "userinfo_encrypted_response_enc": "How the content of an encrypted userinfo answer is encrypted.",
    "access_token_format": "jwt: RFC 9068, for APIs that read tokens by themselves.",
    "dpop_bound_access_tokens": "true: the app must send DPoP proofs (RFC 9449); tokens are bound to a key.",
    "access_token_minutes": "How long access tokens live.",
    "refresh_token_idle_minutes": "How long a refresh token may lie unused; left out: 30 days, or 2 hours"
    " after BankID.",
    "refresh_token_hours": "How long a refresh token lives at most, with its successors, from the login on.",
    "id_token_minutes": "How long ID tokens live.",
}
"""What editors say of each field of an entry, in one or two lines."""

_URI = {"type": "string", "format": "uri"}
_SUBFIELDS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "ClientSecret": {
        "sha256": {"description": "The secret's SHA-256.", "pattern": "^[0-9a-fA-F]{64}$"},
        "not_after": {"description": "The last day, or moment, that the secret works: 2027-06-30."},
    },
    "ClientBankId": {
        "requirement": {"description": "As BankID's own; each is left out unless needed."},
        "certificate": {"description": "A certificate's name in IDP_BANKID_CERTIFICATES_DIR."},
        "high_risk": {"description": "Left out: as IDP_BANKID_HIGH_RISK says."},
        "user_message": {
            "description": "Whether the BankID app shows the messages that the app's requests bring."
        },
    },
    "BankIdRequirement": {
        "pinCode": {"description": "The security code, even where face or finger would do."},
        "mrtd": {"description": "The person has a passport or national ID card read."},
        "certificatePolicies": {
            "description": "Kinds of BankID that will do.",
            "items": {"enum": list(KINDS)},
            "minItems": 1,
        },
        "cardReader": {"description": "class2: the code is typed on the reader. With card only."},
    },
}
_AT_LEAST_ONE = ("grant_types", "login_methods", "companies")


def document(login_methods: Sequence[str]) -> dict[str, Any]:
    """The schema of a whole clients.yaml, for a provider with these login methods.

    Raises `LookupError` for a field that `DESCRIPTIONS` does not describe.
    """
    made = Client.model_json_schema(by_alias=True)
    fields = {name: _plain(field) for name, field in made["properties"].items() if name != "client_id"}
    for name, field in fields.items():
        if name.endswith("_uri"):
            field.update(_URI)
        elif name.endswith("_uris"):
            field["items"] = _URI
        field["description"] = DESCRIPTIONS[name]
    for name in _AT_LEAST_ONE:
        fields[name]["minItems"] = 1
    fields["login_methods"]["items"] = {"enum": list(login_methods)}
    fields["jwks"] |= {
        "required": ["keys"],
        "properties": {"keys": {"type": "array", "items": {"type": "object", "required": ["kty"]}}},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "clients.yaml",
        "description": "The relying apps of the identity provider.",
        "type": "object",
        "required": ["version", "clients"],
        "additionalProperties": False,
        "properties": {
            "version": {"const": 1},
            "defaults": {
                "description": "Fields of every entry that does not have its own.",
                "$ref": "#/$defs/Client",
            },
            "clients": {
                "description": "The relying apps, each under its client_id.",
                "type": "object",
                "propertyNames": {"pattern": r"""^[!#-&(-9;-\[\]-~]{1,100}$"""},
                "additionalProperties": {"$ref": "#/$defs/Client"},
            },
        },
        "$defs": {
            "Client": {"type": "object", "additionalProperties": False, "properties": fields},
            **{name: _described(name, model) for name, model in made["$defs"].items()},
        },
    }


def text(login_methods: Sequence[str]) -> str:
    """The schema as the file's text."""
    return json.dumps(document(login_methods), ensure_ascii=False, indent=2) + "\n"


def _described(name: str, model: Mapping[str, Any]) -> dict[str, Any]:
    fields = {field: _plain(schema) for field, schema in model["properties"].items()}
    for field, schema in fields.items():
        schema.update(_SUBFIELDS[name][field])
    members = {
        key: value for key, value in model.items() if key in ("type", "additionalProperties", "required")
    }
    return {**members, "properties": fields}


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A field's schema as the file may hold it: a key without a value is left out there, never null."""
    members = {key: value for key, value in schema.items() if key not in ("title", "description", "format")}
    if "$ref" in members or members.get("default") in (None, []):
        members.pop("default", None)
    choices = [choice for choice in members.pop("anyOf", ()) if choice.get("type") != "null"]
    return {**members, **choices[0]} if choices else members
