"""An application that gives supervision something to do: it sleeps, spins, forks, imports late, tells who it is.

It keeps a record of how it was loaded (`/loaded`), so that a test sees whether a later template loaded the same.
"""

from __future__ import annotations

import ctypes
import importlib
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

Environ = dict[str, Any]


def make_app(global_conf: dict[str, str], **local_conf: str) -> Supervised:
    """`paste.app_factory`; `fail_if = PATH` lets the load fail while the file exists, `hang_if` lets it hang."""
    if os.path.exists(local_conf.get("fail_if", "")):
        raise RuntimeError("this application can't be loaded today")
    while os.path.exists(local_conf.get("hang_if", "")):
        time.sleep(0.1)
    return Supervised(dict(global_conf), local_conf)


class Supervised:
    """What it was loaded with, and a method a path."""

    def __init__(self, global_conf: dict[str, str], local_conf: dict[str, str]) -> None:
        self.loaded = {"global": global_conf, "local": local_conf}
        self.value = os.urandom(8).hex()  # tells one load of the application from another
        self.eaten = bytearray()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        name = environ["PATH_INFO"].strip("/")
        query = dict(parse_qsl(environ["QUERY_STRING"]))
        body = getattr(self, f"do_{name or 'pid'}")(query).encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]

    def do_pid(self, query: dict[str, str]) -> str:
        return str(os.getpid())

    def do_loaded(self, query: dict[str, str]) -> str:
        return json.dumps({**self.loaded, "value": self.value})

    def do_process(self, query: dict[str, str]) -> str:
        """What the process was given."""
        umask = os.umask(0)
        os.umask(umask)
        return json.dumps(
            {
                "cwd": os.getcwd(),
                "umask": umask,
                "uid": os.getuid(),
                "gid": os.getgid(),
                "groups": os.getgroups(),
                "environ": dict(os.environ),
                "path": sys.path,
                "handlers": {number.name: str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGCHLD)},
            }
        )

    def do_sleep(self, query: dict[str, str]) -> str:
        """`touch` is made when it begins."""
        _touch(query)
        time.sleep(float(query["s"]))
        return "slept"

    def do_spin(self, query: dict[str, str]) -> str:
        _touch(query)
        until = time.monotonic() + float(query["s"])
        while time.monotonic() < until:
            pass
        return "spun"

    def do_hold(self, query: dict[str, str]) -> str:
        """In C, with the GIL: no other thread runs and no Python handler of a signal."""
        _touch(query)
        ctypes.PyDLL(None).sleep(int(query["s"]))
        return "held"

    def do_grind(self, query: dict[str, str]) -> str:
        """In C, with the GIL, and no signal ends it."""
        _touch(query)
        return str(sum(itertools.repeat(1, 10**12)))

    def do_crash(self, query: dict[str, str]) -> str:
        os.kill(os.getpid(), signal.SIGSEGV)
        return "never"

    def do_eat(self, query: dict[str, str]) -> str:
        """Keeps `mb` mebibytes more, written to, so that this process has them alone."""
        _touch(query)
        self.eaten += bytes([1]) * (int(query["mb"]) << 20)
        return str(len(self.eaten))

    def do_fill(self, query: dict[str, str]) -> str:
        """Memory that is nobody's: a file of `mb` mebibytes, in a file system that lies in memory, gone with us."""
        fd = os.memfd_create("filling")
        for _ in range(int(query["mb"])):
            os.write(fd, bytes(1 << 20))
        return "filled"

    def do_exit(self, query: dict[str, str]) -> str:
        os._exit(int(query["code"]))

    def do_fork(self, query: dict[str, str]) -> str:
        """A process of its own that outlives everything for `s` seconds; its pid."""
        pid = os.fork()
        if pid == 0:
            time.sleep(float(query["s"]))
            os._exit(0)
        return str(pid)

    def do_orphan(self, query: dict[str, str]) -> str:
        """A process whose parent ends before it does; it ends after `s` seconds. Its pid."""
        reader, writer = os.pipe()
        middle = os.fork()
        if middle == 0:
            pid = os.fork()
            if pid == 0:
                time.sleep(float(query["s"]))
                os._exit(0)
            os.write(writer, str(pid).encode())
            os._exit(0)
        os.waitpid(middle, 0)
        pid_text = os.read(reader, 20).decode()
        os.close(reader)
        os.close(writer)
        return pid_text

    def do_import(self, query: dict[str, str]) -> str:
        """The VALUE of a module that only this worker imports."""
        return str(importlib.import_module(query["module"]).VALUE)


