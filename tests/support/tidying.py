"""An application that tidies up when its client has gone, or been answered, and tells whether it could."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

Environ = dict[str, Any]
Query = dict[str, str]
StartResponse = Callable[..., Any]

BLOCK = b"x" * 65536
FIELDS = [("Content-Type", "text/plain")]
STEPS = 10


def make_app(global_conf: dict[str, str], **local_conf: str) -> StartResponse:
    """`paste.app_factory`: a function a path. Where one tidies up, that takes `s` seconds."""
    return application


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    name = environ["PATH_INFO"].strip("/") or "ready"
    given: Iterable[bytes] = globals()[f"do_{name}"](query, environ, start_response)
    return given


def do_ready(query: Query, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", FIELDS)
    return [b"ready\n"]


def do_read(query: Query, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """How much was read; `begun` is made before."""
    size = 0
    try:
        if "begun" in query:
            tell(query["begun"], "it reads")
        while piece := environ["wsgi.input"].read1():
            size += len(piece)
    except OSError:
        tidy_up(query)
        raise
    start_response("200 OK", FIELDS)
    return [b"%d" % size]


def do_write(query: Query, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    write = start_response("200 OK", FIELDS)
    try:
        while True:
            write(BLOCK)
    except OSError:
        tidy_up(query)
        raise


def do_items(query: Query, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", FIELDS)
    return Tidy(query, itertools.repeat(BLOCK))


def do_whole(query: Query, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """The work comes after the answer."""
    start_response("200 OK", FIELDS)
    return Tidy(query, [b"all of ", b"it"])


def do_apart(query: Query, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A thread reads, and this one waits for nothing."""

    def read() -> None:
        with contextlib.suppress(OSError):
            do_read(query, environ, start_response)

    try:
        threading.Thread(target=read).start()  # and waits until it runs
        while True:
            time.sleep(0.05)
    finally:
        tell(query["ended"], "it has ended")


def do_duplex(query: Query, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """A thread reads while this one writes `count` blocks, and then how much was read."""
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.extend(do_read(query, environ, lambda *_: None)))
    reader.start()
    start_response("200 OK", FIELDS)
    yield from itertools.repeat(BLOCK, int(query["count"]))
    reader.join()
    yield from read


def do_stray(query: Query, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """A thread still reads when the answer is given."""
    threading.Thread(target=read_astray, args=(query, environ["wsgi.input"])).start()
    time.sleep(0.2)
    start_response("200 OK", FIELDS)
    return [b"answered"]


def read_astray(query: Query, body: Any) -> None:
    try:
        while body.read1():
            pass
    except OSError as error:
        tell(query["tell"], type(error).__name__)


def tidy_up(query: Query) -> None:
    pause_s = float(query["s"]) / STEPS
    told = "in peace"
    try:
        for _ in range(STEPS):
            time.sleep(pause_s)
    except BaseException as error:
        told = f"until {type(error).__name__}"
        raise
    finally:
        tell(query["tell"], told)


def tell(path: str, text: str) -> None:
    """Complete as soon as it is there."""
    Path(f"{path}.part").write_text(text)
    Path(f"{path}.part").rename(path)


class Tidy:
    """Items whose `close` takes its time."""

    def __init__(self, query: Query, items: Iterable[bytes]) -> None:
        self._query = query
        self._items = items

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._items)

    def close(self) -> None:
        tidy_up(self._query)
