"""An application that learns that its client has gone, and does something about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

Environ = dict[str, Any]


class Own(Exception):
    """The application's own."""


def make_app(global_conf: dict[str, str], **local_conf: str) -> Callable[..., Iterable[bytes]]:
    """`paste.app_factory`."""
    return application


def application(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """`/HOW`; all but `close` write until they are interrupted, or told by write() that nobody is there."""
    given = dict(parse_qsl(environ["QUERY_STRING"]))
    how = environ["PATH_INFO"].strip("/")
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    if not how:
        return [b"ready"]
    if how == "close":
        return SlowToClose(Path(given["touch"]))
    try:
        while True:
            write(b"more\n")
            time.sleep(0.02)
    except BaseException as error:
        if how == "made-of-it":
            raise Own("made of it") from error
        if how != "afterwards":
            raise
    finally:
        if how == "in-finally":
            raise KeyError("raised in finally")
    raise Own("raised afterwards")


class SlowToClose:
    """Says with a file that its close() has begun."""

    def __init__(self, touch: Path) -> None:
        self._touch = touch

    def __iter__(self) -> Iterator[bytes]:
        yield b"all"

    def close(self) -> None:
        self._touch.touch()
        for _ in range(50):
            time.sleep(0.02)
