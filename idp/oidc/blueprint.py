"""What the endpoints of the protocol share: the blueprint with its hooks, and the provider."""

from flask import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed

from idp.oidc.authentication import dpop
from idp.oidc.metadata import DISCOVERY_PATHS
from idp.oidc.provider import PROVIDER, Provider

ACTING_ENDPOINTS = frozenset({"oidc.resume", "oidc.consent", "oidc.end_session", "oidc.end_posted"})
CORS_ENDPOINTS = frozenset({"oidc.discovery", "oidc.jwks", "oidc.token", "oidc.userinfo", "oidc.revoke"})
MACHINE_PATHS = frozenset(
    {*DISCOVERY_PATHS, "/jwks", "/par", "/token", "/userinfo", "/introspect", "/revoke"}
)

blueprint = Blueprint("oidc", __name__)


def provider() -> Provider:
    """The running application's provider."""
    return PROVIDER.current()


def is_machine_endpoint() -> bool:
    """Whether errors of this request are answered in JSON."""
    return request.path in MACHINE_PATHS  # not the endpoint: a request with a wrong method has none


@blueprint.before_request
def act_on_get_and_post_alone() -> None:
    """Refuse a HEAD, which a link checker may send: it must answer no request and end no session."""
    if request.method == "HEAD" and request.endpoint in ACTING_ENDPOINTS:
        raise MethodNotAllowed(valid_methods=["GET", "POST"])


@blueprint.after_app_request
def allow_cross_origin(response: Response) -> Response:
    """Allow browser apps of any origin to read the endpoints that they call, without credentials."""
    if request.endpoint in CORS_ENDPOINTS and "Origin" in request.headers:
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = f"WWW-Authenticate, {dpop.NONCE_HEADER}"
        if request.method == "OPTIONS":
            allowed = request.url_rule.methods if request.url_rule else None
            response.headers["Access-Control-Allow-Methods"] = ", ".join(sorted(allowed or ()))
            response.headers["Access-Control-Allow-Headers"] = f"Authorization, Content-Type, {dpop.HEADER}"
            response.headers["Access-Control-Max-Age"] = "3600"
    return response
