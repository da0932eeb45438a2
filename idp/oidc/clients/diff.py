"""The changes that a new clients.yaml would make: entries, fields, consequences for apps and people. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from idp.oidc.clients.client import Client
from idp.oidc.clients.jwks import JwkSet

Value = Any
Consequence = Callable[[Client, Client], str | None]

REMOVED = "its requests, codes and tokens are refused at once"
_HASH_SHOWN = 8


@dataclass(frozen=True)
class FieldChange:
    """A field's old and new value, as `describe` gives them."""

    field: str
    old: Value
    new: Value


@dataclass(frozen=True)
class ClientChange:
    """An entry that differs between the two files."""

    client_id: str
    fields: tuple[FieldChange, ...]
    consequences: tuple[str, ...]


@dataclass(frozen=True)
class Diff:
    """The client_ids that come and go, and the entries that change."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[ClientChange, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def compare(old: Mapping[str, Client], new: Mapping[str, Client]) -> Diff:
    """The changes when `new` takes the place of `old`, defaults included."""
    both = [(old[client_id], client) for client_id, client in new.items() if client_id in old]
    return Diff(
        added=tuple(client_id for client_id in new if client_id not in old),
        removed=tuple(client_id for client_id in old if client_id not in new),
        changed=tuple(change for change in (_compare_clients(*pair) for pair in both) if change.fields),
    )


def describe(client: Client) -> dict[str, Value]:
    """Every field by its name in the file, as JSON; of secrets some digits of the hash, and the end."""
    return {
        info.alias or name: _plain(getattr(client, name))
        for name, info in Client.model_fields.items()
        if name != "client_id"
    }


def _plain(value: Value) -> Value:
    if isinstance(value, JwkSet):
        return [_describe_key(key) for key in value.keys]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, BaseModel):
        members = value.model_dump(mode="json", by_alias=True, exclude_none=True)
        if "sha256" in members:
            members["sha256"] = members["sha256"][:_HASH_SHOWN] + "…"
        return members
    return value


def _describe_key(key: Any) -> dict[str, str]:
    named = {"kid": key.kid} if key.kid is not None else {}
    return {"kty": key.kind, **named, "thumbprint": key.key.thumbprint()}


def _compare_clients(old: Client, new: Client) -> ClientChange:
    before, after = describe(old), describe(new)
    fields = tuple(
        FieldChange(field, before[field], after[field]) for field in before if before[field] != after[field]
    )
    texts = [consequence(old, new) for consequence in _CONSEQUENCES] if fields else []
    return ClientChange(new.client_id, fields, tuple(text for text in texts if text))


def _lost(old: tuple[str, ...], new: tuple[str, ...]) -> str:
    return ", ".join(item for item in old if item not in new)


def _redirects(old: Client, new: Client) -> str | None:
    lost = _lost(old.redirect_uris, new.redirect_uris)
    return f"requests with redirect_uri {lost} end on our error page" if lost else None


def _grants(old: Client, new: Client) -> str | None:
    lost = _lost(old.grant_types, new.grant_types)
    return f"the grant {lost} gets unauthorized_client at once" if lost else None


def _scopes(old: Client, new: Client) -> str | None:
    lost = _lost(tuple(old.scope.split()), tuple(new.scope.split()))
    if not lost:
        return None
    minutes = old.access_token_minutes
    return f"requests for {lost} get invalid_scope; access tokens with it live at most {minutes} minutes"


def _offline(old: Client, new: Client) -> str | None:
    had, has = "offline_access" in old.scopes, "offline_access" in new.scopes
    return "its refresh tokens are refused at once" if had and not has else None


def _methods(old: Client, new: Client) -> str | None:
    lost = _lost(old.login_methods, new.login_methods)
    return f"logins by {lost} no longer reach it, and their refresh tokens are refused" if lost else None


def _numbers(old: Client, new: Client) -> str | None:
    if old.number_after_any_login == new.number_after_any_login:
        return None
    if new.number_after_any_login:
        return "a login by password gives it the personal number and birthdate of the linked BankID"
    return "logins by password no longer give it a personal number or birthdate"


def _companies(old: Client, new: Client) -> str | None:
    if new.companies is None or new.companies == old.companies:
        return None
    if old.companies is None:
        return "people of all other companies get access_denied, and their refresh tokens are refused"
    lost = _lost(old.companies, new.companies)
    return f"people of {lost} get access_denied, and their refresh tokens are refused" if lost else None


def _authentication(old: Client, new: Client) -> str | None:
    was, becomes = old.token_endpoint_auth_method, new.token_endpoint_auth_method
    return f"it must authenticate by {becomes}; {was} is refused at once" if was != becomes else None


def _secrets(old: Client, new: Client) -> str | None:
    had = {secret.sha256 for secret in old.client_secrets}
    has = {secret.sha256 for secret in new.client_secrets}
    if not had or not has or had & has:
        return None
    return "none of its present secrets works any more: keep the old hash, with a not_after"


def _subjects(old: Client, new: Client) -> str | None:
    def space(client: Client) -> str | None:
        # without a redirect URI there is no person to have a sub
        return client.sector if client.subject_type == "pairwise" and client.redirect_uris else None

    return (
        "every person gets another sub: the app takes them for new users"
        if space(old) != space(new)
        else None
    )


def _consent(old: Client, new: Client) -> str | None:
    asked = old.consent == "implicit" and new.consent == "explicit"
    return "people are asked for their consent at the next login" if asked else None


def _demands(old: Client, new: Client) -> str | None:
    demands = {
        "require_pkce": "without PKCE",
        "require_pushed_authorization_requests": "that are not pushed",
        "require_signed_request_object": "without a signed request object",
        "dpop_bound_access_tokens": "to the token endpoint without a DPoP proof",
    }
    added = [what for field, what in demands.items() if getattr(new, field) and not getattr(old, field)]
    return f"requests {' or '.join(added)} are refused" if added else None


def _signature(old: Client, new: Client) -> str | None:
    alg = new.id_token_signed_response_alg
    return f"it must accept ID tokens signed with {alg}" if alg != old.id_token_signed_response_alg else None


_CONSEQUENCES: tuple[Consequence, ...] = (
    *(_redirects, _grants, _scopes, _offline, _methods, _numbers, _companies, _authentication, _secrets),
    *(_subjects, _consent, _demands, _signature),
)
