"""The layers of the application, from the innermost to the outermost, in the order of a Pylons project."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from beaker.middleware import SessionMiddleware
from paste.cascade import Cascade
from paste.deploy.converters import asbool
from paste.exceptions.errormiddleware import ErrorMiddleware
from paste.registry import RegistryManager
from paste.urlparser import StaticURLParser
from routes.middleware import RoutesMiddleware

from pylons_site.config.routing import make_map
from pylons_site.controllers import dispatch

PUBLIC = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "public")


def make_app(
    global_conf: dict[str, str], full_stack: str = "true", static_files: str = "true", **app_conf: str
) -> Callable[..., Any]:
    """The application (a ``paste.app_factory``).

    ``full_stack`` and ``static_files`` are what they are in a Pylons ini: "false" leaves error pages to whom
    embeds the application, and static files to the proxy in front.
    """
    app: Any = RoutesMiddleware(dispatch, make_map(), singleton=False)
    app = SessionMiddleware(app, app_conf)
    if asbool(full_stack):
        app = ErrorMiddleware(app, global_conf, debug=asbool(app_conf.get("debug", global_conf.get("debug", "false"))))
    app = RegistryManager(app)
    if asbool(static_files):
        app = Cascade([StaticURLParser(PUBLIC), app])
    return app
