"""The WSGI entry point: `wsgi:app` under any WSGI server, settings from the environment."""

from idp.app import create_app_from_environ

app = create_app_from_environ()
