"""``egg:gunicorn#upload_progress``: a Paste filter that answers how much of an upload the server has received so far.

    [filter:progress]
    use = egg:gunicorn#upload_progress
    path = /progress

    [pipeline:main]
    pipeline = progress site

The page gives its upload an id, ``POST /files?X-Progress-ID=...``, and asks ``GET /progress?X-Progress-ID=...`` for it.
Whichever worker is asked can tell, since all of them write it on one page of shared memory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from paste_unicorn.plugins.dotted import ApplicationProblem, refuse_unknown
from paste_unicorn.plugins.wsgi_app import Application
from paste_unicorn.scoreboard.uploads import LONGEST_ID, SHORTEST_ID, UploadReading, UploadState, upload_id

FIND = "gunicorn.uploads"  # in the environ: from an id to what the server knows of that upload

_NAMES = {UploadState.UPLOADING: "uploading", UploadState.DONE: "done", UploadState.ERROR: "error"}


def make_filter(global_conf: Mapping[str, str], path: str = "/progress", **local_conf: str) -> Callable[..., Any]:
    """What wraps an application (a ``paste.filter_factory``); `path` is where it answers itself.

    Raises `ApplicationProblem`.
    """
    refuse_unknown("upload_progress", "path", local_conf)
    if not path.startswith("/"):
        raise ApplicationProblem(f'path: "{path}" does not begin with a slash; write, for example, /progress')

    def wrap(application: Application) -> Application:
        return UploadProgress(application, path)

    return wrap


class UploadProgress:
    """WSGI middleware: one path is ours, everything else the application's."""

    def __init__(self, application: Application, path: str) -> None:
        self._application = application
        self._path = path

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != self._path:
            return self._application(environ, start_response)
        status, kind, body = _answer(environ)
        fields = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
        if status.startswith("405"):
            fields.append(("Allow", "GET, HEAD"))
        start_response(status, fields)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _answer(environ: Mapping[str, Any]) -> tuple[str, str, bytes]:
    text = "text/plain; charset=utf-8"
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return "405 Method Not Allowed", text, b"Ask with GET.\n"
    upload = upload_id(environ.get("QUERY_STRING", ""), environ.get("HTTP_X_PROGRESS_ID", ""))
    if upload is None:
        wanted = f'X-Progress-ID: {SHORTEST_ID} to {LONGEST_ID} letters, digits, "-" or "_", chosen by chance.\n'
        return "400 Bad Request", text, wanted.encode()
    find = environ.get(FIND)
    if find is None:
        return "501 Not Implemented", text, b"This server does not tell how far uploads are.\n"
    return "200 OK", "application/json", json.dumps(_progress(find(upload))).encode()


def _progress(reading: UploadReading | None) -> dict[str, object]:
    """The words of nginx's upload progress module; a size that is not known is null."""
    if reading is None:
        return {"state": "starting", "received": 0, "size": None}
    known = reading.expected if reading.expected >= 0 else None
    size = reading.received if reading.state is UploadState.DONE else known
    return {"state": _NAMES[reading.state], "received": reading.received, "size": size}
