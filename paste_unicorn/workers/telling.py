"""What a thread has to log that may not wait: another one says it, since a handler of the log may wait for ever."""

from __future__ import annotations

import signal
import time
from _thread import allocate_lock, start_new_thread  # bound before a worker class may replace them
from collections import deque
from collections.abc import Callable

monotonic, sleep = time.monotonic, time.sleep

_LOOK_AGAIN_S = 0.01


class Telling:
    """Said in the order in which they were added, one at a time."""

    def __init__(self) -> None:
        self._words: deque[Callable[[], None]] = deque()
        self._speaking = allocate_lock()  # held by, or for, the thread that says them

    def add(self, *words: Callable[[], None]) -> None:
        """To be said by the next `let_out`, or by who speaks already."""
        self._words += words

    def let_out(self) -> None:
        """Have them said, if nobody does."""
        if self._words and self._speaking.acquire(False):
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                start_new_thread(self._speak, ())
            except RuntimeError:  # the system gives no more threads
                self._speak()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def wait(self, timeout_s: float) -> None:
        """Until all is said, for so long at most."""
        until = monotonic() + timeout_s
        while (self._words or self._speaking.locked()) and monotonic() < until:
            self.let_out()
            sleep(_LOOK_AGAIN_S)

    def _speak(self) -> None:
        try:
            while self._words:
                self._words.popleft()()
        finally:
            self._speaking.release()
