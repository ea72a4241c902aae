"""A WSGI application to look at: says hello, and which process said it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

PAGE = """<!doctype html>
<title>Hello</title>
<h1>Hello, {name}</h1>
<p>Worker {pid} answered, a child of {parent}. Reload the page: another one may answer.
"""


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Greets the path: ``/`` the world, ``/Ada`` Ada."""
    # PEP 3333: text of the environ is bytes in the disguise of latin-1.
    name = environ["PATH_INFO"].strip("/").encode("latin-1").decode("utf-8", "replace") or "world"
    name = name.replace("&", "&amp;").replace("<", "&lt;")
    body = PAGE.format(name=name, pid=os.getpid(), parent=os.getppid()).encode("utf-8")
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]


def create_app() -> Callable[..., Iterable[bytes]]:
    """A factory, as ``wsgi.ini`` calls one."""
    return application
