"""Takes files, and says what it got: how many bytes, and their SHA-256. Nothing is kept.

How far an upload is, this application neither knows nor tells: that is the filter's part (see upload.ini).

    GET  /            the page; its files beside this one
    POST /files       a file as the body; with ?X-Progress-ID=..., so that its progress can be asked for
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Environ = dict[str, Any]
Start = Callable[..., Any]

HERE = Path(__file__).parent
FILES = {
    "/": ("upload.html", "text/html; charset=utf-8"),
    "/upload.css": ("upload.css", "text/css; charset=utf-8"),
    "/upload.js": ("upload.js", "text/javascript; charset=utf-8"),
}


def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """PEP 3333."""
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if path == "/files":
        if method != "POST":
            return answer(start_response, "405 Method Not Allowed", b"Send a file with POST.\n", "text/plain")
        said = json.dumps(take(environ["wsgi.input"])).encode()
        return answer(start_response, "200 OK", said, "application/json")
    if path in FILES:
        if method not in ("GET", "HEAD"):
            return answer(start_response, "405 Method Not Allowed", b"This is for reading.\n", "text/plain")
        name, kind = FILES[path]
        return answer(start_response, "200 OK", (HERE / name).read_bytes(), kind)
    return answer(start_response, "404 Not Found", b"There is nothing here.\n", "text/plain")


def take(body: Any) -> dict[str, object]:
    """Read it all; what it was."""
    size, digest = 0, hashlib.sha256()
    while piece := body.read(65536):
        size += len(piece)
        digest.update(piece)
    return {"size": size, "sha256": digest.hexdigest(), "worker": os.getpid()}


def answer(start_response: Start, status: str, body: bytes, kind: str) -> list[bytes]:
    fields = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    start_response(status, fields)
    return [body]
