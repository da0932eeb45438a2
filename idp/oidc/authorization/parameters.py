"""The parameters of an authorization request as sent: which ones count, and which came twice. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

AUTHN_PROVIDER = "https://id.oidc.se/param/authnProvider"
USER_MESSAGE = "https://id.oidc.se/param/userMessage"
KNOWN = frozenset(
    (
        *("client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce"),
        *("code_challenge", "code_challenge_method", "prompt", "max_age", "acr_values", "display"),
        *("login_hint", "id_token_hint", "ui_locales", "claims", "claims_locales"),
        *("request", "request_uri", "registration", "dpop_jkt", AUTHN_PROVIDER, USER_MESSAGE),
    )
)
"""The known parameters; all others are ignored (OIDC Core §3.1.2.1)."""

JSON_PARAMETERS = frozenset(("claims", USER_MESSAGE))
"""The parameters in JSON, which may have line breaks; the JSON parser refuses other control characters."""

MAX_PARAMETER = 8000  # characters; an id_token_hint is the longest that makes sense
MAX_REQUEST_OBJECT = 16000
# Half a surrogate pair is not text either; U+FFFD stands for bytes that were not UTF-8.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff\ufffd]")


class RequestError(Exception):
    """A parameter is wrong. `error` is a code of RFC 6749 §4.1.2.1, `description` ASCII without quotes."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.error = error
        self.description = description


@dataclass(frozen=True)
class Sent:
    """The known parameters that were sent; an empty one counts as left out (RFC 6749 §3.1)."""

    parameters: Mapping[str, str]
    repeated: frozenset[str] = frozenset()

    def state(self) -> str | None:
        """The state, None when it is missing or may not be sent back."""
        state = self.parameters.get("state")
        return None if state is None or "state" in self.repeated or is_malformed("state", state) else state

    def check(self) -> None:
        """Raise `RequestError` when a parameter came twice, is too long or holds control characters."""
        if self.repeated:
            raise RequestError("invalid_request", f"{min(self.repeated)} is given more than once")
        for name, value in self.parameters.items():
            if is_malformed(name, value):
                raise RequestError("invalid_request", f"{name} is too long or contains control characters")


def collect(pairs: Iterable[tuple[str, str]]) -> Sent:
    """The known parameters among `pairs`, the first of those that came twice (RFC 6749 §3.1)."""
    parameters: dict[str, str] = {}
    seen: set[str] = set()
    repeated: set[str] = set()
    for name, value in pairs:
        if name not in KNOWN:
            continue
        if name in seen:
            repeated.add(name)
        seen.add(name)
        if value:
            parameters.setdefault(name, value)
    return Sent(parameters, frozenset(repeated))


def is_malformed(name: str, value: str) -> bool:
    """Whether a parameter's value is too long or holds control characters (RFC 6749 Appendix A)."""
    limit = MAX_REQUEST_OBJECT if name == "request" else MAX_PARAMETER
    return len(value) > limit or (name not in JSON_PARAMETERS and _CONTROL.search(value) is not None)
