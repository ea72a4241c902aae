"""The tracebacks of all threads, also from within C code: when a process crashes, and when the arbiter asks.

`faulthandler` writes them inside the C signal handler, so they come even where Python never gets to run again (a C
extension that holds the GIL). It needs a real descriptor, and takes the handler that was there before it as the one to
call afterwards: hence the order in `arm`.

The arbiter does not ask by SIGABRT: what `faulthandler` writes then begins with "Fatal Python error: Aborted", and a
process that is only stuck would read like one that has crashed.
"""

from __future__ import annotations

import faulthandler
import signal

ASK: signal.Signals = getattr(signal, "SIGRTMAX", signal.SIGABRT)
"""Tell your tracebacks, then end. A signal that nobody else has a use for, where the system has such."""


def arm(fd: int) -> None:
    """From now on, `ASK`, SIGABRT and crashes (SEGV, BUS, FPE, ILL) write the tracebacks of all threads to ``fd``.

    Python handlers for `ASK` and SIGABRT must be set before; they are called after the tracebacks, if Python gets to
    run. Without one the process then dies of the signal.
    """
    # Whoever enabled it first (PYTHONFAULTHANDLER, the application, the process that we were forked from) has fixed
    # which handler comes afterwards. Disabling puts the handlers back that were there then, which would silently drop a
    # Python handler set since.
    if faulthandler.is_enabled():
        faulthandler.disable()
        _set_again(signal.SIGABRT)
    faulthandler.enable(file=fd, all_threads=True)
    if ASK is not signal.SIGABRT:
        faulthandler.unregister(ASK)
        _set_again(ASK)
        faulthandler.register(ASK, file=fd, all_threads=True, chain=True)


def _set_again(number: signal.Signals) -> None:
    handler = signal.getsignal(number)
    if handler is not None:
        signal.signal(number, handler)
