"""The application of `sleepers.py`: `/wait` is answered when somebody asks for `/tell`, all of them at once.

Written for threads: the worker classes patch the standard library.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

FIELDS = [("Content-Type", "text/plain"), ("Content-Length", "5")]

_told = threading.Event()


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """A five-letter word in any case (PEP 3333)."""
    global _told
    if environ["PATH_INFO"] == "/wait":
        _told.wait()
    elif environ["PATH_INFO"] == "/tell":
        told, _told = _told, threading.Event()
        told.set()
    start_response("200 OK", list(FIELDS))
    return [b"told\n"]


def app_factory(global_conf: Mapping[str, str], **local_conf: str) -> Callable[..., list[bytes]]:
    """The same as a `paste.app_factory`."""
    return app
