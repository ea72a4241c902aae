"""A guest book that lasts as long as the session."""

from __future__ import annotations

import html
import logging

from webob import Response
from webob.exc import HTTPSeeOther

from pylons_site.controllers import request, session

log = logging.getLogger(__name__)

PAGE = """<!doctype html>
<title>Guests</title>
<link rel="stylesheet" href="/style.css">
<h1>Guests</h1>
<ul>{guests}</ul>
<form method="post" action="/guests/sign"><input name="guest" autofocus> <button>Sign</button></form>
"""


def index() -> str:
    """Who signed in this session."""
    names = session.get("guests", [])
    return PAGE.format(guests="".join(f"<li>{html.escape(name)}</li>" for name in names))


def sign() -> Response:
    """Adds a guest and goes back to the list."""
    name = request.POST.get("guest", "")
    session["guests"] = [*session.get("guests", []), name][-10:]
    session.save()
    log.info("Signed by %r.", name)
    return HTTPSeeOther(location="/")


def crash() -> str:
    """What happens when the application raises: a page without details, and a traceback in the log."""
    raise RuntimeError("an action failed")
