"""A Pyramid application of two pages."""

from __future__ import annotations

import logging
from typing import Any

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPNotFound
from pyramid.request import Request
from pyramid.router import Router

log = logging.getLogger(__name__)


def hello(request: Request) -> dict[str, str]:
    """The greeting of the ini file, as JSON."""
    name = request.matchdict["name"]
    if name == "nobody":
        raise HTTPNotFound("nobody is here")
    log.debug("Greeting %s.", name)
    return {"greeting": f"{request.registry.settings['greeting']}, {name}"}


def main(global_config: dict[str, str], **settings: Any) -> Router:
    """The application (a ``paste.app_factory``)."""
    with Configurator(settings=settings) as config:
        config.add_route("hello", "/hello/{name}")
        config.add_view(hello, route_name="hello", renderer="json")
        return config.make_wsgi_app()