def _touch(query: dict[str, str]) -> None:
    if "touch" in query:
        Path(query["touch"]).touch()


# -- hooks -----------------------------------------------------------------------------------------------------


def note(text: str) -> None:
    """Write a line into the file that $HOOKS names."""
    with open(os.environ["HOOKS"], "a", encoding="utf-8") as file:
        file.write(f"{text}\n")


def on_starting(server: Any) -> None:
    note(f"on_starting {server.pid == os.getpid()} workers={server.num_workers} {','.join(server.address)}")


def gives_time(server: Any) -> None:
    """An `on_starting`: stuck workers that stand still for a second or two can tell their tracebacks all the same."""
    from paste_unicorn.arbiter.rules import overdue, stuck

    stuck.ABORT_S = overdue.ABORT_S = 3.0


def when_ready(server: Any) -> None:
    note(f"when_ready {','.join(server.address)}")


def pre_fork(server: Any, worker: Any) -> None:
    note(f"pre_fork age={worker.age}")


def post_fork(server: Any, worker: Any) -> None:
    note(f"post_fork age={worker.age} {worker.pid == os.getpid()} server={server.pid}")


def worker_int(worker: Any) -> None:
    note(f"worker_int {worker.pid == os.getpid()}")


def worker_abort(worker: Any) -> None:
    note(f"worker_abort {worker.pid == os.getpid()}")


def worker_exit(server: Any, worker: Any) -> None:
    note(f"worker_exit age={worker.age} {worker.pid == os.getpid()}")


def worker_exit_that_leaves(server: Any, worker: Any) -> None:
    note("worker_exit")
    raise SystemExit(7)


def worker_int_that_waits(worker: Any) -> None:
    time.sleep(0.05)
    note("worker_int")


def worker_abort_that_waits(worker: Any) -> None:
    time.sleep(0.05)
    note("worker_abort")


def worker_exit_that_waits(server: Any, worker: Any) -> None:
    time.sleep(0.05)
    note("worker_exit")


def worker_int_without_end(worker: Any) -> None:
    note("worker_int")
    time.sleep(3600)


def worker_int_at_the_gate(worker: Any) -> None:
    note("worker_int")
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)


def leaves(*given: Any) -> None:
    """Any hook."""
    raise SystemExit("it leaves")


def child_exit(server: Any, worker: Any) -> None:
    note(f"child_exit age={worker.age} {worker.pid != os.getpid()}")


def nworkers_changed(server: Any, new: int, old: int | None) -> None:
    note(f"nworkers_changed {new} {old}")


def on_exit(server: Any) -> None:
    note("on_exit")


def never_boots(server: Any, worker: Any) -> None:
    """A `post_fork` that ends its worker before it is ready."""
    os._exit(9)


def crashes_soon(worker: Any) -> None:
    """A `post_worker_init` that lets its worker crash in a thread, just after it was ready."""
    threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGSEGV)).start()


def waits_at_birth(server: Any, worker: Any) -> None:
    """A `post_fork` that keeps its worker from being ready until the file that $GATE names exists."""
    while not os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)


# -- a server runner that serves another application than the one that was loaded ------------------------------


def serve_another(application: Any, global_conf: dict[str, str], **local_conf: str) -> None:
    """`paste.server_runner`: wraps the application in code, so that no record can match it."""
    from paste_unicorn.runner import serve

    serve(lambda environ, start_response: application(environ, start_response), global_conf, **local_conf)
