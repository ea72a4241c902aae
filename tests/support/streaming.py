"""An application of streams: it reads bodies while they arrive, answers while it reads, and tells what became of both.

What it does is written to a file where a test wants to see it while the application is occupied. It is written for
threads, as applications are: under gevent and eventlet the standard library is patched.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from greenlet import greenlet

Environ = dict[str, Any]
Query = dict[str, str]

BLOCK = 65536

# Of a worker, the main one included. They are made as they are needed: one that sends to slow readers and, in a pool,
# four that run requests, and one for the loop.
MOST_THREADS = {"sync": 2, "threads": 7}


def make_app(global_conf: dict[str, str], **local_conf: str) -> Streaming:
    """`paste.app_factory`."""
    return Streaming()


class Streaming:
    """A method a path; each gives bytes, or an iterator that is streamed."""

    def __init__(self) -> None:
        self.opened = 0  # iterables that were made
        self.closed = 0
        self.started = 0  # requests that came, but for those that look
        self.errors: list[str] = []  # what reading a body, or going on with an answer, raised
        self.changed = threading.Condition()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        name = environ["PATH_INFO"].strip("/") or "ready"
        query = dict(parse_qsl(environ["QUERY_STRING"]))
        if name not in ("ready", "state", "pid"):
            self.started += 1
        try:
            given = getattr(self, f"do_{name.replace('-', '_')}")(query, environ)
        except BaseException as error:
            self.errors.append(f"{type(error).__name__}: {error}")
            raise
        if isinstance(given, bytes):
            start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(given)))])
            return [given]
        length = [("Content-Length", query["length"])] if "length" in query else []
        start_response(query.get("status", "200 OK"), [("Content-Type", query.get("type", "text/plain")), *length])
        return Items(self, given)

    def do_ready(self, query: Query, environ: Environ) -> bytes:
        return b"ready\n"

    def do_pid(self, query: Query, environ: Environ) -> bytes:
        return str(os.getpid()).encode()

    def do_state(self, query: Query, environ: Environ) -> bytes:
        """What there is in this process."""
        gc.collect()
        state = {
            "opened": self.opened,
            "closed": self.closed,
            "started": self.started,
            "errors": self.errors,
            "descriptors": len(os.listdir("/proc/self/fd")) - 1,
            "threads": len(os.listdir("/proc/self/task")),
            "greenlets": sum(1 for one in gc.get_objects() if isinstance(one, greenlet) and is_inside(one)),
        }
        return json.dumps(state).encode()

    # -- request bodies ------------------------------------------------------------------------------------------------

    def do_parrot(self, query: Query, environ: Environ) -> Iterator[bytes]:
        """Says again what each read gives, by the method `how`."""
        stream, how = environ["wsgi.input"], query["how"]
        if how == "iterate":
            return (bytes(line) for line in stream)
        if how == "readlines":
            return iter(lambda: b"".join(stream.readlines(1)), b"")
        if how == "read":
            return iter(lambda: stream.read(int(query["size"])), b"")
        return iter(getattr(stream, how), b"")

    def do_echo(self, query: Query, environ: Environ) -> Iterator[bytes]:
        """The body, piece by piece, as it comes."""
        return iter(lambda: environ["wsgi.input"].read1(BLOCK), b"")

    def do_take(self, query: Query, environ: Environ) -> bytes:
        """Size and digest of the body, which is not read before the file `gate` is there; `tell` is made first."""
        if "tell" in query:
            Path(query["tell"]).touch()
        wait_for_file(query.get("gate"))
        size, digest = 0, hashlib.md5()
        while piece := environ["wsgi.input"].read(BLOCK):
            size += len(piece)
            digest.update(piece)
        return f"{size} {digest.hexdigest()}".encode()

    def do_ignore(self, query: Query, environ: Environ) -> bytes | Iterator[bytes]:
        """Reads nothing; answers `size` bytes, by blocks where `blocks` is given."""
        size = int(query["size"])
        return blocks(size) if "blocks" in query else b"x" * size

    # -- answers -------------------------------------------------------------------------------------------------------

    def do_events(self, query: Query, environ: Environ) -> Iterator[bytes]:
        """Server-Sent Events: each as soon as the file `gate`.N is there; the first at once unless `late` is given."""
        for number in range(int(query["count"])):
            if number or "late" in query:
                wait_for_file(f"{query['gate']}.{number}")
            yield f"id: {number}\ndata: event {number}\n\n".encode()

    def do_produce(self, query: Query, environ: Environ) -> Iterator[bytes]:
        """`size` bytes by blocks; how many were asked for stands in the file `tell`."""
        made = 0
        with open(query["tell"], "wb", buffering=0) as tell:
            for block in blocks(int(query["size"])):
                made += len(block)
                os.pwrite(tell.fileno(), b"%12d" % made, 0)
                yield block

    def do_ahead(self, query: Query, environ: Environ) -> Iterator[bytes]:
        """`size` bytes at once, a last word, and then silence until the file `gate` is there; `tell` is made before."""
        yield b"x" * int(query["size"])
        yield b"the last word"
        Path(query["tell"]).touch()
        wait_for_file(query["gate"])

    def do_items(self, query: Query, environ: Environ) -> Iterator[bytes]:
        """`count` items of `size` bytes: the first at once, each other one as soon as the file `gate`.N is there."""
        for number in range(int(query["count"])):
            if number:
                wait_for_file(f"{query['gate']}.{number}")
            yield item(number, int(query["size"]))

    def do_storm(self, query: Query, environ: Environ) -> Iterator[bytes]:
        """Items of all sizes, at once or after a while."""
        chance = random.Random()
        for data in storm(int(query["seed"])):
            yield data
            if chance.random() < 0.5:
                time.sleep(chance.choice([0, 0.001, 0.01]))

    def do_ticks(self, query: Query, environ: Environ) -> Iterator[bytes]:
        """An endless answer, an item each `gap` seconds."""
        while True:
            yield b"data: tick\n\n"
            time.sleep(float(query["gap"]))

    def do_flood(self, query: Query, environ: Environ) -> Iterator[bytes]:
        """An endless answer without any pause."""
        while True:
            yield b"x" * BLOCK

    def do_poll(self, query: Query, environ: Environ) -> bytes:
        """Long polling: news never come, and after `s` seconds it says so."""
        with self.changed:
            self.changed.wait(float(query["s"]))
        return b"no news"

    def do_poll_often(self, query: Query, environ: Environ) -> bytes:
        """Long polling by looking, for an hour."""
        for _ in range(3600 * 100):
            time.sleep(0.01)
        return b"no news"


def item(number: int, size: int) -> bytes:
    """One of `do_items`: no two places in it, and no two of them, look alike."""
    return b"".join(b"%d.%06x " % (number, at) for at in range(size // 9 + 1))[:size]


def storm(seed: int) -> Iterator[bytes]:
    """What `do_storm` sends."""
    chance = random.Random(seed)
    for _ in range(100):
        yield chance.randbytes(int(10 ** chance.uniform(0, 6)))


def is_inside(one: greenlet) -> bool:
    """Whether a greenlet waits in the code of this application."""
    frame = one.gr_frame
    while frame is not None and frame.f_code.co_filename != __file__:
        frame = frame.f_back
    return frame is not None


def blocks(size: int) -> Iterator[bytes]:
    block = b"x" * BLOCK
    return (block[: min(BLOCK, size - at)] for at in range(0, size, BLOCK))


def wait_for_file(path: str | None) -> None:
    """For half a minute at most; at once where none is named."""
    for _ in range(3000):
        if path is None or Path(path).exists():
            return
        time.sleep(0.01)
    raise TimeoutError(f"{path} never came")


class Items:
    """An iterable that counts that it was closed."""

    def __init__(self, application: Streaming, items: Iterator[bytes]) -> None:
        self._application = application
        self._items = items
        application.opened += 1

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._items
        except BaseException as error:
            self._application.errors.append(f"{type(error).__name__}: {error}")
            raise

    def close(self) -> None:
        self._application.closed += 1
