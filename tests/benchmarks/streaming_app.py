"""The application that every server of `streams.py` runs: a body is read, and an answer made, in pieces of 64 KiB."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

PIECE = 65536
FILE = os.environ.get("STREAM_FILE", "")

Environ = dict[str, Any]


def app(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """PEP 3333. `POST`: how many bytes came. `/generator?N` and `/file?N`: N bytes, with a length only the latter."""
    if environ["REQUEST_METHOD"] == "POST":
        size, read = 0, environ["wsgi.input"].read
        while piece := read(PIECE):
            size += len(piece)
        body = b"%d\n" % size
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
    if environ["PATH_INFO"] == "/generator":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        piece = b"x" * PIECE
        return (piece for _ in range(int(environ["QUERY_STRING"]) // PIECE))
    if environ["PATH_INFO"] == "/file":
        start_response(
            "200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", environ["QUERY_STRING"])]
        )
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](open(FILE, "rb"), PIECE)  # noqa: SIM115
        return wrapped
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"ready\n"]


def app_factory(global_conf: Mapping[str, str], **local_conf: str) -> Callable[..., Iterable[bytes]]:
    """The same as a `paste.app_factory`."""
    return app
