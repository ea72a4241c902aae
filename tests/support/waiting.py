"""An application that waits: for time to pass, for news, for its client. And it tells what it left behind.

It is written for threads, as applications are: under gevent and eventlet the standard library is patched.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import itertools
import json
import os
import queue
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl

from greenlet import greenlet

Environ = dict[str, Any]

LOADED_WITH = subprocess.run([sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True).stdout.strip()
PATCHED = time.sleep.__module__.partition(".")[0]  # what this module was imported under


def make_app(global_conf: dict[str, str], **local_conf: str) -> Waiting:
    """`paste.app_factory`."""
    return Waiting()


class Waiting:
    """A method a path."""

    def __init__(self) -> None:
        self.news: list[str] = []
        self.changed = threading.Condition()
        self.own = threading.local()
        self.running = 0  # requests inside of the application
        self.closed = 0  # iterables that were closed
        self.errors: list[str] = []  # what reading a body, or going on with an answer, raised

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        name = environ["PATH_INFO"].strip("/") or "ready"
        query = dict(parse_qsl(environ["QUERY_STRING"]))
        self.running += 1
        try:
            given = getattr(self, f"do_{name}")(query, environ)
        finally:
            self.running -= 1
        if not isinstance(given, bytes):
            start_response("200 OK", [("Content-Type", "text/event-stream")])
            return Items(self, given)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(given)))])
        return [given]

    def do_ready(self, query: dict[str, str], environ: Environ) -> bytes:
        return b"ready\n"

    def do_pid(self, query: dict[str, str], environ: Environ) -> bytes:
        return str(os.getpid()).encode()

    def do_environ(self, query: dict[str, str], environ: Environ) -> bytes:
        return json.dumps({name: str(value) for name, value in environ.items()}).encode()

    def do_sleep(self, query: dict[str, str], environ: Environ) -> bytes:
        time.sleep(float(query["s"]))
        return b"slept"

    def do_spin(self, query: dict[str, str], environ: Environ) -> bytes:
        until = time.monotonic() + float(query["s"])
        while time.monotonic() < until:
            pass
        return b"spun"

    def do_block(self, query: dict[str, str], environ: Environ) -> bytes:
        """Something computes without end in the hub's own greenlet; `touch` is made when it begins."""

        def spin() -> None:
            open(query["touch"], "w").close()
            while True:
                pass

        if PATCHED == "gevent":
            importlib.import_module("gevent").get_hub().loop.run_callback(spin)
        else:
            importlib.import_module("eventlet.hubs").get_hub().schedule_call_global(0, spin)
        return b"it will"

    def do_news(self, query: dict[str, str], environ: Environ) -> bytes:
        """Long polling: what was published after the first `seen` items, as soon as there is something."""
        seen = int(query.get("seen", "0"))
        with self.changed:
            self.changed.wait_for(lambda: len(self.news) > seen)
        return json.dumps(self.news[seen:]).encode()

    def do_publish(self, query: dict[str, str], environ: Environ) -> bytes:
        with self.changed:
            self.news.append(query["text"])
            self.changed.notify_all()
        return b"published"

    def do_stream(self, query: dict[str, str], environ: Environ) -> Iterator[bytes]:
        """The same as an endless answer, an item for each."""
        yield b"data: hello\n\n"
        for seen in itertools.count():
            with self.changed:
                while len(self.news) <= seen:
                    self.changed.wait()
            yield f"data: {self.news[seen]}\n\n".encode()

    def do_listen(self, query: dict[str, str], environ: Environ) -> Iterator[bytes]:
        """A stream that waits for news, a moment at a time, by `how`, which never come."""
        one, other = socket.socketpair()
        one.settimeout(0.3)
        ways = {
            "sleep": lambda: time.sleep(0.3),
            "select": lambda: select.select([one], [], [], 0.3),
            "condition": lambda: self.changed.wait(0.3),
            "recv": lambda: one.recv(1),
        }
        yield b"data: hello\n\n"
        with one, other, self.changed:
            while True:
                with contextlib.suppress(TimeoutError):
                    ways[query["how"]]()

    def do_get(self, query: dict[str, str], environ: Environ) -> Iterator[bytes]:
        """A stream that waits for news for as long as it takes; they never come."""
        yield b"data: hello\n\n"
        yield str(queue.SimpleQueue[int]().get()).encode()

    def do_ticks(self, query: dict[str, str], environ: Environ) -> Iterator[bytes]:
        """An endless answer, an item each `gap` seconds."""
        while True:
            yield b"data: tick\n\n"
            time.sleep(float(query["gap"]))

    def do_flood(self, query: dict[str, str], environ: Environ) -> Iterator[bytes]:
        """An endless answer without any pause."""
        while True:
            yield b"x" * 65536

    def do_upload(self, query: dict[str, str], environ: Environ) -> bytes:
        size = 0
        try:
            while piece := environ["wsgi.input"].read1(65536):
                size += len(piece)
        except BaseException as error:
            self.errors.append(type(error).__name__)
            raise
        return str(size).encode()

    def do_converse(self, query: dict[str, str], environ: Environ) -> Iterator[bytes]:
        """Each line of the body in capitals, while the body is still arriving."""
        return (line.upper() for line in iter(environ["wsgi.input"].readline, b""))

    def do_own(self, query: dict[str, str], environ: Environ) -> bytes:
        """A thread's own value is still its own after others have run."""
        self.own.value = query["value"]
        time.sleep(float(query["s"]))
        return str(self.own.value).encode()

    def do_command(self, query: dict[str, str], environ: Environ) -> bytes:
        """What a subprocess says; others run meanwhile."""
        code = f"import time; time.sleep({float(query['s'])}); print(6 * 7)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return f"{LOADED_WITH} {done.stdout.strip()}".encode()

    def do_fork(self, query: dict[str, str], environ: Environ) -> bytes:
        """A process that sleeps, as this one does; `touch` is made at its end."""
        if os.fork() == 0:
            time.sleep(float(query["s"]))
            open(query["touch"], "w").close()
            os._exit(0)
        return b"forked"

    def do_state(self, query: dict[str, str], environ: Environ) -> bytes:
        """What there is in this process, this request left out."""
        gc.collect()
        return json.dumps(
            {
                "running": self.running - 1,
                "news": len(self.news),
                "closed": self.closed,
                "errors": self.errors,
                "patched": PATCHED,
                "descriptors": len(os.listdir("/proc/self/fd")) - 1,
                "greenlets": sum(1 for one in gc.get_objects() if isinstance(one, greenlet) and is_inside(one)),
            }
        ).encode()


def is_inside(one: greenlet) -> bool:
    """Whether a greenlet waits in the code of this application."""
    frame = one.gr_frame
    while frame is not None and frame.f_code.co_filename != __file__:
        frame = frame.f_back
    return frame is not None


class Items:
    """An iterable that counts that it was closed, and what is inside of it as running."""

    def __init__(self, application: Waiting, items: Iterator[bytes]) -> None:
        self._application = application
        self._items = items
        application.running += 1

    def __iter__(self) -> Iterator[bytes]:
        return self._items

    def close(self) -> None:
        self._application.running -= 1
        self._application.closed += 1
