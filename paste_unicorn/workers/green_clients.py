"""What happens on a connection while its greenlet runs: its client sends more, takes more, or goes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from greenlet import GreenletExit, greenlet

from ..http.response import CONTINUE
from ..wsgi.gateway import Response
from .concurrent_clients import ASK_AFTER_S, ConcurrentClients
from .connection import BODY, RUNNING, ClientGone, Connection
from .exchange import ClientLeft
from .loop import GONE, READABLE, WRITABLE


class _Killed(ClientLeft, GreenletExit):  # type: ignore[misc]
    """To a greenlet, the end that a greenlet knows."""


class GreenClients(ConcurrentClients):
    """Connections, each of those that run with a greenlet of its own. All but `held` runs in the hub's."""

    running: dict[Connection, greenlet]
    waiting: set[greenlet]  # those that wait for a client
    later: Callable[[Callable[[], object], float], None]  # calls back after so many seconds
    wait_no_more: Callable[[int], None]  # for a descriptor that is about to be closed

    def interrupt(self, connection: Connection) -> None:
        """It learns by itself that the client has gone, where it reads or writes."""
        lane, response = self.running.get(connection), connection.response
        if lane is None or lane in self.waiting or (response is not None and response.only_cleans_up(id(lane))):
            return
        lane.throw(_Killed)

    def writable(self, connection: Connection) -> None:
        if connection.phase is RUNNING or connection.phase is BODY:
            self._flush_meanwhile(connection)
        else:
            super().writable(connection)

    def forget(self, connection: Connection) -> None:
        """A greenlet that the application has left behind may still wait for it."""
        if self.by_fd.get(connection.fd) is connection:
            self.wait_no_more(connection.fd)
        super().forget(connection)

    def held(self, connection: Connection) -> None:
        """Some of an answer whose application goes on is unsent, or a 100: it leaves when the client takes more."""
        if not connection.has_left and self.by_fd.get(connection.fd) is connection:
            self._watch(connection, WRITABLE if connection.watched in {GONE, WRITABLE} else READABLE | WRITABLE)

    def _flush_meanwhile(self, connection: Connection) -> None:
        if connection.has_left or self._leave_to_application(connection):
            return
        try:
            if not connection.flush():
                return
        except ClientGone:
            self._leave_alone(connection)
            return
        if connection.watched & READABLE:
            self.watch(connection)
        else:
            self._quieten(connection)

    def _meanwhile(self, connection: Connection) -> None:
        """Something has arrived, which has to wait; or the end, of which TCP does not tell whether the client has gone.

        Before the answer has begun it may be a half-close: such a client gets its answer, however long that takes. So
        it is asked, by something that comes back as a reset if nobody is there. Once a stream is on its way its reader
        has gone, but for one who had ended its side before, or has just sent the last of a body that is answered while
        it is read.
        """
        if self._leave_to_application(connection):
            return
        response = connection.response
        if response is not None and not (response.complete or connection.half_closed) and connection.has_ended():
            if not response.head_sent:
                connection.half_closed = True
                self.later(partial(self._ask, connection, response), ASK_AFTER_S)
            elif connection.buffer:
                connection.half_closed = True  # it has asked for more than this answer
            elif connection.incoming is None:
                self._leave_alone(connection)
                return
        if connection.output:
            self._watch(connection, WRITABLE)
        else:
            self._quieten(connection)

    def _ask(self, connection: Connection, response: Response) -> None:
        """A 100, which says nothing to whoever has sent its request, and is ignored (RFC 9110 §15.2.1)."""
        if connection.response is not response or not response.takes_interim or response.told:
            return
        try:
            connection.send_aside(CONTINUE)
        except ClientGone:
            self._leave_alone(connection)
