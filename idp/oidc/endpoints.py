"""The protocol's endpoints together, for the application."""

from types import ModuleType

from flask import Flask

from idp.oidc import authorization_views, logout_views, metadata_views, token_views
from idp.oidc.blueprint import blueprint
from idp.web.forms import csrf

VIEWS: tuple[ModuleType, ...] = (authorization_views, logout_views, metadata_views, token_views)
"""The modules whose import adds their routes to the blueprint."""

WITHOUT_FORM_TOKEN = (
    authorization_views.authorize_endpoint,
    logout_views.end_session,
    token_views.push,
    token_views.token,
    token_views.userinfo,
    token_views.introspect,
    token_views.revoke,
)
"""Views that other sites and relying apps post to, which cannot have a form token of ours."""


def register(app: Flask) -> None:
    """Add the protocol's endpoints to the application."""
    for view in WITHOUT_FORM_TOKEN:
        csrf.exempt(view)
    app.register_blueprint(blueprint)
