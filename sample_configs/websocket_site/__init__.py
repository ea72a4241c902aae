"""A drawing board as a WSGI application: what one draws, all others see while it is drawn.

    GET /       the page; its files beside this one
    GET /board  a WebSocket (`speaking.py`), on which each message is a JSON object:

        to us       {"do": "draw", "line": [x, y, x, y, ...]}    {"do": "point", "at": [x, y]}    {"do": "wipe"}
        from us     the same with "by" and "hue", and {"do": "hello", "you": ..., "lines": [...]},
                    {"do": "here", "number": ...}, {"do": "gone", "by": ...}

It is written for threads; gevent and eventlet make greenlets of them.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .speaking import NotForUs, WebSocket, open_websocket

Environ = dict[str, Any]
Start = Callable[..., Any]

HERE = Path(__file__).parent
FILES = {
    "/": ("board.html", "text/html; charset=utf-8"),
    "/board.css": ("board.css", "text/css; charset=utf-8"),
    "/board.js": ("board.js", "text/javascript; charset=utf-8"),
}
REMEMBERED = 4000  # pieces of line that somebody who comes in gets to see
SIZE = 4096  # the board's, in both directions
LONGEST_LINE = 400  # numbers in a piece of line


class Board:
    """What was drawn, and who is there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # so that all see the same, in the same order
        self._numbers = itertools.count(1)
        self._there: dict[int, WebSocket] = {}
        self._lines: deque[dict[str, Any]] = deque(maxlen=REMEMBERED)

    def join(self, websocket: WebSocket) -> None:
        """Show somebody the board, and all others what he does there, until he goes."""
        number = next(self._numbers)
        hue = round(number * 137.508) % 360  # neighbours are never alike
        with self._lock:
            websocket.send({"do": "hello", "you": number, "hue": hue, "lines": list(self._lines)})
            self._there[number] = websocket
            self._tell_all({"do": "here", "number": len(self._there)})
        try:
            for message in websocket:
                self._do({**understood(message), "by": number, "hue": hue})
        finally:
            with self._lock:
                del self._there[number]
                self._tell_all({"do": "gone", "by": number})
                self._tell_all({"do": "here", "number": len(self._there)})

    def _do(self, message: dict[str, Any]) -> None:
        with self._lock:
            if message["do"] == "wipe":
                self._lines.clear()
            elif message["do"] == "draw":
                self._lines.append(message)
            self._tell_all(message)

    def _tell_all(self, message: dict[str, Any]) -> None:
        """Nobody waits for anybody here: each has a queue."""
        for number, websocket in self._there.items():
            if number != message.get("by") or message["do"] == "wipe":
                websocket.send(message)


def understood(text: str) -> dict[str, Any]:
    """What a message says, and no more than that. Raises ValueError."""
    message = json.loads(text)
    if not isinstance(message, dict):
        raise ValueError("a message is an object")
    do = message.get("do")
    if do == "wipe":
        return {"do": do}
    name, most = {"draw": ("line", LONGEST_LINE), "point": ("at", 2)}.get(do, ("", 0))
    numbers = message.get(name)
    if not isinstance(numbers, list) or not 2 <= len(numbers) <= most or len(numbers) % 2:
        raise ValueError("no such message")
    if not all(type(number) is int and 0 <= number <= SIZE for number in numbers):
        raise ValueError("outside of the board")
    return {"do": do, name: numbers}


BOARD = Board()


def application(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """PEP 3333."""
    path = environ["PATH_INFO"]
    if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
        return answer(start_response, "405 Method Not Allowed")
    if path == "/board":
        try:
            websocket = open_websocket(environ)
        except NotForUs as refused:
            return answer(start_response, str(refused))
        websocket.run(BOARD.join)
        return []  # the connection is closed, and nothing else is sent
    if path in FILES:
        name, kind = FILES[path]
        return answer(start_response, "200 OK", (HERE / name).read_bytes(), kind)
    return answer(start_response, "404 Not Found")


def answer(start_response: Start, status: str, body: bytes = b"", kind: str = "text/plain") -> list[bytes]:
    body = body or f"{status}\n".encode()
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-cache")])
    return [body]
