"""Whether a client that has ended its side is still there to take its answer."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..http.response import CONTINUE
from ..wsgi.gateway import Response
from .connection import Connection


class Question:
    """To a client that has ended its side, and whose answer has not begun: is somebody there?

    Asked by the thread that has the loop. The one that runs the application may begin to answer in that moment: each
    lets the other finish.
    """

    def __init__(self, connection: Connection, response: Response, at: float) -> None:
        self.connection = connection
        self.at = at  # monotonic seconds
        self._response = response
        self._beginning = _Beginning(response.before_head)
        response.before_head = self._beginning.note
        response.plain = False  # or nobody would be called

    def ask(self) -> bool:
        """By a 100, which is ignored by who has sent its whole request (RFC 9110 §15.2.1). False: nobody is there.

        What is unsent before it is another thread's; and who has ended its side, and takes nothing, waits for nothing.
        """
        connection, response = self.connection, self._response
        if not self._beginning.lock.acquire(blocking=False):
            return True  # the answer begins
        try:
            if self._beginning.was_seen or connection.response is not response or not response.takes_interim:
                return True
            if response.told or connection.output:
                return True
            return connection.sock.send(CONTINUE) == len(CONTINUE)
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            self._beginning.lock.release()


class _Beginning:
    """Of an answer. It knows nothing of it, which knows this: they would wait for the collector of cycles."""

    def __init__(self, also_told: Callable[[bool], bool] | None) -> None:
        self.lock = threading.Lock()
        self.was_seen = False
        self._also_told = also_told

    def note(self, said_all: bool) -> bool:
        with self.lock:
            self.was_seen = True
        return self._also_told is None or self._also_told(said_all)
