"""Handlers that others configured: which of them a record reaches, what is behind one, how to reopen it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from paste_unicorn.ops.sink import Console


def descriptor_of(stream: Any) -> int | None:
    """The real descriptor behind a text stream, or None.

    Under ``paster serve --log-file`` standard output and error are a ``LazyWriter`` without ``fileno``, whose
    ``open()`` gives the file; with ``--daemon``, descriptors 1 and 2 are /dev/null meanwhile.
    """
    try:
        fd = stream.fileno() if hasattr(stream, "fileno") else stream.open().fileno()
    except (AttributeError, OSError, ValueError, TypeError):
        return None
    return fd if isinstance(fd, int) and fd >= 0 else None


def reached(logger: logging.Logger) -> Iterator[logging.Handler]:
    current: logging.Logger | None = logger
    while current is not None:
        yield from current.handlers
        current = current.parent if current.propagate else None


def stream_handlers() -> Iterator[logging.StreamHandler[Any]]:
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    seen: set[int] = set()
    for logger in loggers:
        for handler in logger.handlers if isinstance(logger, logging.Logger) else ():
            if isinstance(handler, logging.StreamHandler) and id(handler) not in seen:
                seen.add(id(handler))
                yield handler


def file_handlers() -> Iterator[logging.FileHandler]:
    return (handler for handler in stream_handlers() if isinstance(handler, logging.FileHandler))


def reopen_handler(handler: logging.FileHandler, console: Console) -> None:
    handler.acquire()
    try:
        handler.mode = handler.mode.replace("w", "a")  # a reopened log must never be emptied
        fresh = handler._open()
        if handler.stream is not None:
            handler.stream.close()
        handler.stream = fresh
    except OSError as error:
        console.say("ERROR", f"Could not reopen the log {handler.baseFilename} ({error.strerror}).")
    finally:
        handler.release()
