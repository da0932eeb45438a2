"""A filled-in form while its owner logs in again: sealed, and without passwords."""

import hmac
import json
from base64 import b64encode
from hashlib import sha256
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from werkzeug.datastructures import MultiDict

from idp.crypto import Sealer

PURPOSE = "account form"
NEVER_KEPT = ("password", "confirm", "csrf_token")


def seal(typed: MultiDict[str, str], *, user_id: UUID, secret_key: SecretStr) -> dict[str, Any]:
    """A form as it was sent, without passwords, sealed for an interaction's `request`."""
    values = {name: typed[name] for name in typed if name not in NEVER_KEPT}
    sealed = _sealer(secret_key).seal(json.dumps(values), purpose=PURPOSE, context=str(user_id))
    return {"form": sealed, "password_again": bool(typed.get("password"))}


def unseal(request: dict[str, Any], *, user_id: UUID, secret_key: SecretStr) -> MultiDict[str, str]:
    """The form's values again. Raises `CannotOpen` when the secret key is another by now."""
    opened = _sealer(secret_key).open(request["form"], purpose=PURPOSE, context=str(user_id))
    return MultiDict(json.loads(opened))


def _sealer(secret_key: SecretStr) -> Sealer:
    key = hmac.new(secret_key.get_secret_value().encode(), PURPOSE.encode(), sha256).digest()
    return Sealer(f"account:{b64encode(key).decode()}")
