"""The JSON Schema of clients.yaml, for editors: made of the models that also check the file.

An editor marks misspelt keys and wrong types while somebody types; only `idp clients check` knows how fields
depend on each other and which URIs are allowed.
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
    "client_name": "The app's name as people see it, in Swedish.",
    "client_name#en": "The app's name in English; default: client_name.",
    "application_type": "web, or native: an app on a phone or computer. A native app's redirect URI may have"
    " a scheme of its own (com.example.app:/cb), and its loopback address may vary in the port.",
    "grant_types": "The app's grants for tokens. refresh_token also needs offline_access in scope;"
    " client_credentials is for the app itself, without a person.",
    "redirect_uris": "The addresses that get answers, compared byte for byte; https, or http on loopback.",
    "post_logout_redirect_uris": "The addresses that people may return to after the app has logged them out.",
    "backchannel_logout_uri": "The address that gets a logout token when a person's session ends.",
    "backchannel_logout_session_required": "Whether logout tokens must name the session (sid).",
    "frontchannel_logout_uri": "The page that the person's browser loads, unseen, when the session ends.",
    "frontchannel_logout_session_required": "Whether frontchannel_logout_uri gets iss and sid.",
    "initiate_login_uri": "The address where a login at the app begins.",
    "client_uri": "The app's home page.",
    "logo_uri": "The app's picture.",
    "policy_uri": "The app's privacy policy; linked where people are asked for consent.",
    "tos_uri": "The app's terms of use; linked where people are asked for consent.",
    "contacts": "The people responsible for the app; for operators.",
    "token_endpoint_auth_method": "How the app authenticates: no other method is accepted. none is for apps"
    " that can keep neither key nor secret.",
    "client_secrets": "SHA-256 of machine-made secrets (idp clients new, idp clients secret); several while"
    " one is being replaced.",
    "token_endpoint_auth_signing_alg": "The only alg that client assertions may have; default: any that"
    " suits the app's keys.",
    "jwks": "The app's public keys. Give either this or jwks_uri.",
    "jwks_uri": "The address of the app's public keys: https on a public host, without redirects.",
    "require_pkce": "false only for a confidential app that cannot do PKCE.",
    "require_pushed_authorization_requests": "true: only pushed requests (RFC 9126) are accepted.",
    "require_signed_request_object": "true: requests need a signed request object (RFC 9101).",
    "request_object_signing_alg": "The only alg that request objects may have; default: any that suits the"
    " app's keys.",
    "scope": f"The scopes that the app may ask for, of: {' '.join(SCOPES)}",
    "login_methods": "The login methods that reach the app; default: all.",
    "bankid": "Requirements on the app's BankID logins.",
    "number_after_any_login": "true: personal number and birthdate also after logins that do not prove the"
    " number, such as by password; default: after BankID logins only.",
    "companies": "Names of the companies whose people may use the app; default: all.",
    "consent": "explicit: people are asked before anything about them is shared.",
    "subject_type": "pairwise: a sub of its own for each sector.",
    "sector_identifier": "The host name that pairwise subs are computed over; default: the redirect URIs'.",
    "default_acr_values": "The levels of login that the app wants when a request names none.",
    "default_max_age": "The greatest age of a login, in seconds, when a request names none.",
    "require_auth_time": "Whether ID tokens must contain auth_time; they always do.",
    "id_token_signed_response_alg": "The alg that ID tokens are signed with; there must be a key for it.",
    "id_token_encrypted_response_alg": "Encrypts ID tokens to the app's key; default: signed only.",
    "id_token_encrypted_response_enc": "How the content of an encrypted ID token is encrypted.",
    "userinfo_signed_response_alg": "Makes userinfo answers signed JWTs; default: JSON.",
    "userinfo_encrypted_response_alg": "Encrypts userinfo answers to the app's key.",
    "userinfo_encrypted_response_enc": "How the content of an encrypted userinfo answer is encrypted.",
    "access_token_format": "jwt: RFC 9068, for APIs that read tokens by themselves.",
    "dpop_bound_access_tokens": "true: the app must send DPoP proofs (RFC 9449); tokens are bound to a key.",
    "access_token_minutes": "The lifetime of access tokens, in minutes.",
    "refresh_token_idle_minutes": "The longest time between uses of a refresh token, in minutes; default:"
    " 30 days, or 2 hours after BankID.",
    "refresh_token_hours": "The longest life of refresh tokens, in hours from the login.",
    "id_token_minutes": "The lifetime of ID tokens, in minutes.",
}
"""The description of each field that editors show, in one or two lines."""

_URI = {"type": "string", "format": "uri"}
_SUBFIELDS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "ClientSecret": {
        "sha256": {"description": "The secret's SHA-256.", "pattern": "^[0-9a-fA-F]{64}$"},
        "not_after": {"description": "The last day, or moment, that the secret works: 2027-06-30."},
    },
    "ClientBankId": {
        "requirement": {
            "description": "BankID's own requirement parameters; leave each out unless it is needed."
        },
        "certificate": {"description": "A certificate's name in IDP_BANKID_CERTIFICATES_DIR."},
        "high_risk": {"description": "Default: IDP_BANKID_HIGH_RISK."},
        "user_message": {
            "description": "Whether the BankID app shows the messages that the app's requests bring."
        },
    },
    "BankIdRequirement": {
        "pinCode": {
            "description": "true: the person enters the security code, even where face or finger would do."
        },
        "mrtd": {"description": "true: the person scans a passport or national ID card."},
        "certificatePolicies": {
            "description": "The kinds of BankID that are accepted.",
            "items": {"enum": list(KINDS)},
            "minItems": 1,
        },
        "cardReader": {"description": "class2: the code is typed on the reader. Only with card."},
    },
}
_AT_LEAST_ONE = ("grant_types", "login_methods", "companies")


def document(login_methods: Sequence[str]) -> dict[str, Any]:
    """The JSON Schema of a whole clients.yaml, for a provider with these login methods.

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
                "description": "Fields for every entry that does not have its own.",
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
