"""What relying apps read about this provider: the discovery document and the public keys."""

import json
from collections.abc import Callable

from flask import Response

from idp import i18n
from idp.login import methods
from idp.oidc import metadata
from idp.oidc.blueprint import blueprint, provider
from idp.oidc.keys.ring import JWKS_MAX_AGE_SECONDS
from idp.oidc.metadata import DISCOVERY_PATHS, DOCUMENTS

DISCOVERY_SECONDS = 600


@blueprint.get(DISCOVERY_PATHS[0])
@blueprint.get(DISCOVERY_PATHS[1], endpoint="discovery")
def discovery() -> Response:
    """The discovery document, at the paths of OIDC Discovery §4 and RFC 8414 §3."""
    return _cacheable_json(_made_once("discovery", _discovery_document), DISCOVERY_SECONDS)


@blueprint.get("/jwks")
def jwks() -> Response:
    """The public keys (RFC 7517 §5), which apps may keep for some minutes (OIDC Core §10.1.1)."""
    return _cacheable_json(provider().keys.jwks(), JWKS_MAX_AGE_SECONDS)


def _discovery_document() -> bytes:
    switched_on = methods.switched_on()
    document = metadata.document(
        provider().issuer,
        algs=provider().keys.algs,
        decryption_algs=provider().keys.decryption_algs,
        acrs=tuple(method.acr for method in switched_on),
        languages=tuple(i18n.LANGUAGES),
        numbers=provider().person_number is not None,
        evidence=any(method.event_claims is not None for method in switched_on),
        messages=any(method.shows_messages for method in switched_on),
    )
    return json.dumps(document).encode()


def _made_once(name: str, make: Callable[[], bytes]) -> bytes:
    """A document that is made once for each state of the key ring."""
    generation = provider().keys.generation
    documents = DOCUMENTS.current()
    if name not in documents or documents[name][0] != generation:
        documents[name] = (generation, make())
    return documents[name][1]


def _cacheable_json(body: bytes, seconds: int) -> Response:
    return Response(
        body,
        mimetype="application/json",
        headers={"Cache-Control": f"public, max-age={seconds}", "Access-Control-Allow-Origin": "*"},
    )
