"""The tracebacks of all threads, also from within C code, on SIGABRT.

``faulthandler`` writes them inside the C signal handler, so they come even where Python never gets to run
again (a C extension that holds the GIL). It needs a real descriptor, and takes the handler that was there
before it as the one to call afterwards: hence the order in `arm`.
"""

from __future__ import annotations

import faulthandler
import signal


def arm(fd: int) -> None:
    """From now on, SIGABRT and crashes (SEGV, BUS, FPE, ILL) write the tracebacks of all threads to ``fd``.

    A Python handler for SIGABRT must be set before; it is called after the tracebacks, if Python gets to run.
    Without one the process then dies of the signal.
    """
    # Whoever enabled it first (PYTHONFAULTHANDLER, the application) has fixed which handler comes afterwards.
    # Disabling puts the handlers back that were there then, which would silently drop a Python handler set
    # since.
    if faulthandler.is_enabled():
        faulthandler.disable()
        handler = signal.getsignal(signal.SIGABRT)
        if handler is not None:
            signal.signal(signal.SIGABRT, handler)
    faulthandler.enable(file=fd, all_threads=True)


def disarm() -> None:
    """Put the handlers back that `arm` found."""
    faulthandler.disable()
