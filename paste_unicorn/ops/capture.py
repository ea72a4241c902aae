"""Standard output and error of this process led into the error log (`capture_output`), and back."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from paste_unicorn.ops.handlers import descriptor_of


class _Before:
    """The streams as they were, and copies of descriptors 1 and 2."""

    def __init__(self) -> None:
        self.streams: tuple[Any, Any] = (sys.stdout, sys.stderr)
        self.copies = {fd: os.dup(fd) for fd in (1, 2)}


_before: _Before | None = None  # None: nothing is captured


def lead_to(fd: int) -> None:
    """From now on, or from the file that they lead to already, into this one."""
    global _before
    _flush()
    if _before is None:
        _before = _Before()
        # Objects without a descriptor (paster's LazyWriter) would go on writing elsewhere.
        sys.stdout = open(1, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115
    for standard in (1, 2):
        os.dup2(fd, standard)


def back() -> None:
    """To where they led before."""
    global _before
    if _before is None:
        return
    _flush()
    for standard, copy in _before.copies.items():
        os.dup2(copy, standard)
        os.close(copy)
    sys.stdout, sys.stderr = _before.streams
    _before = None


def without(fd: int) -> int:
    """The descriptor that leads to where this one led before."""
    return fd if _before is None else _before.copies.get(fd, fd)


def standard_descriptors() -> tuple[int | None, int | None]:
    """Where standard output and error lead when nothing is captured; None is nowhere."""
    streams = (sys.stdout, sys.stderr) if _before is None else _before.streams
    out, err = (descriptor_of(stream) for stream in streams)
    return (None if out is None else without(out), None if err is None else without(err))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
