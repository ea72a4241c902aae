"""Threads that don't come back: said once, with their requests and tracebacks, and what follows from it.

What waits without a timeout in C code (`queue.get()`, `recv()`) can't be interrupted: Python raises an exception in a
thread when that wait returns. Where its client has left, nobody waits for such a thread: after `timeout` another one
takes its place, and the worker is replaced; it ends when its other requests are done, and without this one shortly
before `graceful_timeout` is over. Where clients wait, it may be right that it waits (long polls): that a pool is full
of such is said, no more.

Owned by the thread that has the loop.
"""

from __future__ import annotations

import logging
import math
import sys
import traceback
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

from ..wsgi.gateway import respond
from .connection import Connection
from .exchange import Exchange
from .hands import Hand
from .pool import Pool
from .thread_clients import ThreadClients
from .whereabouts import request_of

MARGIN_S = 1.0  # before `graceful_timeout` is over
MOST_NAMED = 10  # requests that wait at the same place

_GATEWAY = respond.__code__.co_filename
_GONE = "a thread waits for what does not come, and its client has left"


class Stuck:
    """`limit_s` is `timeout`, 0: nothing is ever called stuck; `graceful_s` is how long a worker may take to end."""

    def __init__(
        self,
        limit_s: float,
        graceful_s: float,
        pool: Pool,
        clients: ThreadClients,
        log: logging.Logger,
        say_tired: Callable[[str], None],
    ) -> None:
        self._limit_s = limit_s or math.inf
        self._pool = pool
        self._clients = clients
        self._log = log
        self._say_tired = say_tired
        self._graceful_s = graceful_s
        self._given_up: list[tuple[Hand, Connection]] = []
        self._end_at = 0.0  # monotonic seconds
        self._progress: list[Any] = []  # of the requests of a pool that is full, when they were looked at last
        self._still_since = math.inf  # monotonic seconds

    # -- clients that have left --------------------------------------------------------------------------------------

    def give_up(self, now: float) -> bool:
        """Whether some have not come back for too long since their client left: nobody waits for them any more."""
        late = self._clients.left_before(now - self._limit_s)
        given_up = [(hand, connection) for hand, connection in late if hand.give_up(connection)]
        if not given_up:
            return False
        self._log.warning(
            "Nobody waits for the answers of these requests, whose clients left %g s ago (timeout), and their threads "
            "have not come back. What waits without a timeout can't be interrupted: let the application wait for a few "
            "seconds at a time. This worker is replaced when its other requests are done\n%s",
            self._limit_s, _described((hand for hand, _ in given_up), now),
        )  # fmt: skip
        if not self._given_up:
            self._say_tired(_GONE)
        self._given_up += given_up
        return True

    def end_without(self, now: float) -> None:
        """The worker is leaving: it waits for them, too, but not until it is killed for it."""
        self._end_at = self._end_at or now + max(0.0, self._graceful_s - MARGIN_S)
        if now < self._end_at:
            return
        for hand, connection in self._given_up:
            if hand.connection is connection:
                self._clients.abandon(connection)

    def write_off(self, exchange: Exchange) -> None:
        """The worker ends without those: they get their lines in the access log."""
        for hand, connection in self._given_up:
            response = connection.response
            if hand.connection is connection and response is not None:
                exchange.slot.end(connection.cell)
                exchange.log_unseen(connection, response._line.raw, "", 0, "client-gone")

    # -- a full pool -------------------------------------------------------------------------------------------------

    def look_at_pool(self, now: float, is_full: bool, waiting: int) -> None:
        """Say that a full pool gets nowhere, once until it does; `waiting` requests of this worker wait for it.

        A thread whose client has left is about to be given up, and another one takes its place.
        """
        if not is_full or self._pool.free or any(map(_is_about_to_be_given_up, self._pool.hands)):
            self._progress = []
            return
        busy = [hand for hand in self._pool.hands if hand.connection is not None]
        progress = [_progress(hand) for hand in busy]
        if progress != self._progress:
            self._progress = progress
            self._still_since = now
        elif now >= self._still_since + self._limit_s:
            self._still_since = math.inf
            self._log.warning(
                "All threads of this worker are busy, and for %g s (timeout) no request has come to its end or sent "
                "anything: new clients wait, %d of them in this worker. If the application is to wait for so long, it "
                "needs more `threads`; if not, `request_timeout` ends such requests\n%s",
                self._limit_s, waiting, _described(busy, now),
            )  # fmt: skip


def _is_about_to_be_given_up(hand: Hand) -> bool:
    connection = hand.connection
    return connection is not None and connection.has_left and not hand.is_given_up


def _progress(hand: Hand) -> tuple[Any, ...]:
    """What is another one when its request, or the body or the answer of that, has come further."""
    connection = hand.connection
    if connection is None:
        return ()
    response, incoming = connection.response, connection.incoming
    sent = (response.head_sent, response.body_sent, connection.unsent) if response is not None else ()
    return hand.number, hand.exchange.now, sent, incoming.received if incoming is not None else 0


def _described(hands: Iterable[Hand], now: float) -> str:
    """Their requests and where they are: those at the same place together."""
    frames = sys._current_frames()
    by_stack: dict[str, list[str]] = {}
    for hand in hands:
        frame, connection = frames.get(hand.ident), hand.connection
        response = connection.response if connection is not None else None
        if frame is not None and connection is not None and response is not None:
            line = f"{request_of(connection, response._line)}, since {now - hand.exchange.now:.1f} s"
            by_stack.setdefault(_stack(frame), []).append(line)
    said = []
    for where, lines in by_stack.items():
        more = [f"and {len(lines) - MOST_NAMED} more"] if len(lines) > MOST_NAMED else []
        said += [*lines[:MOST_NAMED], *more, f"innermost call last:\n{where}"]
    return "\n".join(said)


def _stack(frame: FrameType) -> str:
    """From where the gateway has called the application."""
    calls = traceback.extract_stack(frame)
    while calls and calls[0].filename != _GATEWAY:
        del calls[0]
    return "".join(calls.format()).rstrip()
