"""A chat room as a WSGI application: what somebody says goes at once to all whose requests wait for it.

It is written for threads; gevent and eventlet make greenlets of them. A request that waits is `Room.after`.

    GET  /                the page; its files beside this one
    POST /say             {"name": ..., "text": ...}
    GET  /stream?after=N  Server-Sent Events: each message after number N, for ever
    GET  /poll?after=N    long polling: the messages after number N, as soon as there are any; with &now=1 at once
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

Environ = dict[str, Any]
Start = Callable[..., Any]

HERE = Path(__file__).parent
FILES = {
    "/": ("chat.html", "text/html; charset=utf-8"),
    "/chat.css": ("chat.css", "text/css; charset=utf-8"),
    "/chat.js": ("chat.js", "text/javascript; charset=utf-8"),
}
REMEMBERED = 100  # messages that somebody who comes in gets to see
PATIENCE_S = 25.0  # a poll is answered after so long, with nothing; a stream shows that it lives
GLANCE_S = 5.0  # a thread that waits can be told only in between that its client has gone; a greenlet at once
LONGEST_NAME, LONGEST_TEXT = 30, 1000
FORGETFUL_S = 2.0  # who polls is away for a moment between two polls


class Room:
    """What was said, and who is there."""

    def __init__(self) -> None:
        self._messages: deque[dict[str, Any]] = deque(maxlen=REMEMBERED)
        self._numbers = itertools.count(int(time.time() * 1000))  # they go on rising after a restart
        self._changed = threading.Condition()
        self._streams = 0
        self._polls: dict[str, float] = {}  # by whom, and when it ended, or will

    def say(self, name: str, text: str) -> None:
        """Tell everybody."""
        with self._changed:
            message = {"number": next(self._numbers), "name": name, "text": text, "time": time.time()}
            self._messages.append(message)
            self._changed.notify_all()

    def after(self, number: int, patience_s: float = PATIENCE_S) -> list[dict[str, Any]]:
        """The messages after this one; waited for, and empty when nobody says anything."""
        until = time.monotonic() + patience_s
        with self._changed:
            while not (found := self._after(number)) and (left_s := until - time.monotonic()) > 0:
                self._changed.wait(min(left_s, GLANCE_S))
        return found

    def _after(self, number: int) -> list[dict[str, Any]]:
        return [message for message in self._messages if message["number"] > number]

    def stream(self, number: int) -> Iterator[bytes]:
        """Messages as Server-Sent Events. When the client goes, the server closes this, also while it waits."""
        with self._changed:
            self._streams += 1
        try:
            yield b"retry: 1000\n\n"
            while True:
                yield f"event: here\ndata: {self.here()}\n\n".encode()
                for message in self.after(number):
                    number = message["number"]
                    yield f"id: {number}\ndata: {json.dumps(message)}\n\n".encode()
        finally:
            with self._changed:
                self._streams -= 1

    def poll(self, who: str, number: int, patience_s: float) -> dict[str, Any]:
        """The same for one request."""
        with self._changed:
            self._polls[who] = time.monotonic() + PATIENCE_S + FORGETFUL_S
        try:
            return {"messages": self.after(number, patience_s), "here": self.here()}
        finally:
            with self._changed:
                self._polls[who] = time.monotonic() + FORGETFUL_S

    def here(self) -> int:
        """How many listen."""
        now = time.monotonic()
        with self._changed:
            for who in [who for who, until in self._polls.items() if until < now]:
                del self._polls[who]
            return self._streams + len(self._polls)


ROOM = Room()


def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """PEP 3333."""
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    if path == "/say":
        return say(environ, start_response) if method == "POST" else refuse(start_response, "405 Method Not Allowed")
    if method not in ("GET", "HEAD"):
        return refuse(start_response, "405 Method Not Allowed")
    query = {name: values[-1] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    # A browser that lost its stream says here where it was.
    after = environ.get("HTTP_LAST_EVENT_ID", query.get("after", "0"))
    number = int(after) if after.isascii() and after.isdigit() and len(after) < 16 else 0
    if path == "/stream":
        fields = [("Content-Type", "text/event-stream"), ("Cache-Control", "no-store"), ("X-Accel-Buffering", "no")]
        start_response("200 OK", fields)
        return ROOM.stream(number)
    if path == "/poll":
        who = f"{environ['REMOTE_ADDR']} {query.get('who', '')[:40]}"
        patience_s = 0 if "now" in query else PATIENCE_S
        return answer(start_response, json.dumps(ROOM.poll(who, number, patience_s)).encode(), "application/json")
    if path in FILES:
        name, kind = FILES[path]
        return answer(start_response, (HERE / name).read_bytes(), kind)
    return refuse(start_response, "404 Not Found")


def say(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Only as JSON: a form on somebody else's page can't send that without asking us first."""
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip() != "application/json":
        return refuse(start_response, "415 Unsupported Media Type")
    try:
        said = json.loads(environ["wsgi.input"].read(16384))
        name, text = (" ".join(str(said[key]).split()) for key in ("name", "text"))
    except (ValueError, KeyError, TypeError):
        return refuse(start_response, "400 Bad Request")
    if not (name and text):
        return refuse(start_response, "400 Bad Request")
    ROOM.say(name[:LONGEST_NAME], text[:LONGEST_TEXT])
    start_response("204 No Content", [])
    return []


def answer(start_response: Start, body: bytes, kind: str) -> list[bytes]:
    start_response(
        "200 OK", [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store")]
    )
    return [body]


def refuse(start_response: Start, status: str) -> list[bytes]:
    body = f"{status}\n".encode()
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
