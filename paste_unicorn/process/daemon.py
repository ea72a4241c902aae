"""To the background: `daemon = true`."""

from __future__ import annotations

import os

from .fork import fork_unwarned
from .leave import flush


def fill_standard_descriptors() -> None:
    """Where 0, 1 or 2 is closed the next socket would get that number, and the next print would go into it."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)


def become_daemon(keep_output: bool) -> None:
    """Go on in a child of a child, without terminal; whoever started us sees exit code 0 (`man 7 daemon`).

    To be called before anything is opened and before there are threads of ours. Standard input is /dev/null
    then; standard output and error too, unless `keep_output`.
    """
    flush()
    if fork_unwarned():
        os._exit(0)
    os.setsid()
    if fork_unwarned():  # a session leader could get a terminal again by opening one
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0,) if keep_output else (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
