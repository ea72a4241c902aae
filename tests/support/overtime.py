"""An application that takes too long, in every way in which one can; and that is asked what became of it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from greenlet import getcurrent

Environ = dict[str, Any]


def make_app(global_conf: dict[str, str], **local_conf: str) -> Overtime:
    """`paste.app_factory`."""
    return Overtime()


class Overtime:
    """A method a path. `touch` is made when a request begins, `end` with what ended it when it has ended."""

    def __init__(self) -> None:
        self.sleepers: list[Any] = []  # greenlets that have run `do_sleep`

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        query = dict(parse_qsl(environ["QUERY_STRING"]))
        if "touch" in query:
            Path(query["touch"]).touch()
        method = getattr(self, f"do_{environ['PATH_INFO'].strip('/') or 'pid'}")
        ended = "ok"
        try:
            body = method(query, environ)
        except BaseException as error:
            ended = type(error).__name__
            raise
        finally:
            if "end" in query:
                Path(query["end"]).write_text(ended)
        if not isinstance(body, bytes):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return body  # type: ignore[no-any-return]
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]

    def do_pid(self, query: dict[str, str], environ: Environ) -> bytes:
        return str(os.getpid()).encode()

    def do_fail(self, query: dict[str, str], environ: Environ) -> bytes:
        raise ValueError("a line for the error log")

    def do_has(self, query: dict[str, str], environ: Environ) -> bytes:
        return json.dumps(sorted(key for key in environ if key.startswith("gunicorn."))).encode()

    def do_sleep(self, query: dict[str, str], environ: Environ) -> bytes:
        self.sleepers.append(getcurrent())
        time.sleep(float(query["s"]))
        return b"slept"

    def do_fate(self, query: dict[str, str], environ: Environ) -> bytes:
        """What becomes of the next one that sleeps, within `s` seconds."""
        environ["gunicorn.request_timeout"](60)
        until, before = time.monotonic() + float(query["s"]), len(self.sleepers)
        while time.monotonic() < until:
            time.sleep(0.05)
            if any(sleeper.dead for sleeper in self.sleepers[before:]):
                return b"dead"
        return b"alive"

    def do_spin(self, query: dict[str, str], environ: Environ) -> bytes:
        spin(time.monotonic() + float(query["s"]))
        return b"spun"

    def do_lock(self, query: dict[str, str], environ: Environ) -> bytes:
        """Waits for what never comes."""
        lock = threading.Lock()
        lock.acquire()
        lock.acquire()
        return b"locked"

    def do_read(self, query: dict[str, str], environ: Environ) -> bytes:
        return bytes(environ["wsgi.input"].read())

    def do_swallow(self, query: dict[str, str], environ: Environ) -> bytes:
        """As a framework's middleware does: whatever it is, there is a page for it."""
        try:
            time.sleep(float(query["s"]))
        except BaseException:
            return b"an error page of the application"
        return b"slept"

    def do_stubborn(self, query: dict[str, str], environ: Environ) -> bytes:
        """Can't be ended from outside."""
        until = time.monotonic() + float(query["s"])
        while time.monotonic() < until:
            try:
                time.sleep(0.05)
            except BaseException:
                continue
        return b"done all the same"

    def do_stubborn_spin(self, query: dict[str, str], environ: Environ) -> bytes:
        """Neither, and nobody else runs beside it."""
        until = time.monotonic() + float(query["s"])
        while time.monotonic() < until:
            try:
                spin(until)  # not its loop: where 3.13 jumps back to the start of one is outside of the `try` around it
            except BaseException:
                continue
        return b"done all the same"

    def do_extend(self, query: dict[str, str], environ: Environ) -> bytes:
        environ["gunicorn.request_timeout"](float(query["by"]))
        time.sleep(float(query["s"]))
        return b"slept"

    def do_wait(self, query: dict[str, str], environ: Environ) -> bytes:
        """Until the file `gate` is there."""
        environ["gunicorn.request_timeout"](60)
        while not os.path.exists(query["gate"]):
            time.sleep(0.01)
        return b"waited"

    def do_stream(self, query: dict[str, str], environ: Environ) -> Iterator[bytes]:
        """`s` seconds between its first and its second item; `closed` is made when it is closed."""
        try:
            yield b"one "
            time.sleep(float(query["s"]))
            yield b"two"
        finally:
            Path(query["closed"]).touch()

    def do_flood(self, query: dict[str, str], environ: Environ) -> Iterator[bytes]:
        """An endless answer without any pause."""
        try:
            while True:
                yield b"x" * 65536
        finally:
            Path(query["closed"]).touch()


def spin(until: float) -> None:
    while time.monotonic() < until:
        pass
