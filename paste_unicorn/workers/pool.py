"""A worker's threads, and which of them has the loop. The main thread watches that no request keeps it.

No lock is held while anything runs: who takes the only item out of the leader's `inline` has the loop (to pop from a
deque is atomic, and so is all else on which two threads meet here: each side writes before it reads).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from .connection import Connection
from .exchange import Exchange
from .hands import Hand

sleep = time.sleep

WATCH_S = 0.005  # how often the main thread looks whether a request keeps the loop
SLOW_S = 0.002  # a request that takes longer is slow
SOON = 100  # turns
# Requests after slow ones before which the loop is passed on: as many as cost together what one costs that keeps it.
WARY_FOR = 300


class Pool:
    """Threads that may have the loop: one more than may run requests."""

    def __init__(self, threads: int, exchange: Exchange, lend: Callable[[Connection, Hand], None]) -> None:
        self._threads = threads
        self._exchange = exchange
        self._lend = lend  # a connection to the thread that runs it
        self.life: Callable[[Hand], None]  # what a thread does
        self.hands: list[Hand] = []
        self.free: list[Hand] = []  # those that are parked
        self.leader: Hand  # who has the loop
        self.turns = 0  # requests that were run so
        self.wary = 0  # requests before which the loop is passed on
        self._slow_turn = -SOON  # when a slow one was seen last
        self._gate = threading.Lock()  # free: the main thread is to watch
        self._gate.acquire()
        self.is_parked = False  # so is the main thread
        self.is_over = False
        self.fault: Exception | None = None  # of the server itself

    def has_free(self) -> bool:
        """Whether a thread is free now; one more is made where there may be one more."""
        return bool(self.free) or self._grow()

    def _grow(self) -> bool:
        number = len(self.hands) + 1
        # In place of those that don't come back, until this worker is replaced; but not without end.
        given_up = min(self._threads, sum(hand.is_given_up for hand in self.hands))
        if number > self._threads + 1 + given_up:
            return False
        cell = min(number - 1, self._exchange.slot.use_cells(number))
        hand = Hand(number, cell, self._exchange.for_another_thread())
        try:
            hand.start(self.life)
        except RuntimeError as error:
            self._exchange.complain(f"Only {number - 2} threads run requests", error)
            self._threads = number - 2 - given_up
            return False
        self.hands.append(hand)
        self.free.append(hand)
        return True

    def pass_loop_on(self) -> None:
        """To a thread that is free; there is one."""
        self.leader = hand = self.free.pop()
        hand.gate.release()

    def note_slow(self) -> None:
        """One alone may have been kept waiting by the system, a second one soon after it was not."""
        if self.turns - self._slow_turn < SOON:
            self.wary = WARY_FOR
        self._slow_turn = self.turns

    def this_hand(self) -> Hand | None:
        """The calling thread's."""
        ident = threading.get_ident()
        return next((hand for hand in self.hands if hand.ident == ident), None)

    def end(self, fault: Exception | None = None) -> None:
        """Let `watch` return."""
        self.fault = fault
        self.is_over = True
        if self.is_parked:
            self.wake_watcher()

    def wake_watcher(self) -> None:
        """Something runs inline, and the main thread is parked."""
        self.is_parked = False
        with contextlib.suppress(RuntimeError):  # it had not parked after all
            self._gate.release()

    # -- the main thread ---------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Until all is over: when one request keeps the loop, another thread gets that. Parked while nothing runs."""
        seen = -1
        while not self.is_over:
            sleep(WATCH_S)
            if seen != self.turns:
                seen = self.turns
            elif self.leader.inline:
                self._overtake()
            else:
                self.is_parked = True
                if not self.leader.inline and not self.is_over:
                    self._gate.acquire()
                self.is_parked = False

    def _overtake(self) -> None:
        hand = self.leader
        with hand.lock:
            try:
                connection = hand.inline.pop()
            except IndexError:
                return
            self._lend(connection, hand)
        self.wary = WARY_FOR
        self.pass_loop_on()
