"""The form of a request to the token endpoint or its siblings, in the shape that Authlib wants."""

import re
from collections.abc import Mapping

from authlib.oauth2.rfc6749 import OAuth2Payload, OAuth2Request
from authlib.oauth2.rfc6749.errors import InvalidRequestError

KNOWN = frozenset(
    (
        *("client_id", "client_secret", "client_assertion", "client_assertion_type"),
        *("grant_type", "code", "redirect_uri", "code_verifier", "refresh_token", "scope"),
        *("token", "token_type_hint"),
    )
)
CONTROL = re.compile(r"[\x00-\x1f\x7f\ufffd]")  # the last stands for bytes that were not UTF-8


class FormPayload(OAuth2Payload):  # type: ignore[misc]
    """The token request's form; the query counts for nothing (RFC 6749 §2.3.1, §3.2)."""

    def __init__(self, form: Mapping[str, str]) -> None:
        self._form = form

    @property
    def data(self) -> Mapping[str, str]:
        """The form's parameters."""
        return self._form


class TokenRequest(OAuth2Request):  # type: ignore[misc]
    """A token request (RFC 6749 §3.2) in the shape that Authlib wants.

    `proof` is the DPoP header; `jkt` the key that it proves, known once the client is. TLS is a matter of the
    proxy and the settings (https, or loopback), so Authlib's own check of the address gets one that passes.
    """

    def __init__(
        self, form: Mapping[str, str], authorization: str | None, address: str, proof: str | None
    ) -> None:
        super().__init__("POST", "https://provider/token")
        self.payload = FormPayload(form)
        self.authorization = authorization
        self.address = address
        self.proof = proof
        self.jkt: str | None = None
        self._parameters = form

    @property
    def form(self) -> Mapping[str, str]:
        """The form's parameters."""
        return self._parameters


def read_form(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The known parameters in a request's form; an empty one counts as left out (RFC 6749 §3.2).

    All others are ignored: `resource` may come twice (RFC 8707 §2). Raises Authlib's errors for a malformed
    form.
    """
    form: dict[str, str] = {}
    for name, value in pairs:
        if name not in KNOWN:
            continue
        if name in form:
            raise InvalidRequestError("a parameter is given more than once")
        if CONTROL.search(value):
            raise InvalidRequestError("a parameter contains control characters or is not UTF-8")
        form[name] = value
    return {name: value for name, value in form.items() if value}
