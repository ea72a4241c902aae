"""Controllers, and the names that they share: ``request`` and ``session`` are those of the request being
served.

They look like globals, as in Pylons: ``paste.registry`` puts the right object behind them for each request
and thread.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

from paste.registry import StackedObjectProxy
from webob import Request, Response
from webob.exc import HTTPException, HTTPNotFound

request: Any = StackedObjectProxy(name="request")
session: Any = StackedObjectProxy(name="session")


def dispatch(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Calls the action that Routes found and answers with what it returns: a response, or text."""
    match = environ["wsgiorg.routing_args"][1]
    environ["paste.registry"].register(request, Request(environ))
    environ["paste.registry"].register(session, environ["beaker.session"])
    try:
        answer = _action(match)()
    except HTTPException as error:
        answer = error
    if isinstance(answer, str):
        answer = Response(answer, content_type="text/html", charset="utf-8")
    result: Iterable[bytes] = answer(environ, start_response)
    return result


def _action(match: dict[str, str]) -> Callable[[], Any]:
    """The function ``action`` of module ``controller``; 404 where there is none."""
    try:
        module = importlib.import_module(f"{__name__}.{match.get('controller', '')}")
    except (ImportError, ValueError):
        raise HTTPNotFound from None
    action = vars(module).get(match["action"])
    if match["action"].startswith("_") or getattr(action, "__module__", None) != module.__name__:
        raise HTTPNotFound
    return action  # type: ignore[return-value]
