"""Our own forks, and what a process that anybody else forks must not keep.

The application may fork (multiprocessing, a daemon of its own). Such a child is its own affair, but a
listener in its hands would keep the port after us, and the write end of the life pipe would keep our
processes alive. So these descriptors are replaced in every child that isn't ours. Connections are too many
for that: `application_forked` tells whoever closes one that a child may hold it too.
"""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Iterable

from .leave import flush

application_forked = False  # this process has had a child that isn't ours

_private: set[int] = set()
_our_thread: int | None = None  # the thread that is inside `fork`


def keep_private(fds: Iterable[int]) -> None:
    """Children that the application forks from now on don't get these; replaces what was said before."""
    _private.clear()
    _private.update(fds)


def fork() -> int:
    """`os.fork` for a child of ours, which keeps everything. Raises OSError (EAGAIN: too many processes).

    In the child all signals are blocked, so that none is taken for its parent's; it calls `unblock_signals`
    once its handlers stand.
    """
    global _our_thread, application_forked
    flush()
    _our_thread = threading.get_ident()
    pid = -1
    mask = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    try:
        pid = fork_unwarned()
    finally:
        _our_thread = None
        if pid != 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        else:
            application_forked = False
    return pid


def fork_unwarned() -> int:
    """`os.fork`, without what Python says from 3.12 on where there are threads ("use of fork() may lead to deadlocks").

    A reloader's are always there, and threads of the application are named in a warning of ours.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def unblock_signals() -> None:
    """From now on signals are delivered, whoever blocked them: `fork`, or the application while it was loaded."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signal.valid_signals())


def _in_child() -> None:
    if not _private or _our_thread == threading.get_ident():
        return
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in _private:
        # Replaced, not closed: an object that still believes in its number must not close somebody else's
        # file.
        os.dup2(null, fd, inheritable=False)
    os.close(null)
    _private.clear()


def _in_parent() -> None:
    global application_forked
    if _our_thread != threading.get_ident():
        application_forked = True


os.register_at_fork(after_in_child=_in_child, after_in_parent=_in_parent)
