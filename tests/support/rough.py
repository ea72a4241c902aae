"""An application that is rough on its worker: closes descriptors, forks, replaces handlers, keeps what it was given."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl

Environ = dict[str, Any]

KEPT: list[Any] = []  # inputs of requests that are over


def make_app(global_conf: dict[str, str], **local_conf: str) -> Callable[..., Iterable[bytes]]:
    """`paste.app_factory`."""
    return application


def application(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    name = environ["PATH_INFO"].strip("/").replace("-", "_")
    given = dict(parse_qsl(environ["QUERY_STRING"]))
    result = globals()[f"do_{name or 'pid'}"](environ, given)
    if not isinstance(result, str):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return result  # type: ignore[no-any-return]
    body = result.encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def do_pid(environ: Environ, given: dict[str, str]) -> str:
    return str(os.getpid())


def do_threads(environ: Environ, given: dict[str, str]) -> str:
    """Names of all threads; those of daemons end in a star."""
    return ",".join(thread.name + "*" * thread.daemon for thread in threading.enumerate())


def do_close_fd(environ: Environ, given: dict[str, str]) -> str:
    os.close(int(given["fd"]))
    return "closed"


def do_write_fd(environ: Environ, given: dict[str, str]) -> str:
    try:
        os.write(int(given["fd"]), b"stray output\n")
    except OSError as error:
        return str(error)
    return "written"


def do_fork(environ: Environ, given: dict[str, str]) -> str:
    """A process of its own that holds all it has inherited for `s` seconds; its pid."""
    pid = os.fork()
    if pid == 0:
        time.sleep(float(given["s"]))
        os._exit(0)
    return str(pid)


def do_fork_and_answer(environ: Environ, given: dict[str, str]) -> str:
    """Both come out of the request: the pid of who answers, and that of its child."""
    child = os.fork()
    return f"{os.getpid()} {child}"


def do_cut(environ: Environ, given: dict[str, str]) -> Iterable[bytes]:
    """An answer that ends with an exception."""
    yield b"begun"
    raise RuntimeError("raised on purpose")


def do_ignore_term(environ: Environ, given: dict[str, str]) -> str:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return "ignored"


def do_keep_input(environ: Environ, given: dict[str, str]) -> str:
    KEPT.append(environ["wsgi.input"])
    return "kept"


def do_read_kept(environ: Environ, given: dict[str, str]) -> str:
    """What a read from the input of an earlier request gives."""
    try:
        return f"read {KEPT.pop().read(10)!r}"
    except OSError as error:
        return f"{type(error).__name__}: {[kind.__name__ for kind in type(error).__mro__]}"


def do_read_kept_carelessly(environ: Environ, given: dict[str, str]) -> str:
    return repr(KEPT.pop().read(10))
