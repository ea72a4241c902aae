"""What is to be logged by a thread that must not wait for the log: another one says it, and may."""

from __future__ import annotations

import signal
import time
from _thread import allocate_lock, start_new_thread  # bound before a worker class may replace them
from collections import deque
from collections.abc import Callable

monotonic, sleep = time.monotonic, time.sleep

LAST_WORDS_S = 5.0  # how long the end of a worker may wait for what is to be logged
_LOOK_AGAIN_S = 0.01


class Speaker:
    """One thread at a time, for as long as there is something to say; in order."""

    def __init__(self) -> None:
        self._words: deque[Callable[[], None]] = deque()
        self._speaking = allocate_lock()  # held by, or for, the thread that does that

    def say(self, *words: Callable[[], None]) -> None:
        """Have these called soon, by a thread that gets no signals."""
        self._words += words
        self._let_speak()

    def wait(self) -> None:
        """Until all is said, or takes too long."""
        until = monotonic() + LAST_WORDS_S
        while (self._words or self._speaking.locked()) and monotonic() < until:
            self._let_speak()
            sleep(_LOOK_AGAIN_S)

    def _let_speak(self) -> None:
        if self._words and self._speaking.acquire(False):
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            try:
                start_new_thread(self._speak, ())
            except RuntimeError:  # the system gives no more threads
                self._speak()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _speak(self) -> None:
        try:
            while self._words:
                self._words.popleft()()
        finally:
            self._speaking.release()
            self._let_speak()  # what was added when this one had looked for the last time
