"""The one way out of a process: flush, `atexit` where it is ours, `os._exit` with the true code.

Nobody leaves by SystemExit. The runners print "Exiting" for each process in which it reaches them and exit
with code 0 after a failure; under hupper a forked child would write into the pipe that it shares with its
parent.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
from typing import NoReturn


def child(code: int) -> NoReturn:
    """End a forked process. What was registered with `atexit` belongs to the process that registered it."""
    flush()
    os._exit(code)


def at_once(code: int) -> NoReturn:
    """End a forked process in which another thread may hold any lock for ever, those of streams and logs too."""
    os._exit(code)


def main(code: int) -> NoReturn:
    """End the process that the runner started: its `atexit` functions (paster's pid file) run first."""
    with contextlib.suppress(BaseException):  # each failure has been printed; the exit code must stay true
        atexit._run_exitfuncs()
    child(code)


def flush() -> None:
    """Write out what streams and log handlers still hold; before a fork too, or the child writes it a second
    time.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # closed, a full disk, an object of the application
            stream.flush()
    for reference in list(logging._handlerList):  # type: ignore[attr-defined]
        handler = reference()
        if handler is not None:
            with contextlib.suppress(Exception):
                handler.flush()
