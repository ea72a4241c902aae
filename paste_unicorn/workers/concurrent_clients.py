"""Connections of which several run at a time, beside the loop that keeps all others.

One that runs (RUNNING) belongs to who runs its application, and the loop only notes that its client has sent more, or
has gone.
"""

from __future__ import annotations

from typing import Any

from .clients import Clients, has_enough
from .connection import IDLE, RUNNING, Connection

ASK_AFTER_S = 1.0  # since a client has ended its side: is it still there?


class ConcurrentClients(Clients):
    """Owned by whoever has the loop; a running connection by who runs it."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.running: dict[Connection, Any] = {}  # to what runs its application

    def interrupt(self, connection: Connection) -> None:
        """Let the application of this connection know, wherever it waits, that nobody waits for its answer.

        It is told once: what has learned that by an error of a read or a write, or is at its end, cleans up in peace
        (`Response.only_cleans_up`).
        """
        raise NotImplementedError

    def readable(self, connection: Connection) -> None:
        if connection.phase is RUNNING:
            self._meanwhile(connection)
        else:
            super().readable(connection)

    def drop(self, connection: Connection) -> None:
        if connection.phase is RUNNING:
            self._leave_alone(connection)
        else:
            super().drop(connection)

    def watch_again(self, connection: Connection) -> None:
        """An application has run beside this loop, which may have stopped watching its connection meanwhile.

        In other phases than this one it is watched for what that needs.
        """
        if connection.phase is not IDLE or self.by_fd.get(connection.fd) is not connection:
            return
        if has_enough(connection):
            self._unwatch(connection)  # altogether: by that its turn tells that it is to be watched again
        else:
            self.watch(connection)

    def rest(self, connection: Connection, now: float) -> None:
        """An answer has been given, and nothing is left to be done: by whoever ran the application.

        With the phase it becomes the loop's again, so that comes last.
        """
        connection.checked = 0
        connection.since = now
        connection.deadline = now + self._keepalive_s
        connection.phase = IDLE

    def _meanwhile(self, connection: Connection) -> None:
        """Something, or the end, has arrived while its application runs: it has to wait.

        The end may be a half-close of a client that waits for its answer; not where it is being given one. TCP does
        not tell, but for something that is sent: it comes back as a reset if nobody is there.
        """
        raise NotImplementedError

    def _quieten(self, connection: Connection) -> None:
        """Until it has run, nothing is to be told of it but that its client has gone."""
        if connection.watched:
            connection.watched = self._loop.quieten(connection.fd)
            if connection.phase is not RUNNING:  # another thread has just come to its end, and did not know
                self.watch_again(connection)

    def _leave_to_application(self, connection: Connection) -> bool:
        """Whether that has taken the connection over, as is noticed here at the first event after it."""
        response = connection.response
        if response is None or not response.is_handed_over:
            return False
        self._unwatch(connection)
        return True

    def _unwatch(self, connection: Connection) -> None:
        if connection.watched:
            self._loop.remove(connection.fd)
            connection.watched = 0

    def _leave_alone(self, connection: Connection) -> None:
        """The client has gone: its application need not wait any longer. It is dropped when that has ended."""
        if self._leave_to_application(connection):
            return
        self._unwatch(connection)
        if not connection.has_left:
            connection.has_left = True
            self.interrupt(connection)
        if connection.phase is not RUNNING:  # as above
            super().drop(connection)
