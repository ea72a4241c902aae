"""Which request it is, and where it is: for the log."""

from __future__ import annotations

import sys
import threading
import traceback
from _thread import get_ident  # bound before a worker class may replace it
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..ops.escaping import escaped

if TYPE_CHECKING:
    from ..http.request import RequestLine
    from .connection import Connection


def request_of(connection: Connection, line: RequestLine) -> str:
    """What is asked and by whom."""
    peer = connection.peer["REMOTE_ADDR"]
    return f'"{escaped(line.raw.decode("latin-1"))}"{f" of {peer}" if peer else ""}'


def stack(title: str, frame: FrameType) -> str:
    """One traceback."""
    return f"{title}, innermost call last:\n{''.join(traceback.format_stack(frame)).rstrip()}"


def tracebacks(owner: Any, ident: int, main: int) -> str:
    """Of a request that is run by this greenlet or thread, and of all threads but the caller's. `ident` is the
    request's thread, `main` the main one.
    """
    names = {number: thread.name for number, thread in list(threading._active.items())}  # type: ignore[attr-defined]
    names[main] = "MainThread"
    said = []
    frame = getattr(owner, "gr_frame", None)
    if frame is not None:
        said.append(stack("Greenlet of this request", frame))
    for number, frame in sys._current_frames().items():
        if number != get_ident():
            mine = " (runs this request)" if number == ident and not said else ""
            said.append(stack(f"Thread {names.get(number, number)}{mine}", frame))
    return "\n".join(said)
