"""The application that every server of `speed.py` runs: one fixed, sized block and two fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

BODY = b"Hello, World!\n"
FIELDS = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(BODY)))]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer 200 with the fixed body (PEP 3333)."""
    start_response("200 OK", list(FIELDS))
    return [BODY]


def app_factory(global_conf: Mapping[str, str], **local_conf: str) -> Callable[..., list[bytes]]:
    """The same as a `paste.app_factory`, for the servers that run behind an ini file."""
    return app
