"""An application that takes connections over, in every way that libraries do it, and tells what it saw."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl

from simple_websocket import ConnectionClosed, Server

Environ = dict[str, Any]
Query = dict[str, str]

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
RAISED = {"StopIteration": StopIteration, "BrokenPipeError": BrokenPipeError, "ValueError": ValueError}


def make_app(global_conf: dict[str, str], **local_conf: str) -> Switching:
    """`paste.app_factory`."""
    return Switching()


class Switching:
    """A method a path: it has the socket, if it was offered, and gives what the application returns."""

    def __init__(self) -> None:
        self.seen: list[str] = []  # what happened in the application
        self.running = 0
        self.kept: Any = None  # a socket that was kept beyond its request
        self.go_on = threading.Event()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        name = environ["PATH_INFO"].strip("/") or "ready"
        query = dict(parse_qsl(environ["QUERY_STRING"]))
        self.running += 1
        try:
            returned: Iterable[bytes] = getattr(self, f"do_{name}")(environ, start_response, query)
            return returned
        finally:
            self.running -= 1

    def do_ready(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        return reply(start_response, "ready")

    def do_offered(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        """Whether there is a socket, and what can be asked without taking it."""
        sock = environ.get("gunicorn.socket")
        if sock is None:
            return reply(start_response, None)
        assert "gunicorn.socket" in repr(environ)
        return reply(start_response, [*sock.getpeername(), sock.gettimeout()])

    def do_state(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        gc.collect()
        found = {
            "seen": self.seen,
            "running": self.running - 1,
            "threads": sum(thread.is_alive() for thread in threading.enumerate() if "websocket" in thread.name),
            "descriptors": len(os.listdir("/proc/self/fd")),
            "pid": os.getpid(),
        }
        return reply(start_response, found)

    def do_let(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        """Those who wait for it go on."""
        self.go_on.set()
        return reply(start_response, None)

    # -- protocols -----------------------------------------------------------------------------------------------------

    def do_echo(self, environ: Environ, start_response: Any, query: Query) -> Iterable[bytes]:
        """Bytes come back, until the client ends its side. Then it ends as the query says."""
        sock = environ["gunicorn.socket"]
        sock.sendall(SWITCHED)
        try:
            while data := sock.recv(65536):
                sock.sendall(data)
        except OSError as error:
            self.seen.append(type(error).__name__)
            raise
        self.seen.append("end")
        if "raise" in query:
            raise RAISED[query["raise"]]("on purpose")
        if "start" in query:
            start_response("200 OK", [("Content-Type", "text/plain")])
        if "write" in query:
            start_response("200 OK", [("Content-Type", "text/plain")])(b"never sent")
        return self.items() if query.get("return") == "generator" else [b"never sent"] * len(query)

    def items(self) -> Iterator[bytes]:
        try:
            yield b"never sent"
            yield b"nor this"
        finally:
            self.seen.append("closed")

    def do_lazily(self, environ: Environ, start_response: Any, query: Query) -> Iterator[bytes]:
        """The same from within the iterable."""
        list(self.do_echo(environ, start_response, {}))
        yield b""

    def do_lines(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        """A file of the socket: lines come back in capitals."""
        with environ["gunicorn.socket"].makefile("rwb") as file:
            file.write(SWITCHED)
            file.flush()
            for line in file:
                file.write(line.upper())
                file.flush()
        return []

    def do_peek(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        """What has arrived behind the head, told by itself."""
        sock = environ["gunicorn.socket"]
        told = [sock.pending(), sock.recv(3, 2).decode(), sock.recv(3).decode()]  # 2: MSG_PEEK
        room = bytearray(2)
        told += [sock.recv_into(room), room.decode(), sock.pending()]
        sock.sendall(SWITCHED + json.dumps(told).encode())
        return []

    def do_websocket(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        """An echo by simple-websocket, which has a thread that reads; ended as Flask-Sock does, or plainly."""
        pings = {"ping_interval": float(query["ping"])} if "ping" in query else {}
        websocket = Server.accept(environ, **pings)
        with contextlib.suppress(ConnectionClosed):
            for _ in range(int(query.get("only", 1_000_000))):
                websocket.send(websocket.receive())
        self.seen.append("end")
        if "plainly" in query:
            return reply(start_response, None)
        with contextlib.suppress(Exception):
            websocket.close()
        raise StopIteration

    # -- out of the ordinary -------------------------------------------------------------------------------------------

    def do_late(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        """Takes it when its answer has begun."""
        start_response("200 OK", [("Content-Type", "text/plain")])(b"begun ")
        try:
            environ["gunicorn.socket"].sendall(SWITCHED)
        except Exception as error:
            return [type(error).__name__.encode()]
        return [b"taken"]

    def do_status(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        """101 as an answer."""
        start_response("101 Switching Protocols", [])
        return []

    def do_upgrade_field(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        start_response("200 OK", [("Upgrade", "websocket")])
        return []

    def do_hints(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        """An interim answer before."""
        environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload")])
        environ["gunicorn.socket"].sendall(SWITCHED)
        return []

    def do_keep(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        """Keeps the socket, and answers as usual."""
        self.kept = environ["gunicorn.socket"]
        return reply(start_response, None)

    def do_use_kept(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        raised: list[str] = []
        for call in (lambda: self.kept.sendall(b"for whom?"), lambda: self.kept.recv(1), lambda: self.kept.close()):
            try:
                call()
                raised.append("")
            except OSError as error:
                raised.append(os.strerror(error.errno or 0))
        return reply(start_response, raised)

    def do_throw_away(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        del environ["gunicorn.socket"]
        gc.collect()
        return reply(start_response, None)

    def do_close_early(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        """Closes, and goes on for a while."""
        sock = environ["gunicorn.socket"]
        sock.sendall(SWITCHED)
        sock.close()
        self.go_on.wait(30)
        self.seen.append("went on")
        return []

    def do_detach(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        """A descriptor, or another socket, that outlives the request."""
        sock = environ["gunicorn.socket"]
        sock.sendall(SWITCHED)
        kept = sock.dup() if "dup" in query else sock.detach()

        def finish() -> None:
            self.go_on.wait(30)
            if isinstance(kept, int):
                os.write(kept, b"later")
                os.close(kept)
            else:
                kept.sendall(b"later")
                kept.close()

        threading.Thread(target=finish).start()
        return []

    def do_fork(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        """A child that waits for a while, as this process's other requests do."""
        if (pid := os.fork()) == 0:
            time.sleep(0.3)
            os._exit(7)
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            time.sleep(0.01)
        return reply(start_response, os.waitstatus_to_exitcode(ended[1]))

    def do_child_speaks(self, environ: Environ, start_response: Any, query: Query) -> list[bytes]:
        """It is a child that sends back what has come, and comes out of the request; meanwhile its parent waits."""
        sock = environ["gunicorn.socket"]
        sock.sendall(SWITCHED)
        if (pid := os.fork()) == 0:
            sock.sendall(sock.recv(100))
            return []
        while os.waitpid(pid, os.WNOHANG)[0] == 0:
            time.sleep(0.01)
        while data := sock.recv(100):
            sock.sendall(data.upper())
        return []


def reply(start_response: Any, value: object) -> list[bytes]:
    body = json.dumps(value).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
