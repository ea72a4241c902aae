"""What happens on a connection while its thread runs, or while no thread is free."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ..http.parser import Head
from ..http.refusals import Refused
from ..wsgi.gateway import Response
from .asking import Question
from .concurrent_clients import ASK_AFTER_S, ConcurrentClients
from .connection import RUNNING, Connection
from .deadlines import NEVER
from .exchange import ClientLeft
from .hands import Hand

monotonic = time.monotonic


class ThreadClients(ConcurrentClients):
    """Connections, each of those that run with a thread of its own. Owned by the thread that has the loop."""

    running: dict[Connection, Hand]

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.pass_on: Callable[[Connection], bool] | None = None  # to siblings, while no thread is free
        self._to_interrupt: deque[Connection] = deque()
        self._unasked: deque[Connection] = deque()  # that ended their side before a thread had begun their request
        self._questions: deque[Question] = deque()  # in the order of their times
        self._left: dict[Connection, float] = {}  # that run, and when their client left, in monotonic seconds

    def readable(self, connection: Connection) -> None:
        if self.pass_on is None or not self.pass_on(connection):
            super().readable(connection)

    def _meanwhile(self, connection: Connection) -> None:
        if self._leave_to_application(connection):
            return
        response = connection.response
        has_begun = response is not None and response.head_sent  # asked first: another thread may begin meanwhile
        if connection.half_closed or (response is not None and response.complete) or not connection.has_ended():
            self._quieten(connection)
            return
        if has_begun and connection.incoming is None and not connection.buffer:
            self._leave_alone(connection)
            return
        # Who has asked for more than this answer waits for it.
        connection.half_closed = not has_begun or bool(connection.buffer)
        if response is None:
            self._unasked.append(connection)
        else:
            self._ask_later(connection, response, monotonic())
        self._quieten(connection)

    def _ask_later(self, connection: Connection, response: Response, now: float) -> None:
        incoming = connection.incoming
        if not response.head_sent and (incoming is None or incoming.complete):
            self._questions.append(Question(connection, response, now + ASK_AFTER_S))

    def ask(self, now: float) -> None:
        """Those who ended their side a while ago, and whose answers have not begun, whether they are still there."""
        for _ in range(len(self._unasked)):
            connection = self._unasked.popleft()
            response = connection.response
            if response is not None:
                self._ask_later(connection, response, now)
            elif connection.phase is RUNNING:
                self._unasked.append(connection)
        questions = self._questions
        while questions and questions[0].at <= now:
            question = questions.popleft()
            if not question.ask():
                self._leave_alone(question.connection)

    def interrupt(self, connection: Connection) -> None:
        """Where it waits in Python, or as soon as it comes back from C."""
        self._left.setdefault(connection, monotonic())
        hand, response = self.running.get(connection), connection.response
        if hand is not None and response is not None and response.only_cleans_up(hand.ident):
            return
        if hand is None or not hand.interrupt(connection, ClientLeft, False):
            self._to_interrupt.append(connection)

    def interrupt_again(self) -> None:
        """Those that were not in their application then. Who has been answered meanwhile needs none."""
        for _ in range(len(self._to_interrupt)):
            connection = self._to_interrupt.popleft()
            if connection.has_left and connection in self.running:
                self.interrupt(connection)

    def begin_to_wait(self, connection: Connection) -> None:
        """No thread is free for its request."""
        if self.door is not None:
            self.door.note_wait(connection)
        connection.phase = RUNNING
        connection.deadline = NEVER
        if not connection.watched:
            self.watch(connection)  # it may go meanwhile

    def left_before(self, then: float) -> list[tuple[Hand, Connection]]:
        """Threads that have not come back since then, although their client had left."""
        found = []
        for connection, at in list(self._left.items()):
            hand = self.running.get(connection)
            if hand is None or hand.connection is not connection:
                del self._left[connection]
            elif at <= then:
                del self._left[connection]
                found.append((hand, connection))
        return found

    def judge_again(self, connection: Connection, head: Head) -> Refused | None:
        """A request's turn has come: has it waited for too long (`queue_timeout`)?"""
        return self.door.judge(connection, head) if self.door is not None else None
