"""Our own forks, and what a process that anybody else forks must not keep.

The application may fork (multiprocessing, a daemon of its own). Such a child is its own affair, but a
listener in its hands would keep the port after us, the write end of the life pipe would keep our processes
alive, and who is connected to us would not see the end of that. So these descriptors are replaced in every
child that isn't ours: connections by the worker that has them.
"""

from __future__ import annotations

import os
import signal
import threading
import warnings
from _thread import RLock  # bound before a worker class may replace it
from collections.abc import Iterable

from .leave import flush

# To be held while a connection comes or goes: in between nobody knows of its descriptor, which a child would keep. It
# is taken anew by a handler of a signal, which may fork, in the same thread.
no_fork = RLock()

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
    global _our_thread
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


def leave_to_parent(fds: Iterable[int]) -> None:
    """In a child that the application has forked: these are its parent's alone.

    Replaced, not closed: an object that still believes in its number must not close somebody else's file.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in fds:
        os.dup2(null, fd, inheritable=False)
    os.close(null)


def _before() -> None:
    no_fork.acquire()  # looked up each time: eventlet puts a lock of its own in this place


def _in_parent() -> None:
    no_fork.release()


def _in_child() -> None:
    no_fork.release()
    if _private and _our_thread != threading.get_ident():
        leave_to_parent(_private)
        _private.clear()


os.register_at_fork(before=_before, after_in_child=_in_child, after_in_parent=_in_parent)
