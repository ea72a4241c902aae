"""In the arbiter, the streams of others end in sinks of ours, which never wait for whoever reads them (`patience.py`).

Handlers that an operator configured write to standard error, most of them; hooks print. In children that are forked
from here the streams are again what they were.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from typing import Any

from paste_unicorn.ops import patience
from paste_unicorn.ops.handlers import descriptor_of, stream_handlers
from paste_unicorn.ops.sink import Sink


class StandIn:
    """A text stream that ends in a sink; all else is asked of the stream that was there."""

    def __init__(self, stream: Any, sink: Sink) -> None:
        self.stream = stream
        self._sink = sink
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._held = ""  # of a line that is not at its end

    def write(self, text: str) -> int:
        self._held += text
        if "\n" in text:
            self.flush()
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        self.write("".join(texts))

    def flush(self) -> None:
        held, self._held = self._held, ""
        if held:
            self._sink.write(held.encode(self._encoding, "backslashreplace"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


_placed: list[tuple[Any, str, StandIn]] = []  # whose attribute is which
_sinks: dict[int, Sink] = {}  # by descriptor: what was lost there is counted once


def never_wait() -> None:
    """This process waits for no reader of its logs any more; to be called again when there may be new streams."""
    patience.lose()
    for holder, name in ((sys, "stdout"), (sys, "stderr"), *((one, "stream") for one in stream_handlers())):
        stream = getattr(holder, name)
        fd = None if stream is None or isinstance(stream, StandIn) else descriptor_of(stream)
        if fd is None or not patience.may_stall(fd):
            continue
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
        what = "standard output" if fd == 1 else "standard error" if fd == 2 else "log"
        stand_in = StandIn(stream, _sinks.setdefault(fd, Sink(what, fd, None, None)))
        setattr(holder, name, stand_in)
        _placed.append((holder, name, stand_in))


def _go() -> None:
    for holder, name, stand_in in _placed:
        if getattr(holder, name) is stand_in:
            setattr(holder, name, stand_in.stream)
    _placed.clear()
    _sinks.clear()


os.register_at_fork(after_in_child=_go)
