"""How many threads there are, and who has the loop."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from support.server import wait_for

from paste_unicorn.scoreboard import Scoreboard
from paste_unicorn.workers.connection import Connection
from paste_unicorn.workers.exchange import Exchange
from paste_unicorn.workers.hands import Hand
from paste_unicorn.workers.pool import SOON, WARY_FOR, Pool

THREADS = 3
CONNECTION = cast(Connection, object())


class Books:
    """All that a pool wants of an exchange."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self.slot = Scoreboard.create(slots=1).writer(0)

    def for_another_thread(self) -> Books:
        return self

    def complain(self, text: str, error: BaseException) -> None:
        self.complaints.append(text)


class Worker:
    """Its threads do nothing but to say who has been given the loop."""

    def __init__(self) -> None:
        self.books = Books()
        self.lent: list[tuple[Connection, Hand]] = []
        self.led_by: list[Hand] = []
        self.pool = Pool(THREADS, cast(Exchange, self.books), lambda *lent: self.lent.append(lent))
        self.pool.life = self.live
        self._is_over = False
        self._main = threading.Thread(target=self.pool.watch)

    def live(self, hand: Hand) -> None:
        while True:
            hand.gate.acquire()
            if self._is_over:
                return
            self.led_by.append(hand)

    def watch(self) -> None:
        self._main.start()

    def close(self) -> None:
        self._is_over = True
        self.pool.end()
        if self._main.ident is not None:
            self._main.join(10)
            assert not self._main.is_alive()
        for hand in self.pool.hands:
            if hand.gate.locked():  # else it has just been given the loop, and has not taken it yet
                hand.gate.release()


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker()
    yield worker
    worker.close()


def take_all(pool: Pool) -> int:
    """Threads that can be had."""
    count = 0
    while pool.has_free():
        pool.free.pop()
        count += 1
    return count


def test_threads_are_made_when_they_are_needed_and_one_more_than_may_run_requests(worker: Worker) -> None:
    assert worker.pool.hands == []
    assert worker.pool.has_free()
    assert worker.pool.has_free()
    assert len(worker.pool.hands) == 1
    assert take_all(worker.pool) == THREADS + 1
    assert not worker.pool.has_free()
    worker.pool.free.append(worker.pool.hands[1])
    assert worker.pool.has_free()


def test_in_place_of_those_that_are_given_up_there_are_others_but_not_without_end(worker: Worker) -> None:
    pool = worker.pool
    take_all(pool)
    for number, hand in enumerate(list(pool.hands)):
        hand.connection = CONNECTION
        assert hand.give_up(CONNECTION)
        assert take_all(pool) == (number < THREADS)
    for hand in list(pool.hands[THREADS + 1 :]):
        hand.connection = CONNECTION
        assert hand.give_up(CONNECTION)
    assert not pool.has_free()


@pytest.mark.parametrize("given_up", [0, 1])
def test_where_the_system_gives_no_more_threads_those_that_there_are_do(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, given_up: int
) -> None:
    pool = worker.pool
    for _ in range(2):
        assert pool.has_free()
        pool.free.pop()
    for hand in pool.hands[:given_up]:
        hand.connection = CONNECTION
        assert hand.give_up(CONNECTION)

    def refuse(hand: Hand, target: Callable[[Hand], None]) -> Any:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(Hand, "start", refuse)
        assert not pool.has_free()
        assert not pool.has_free()
    assert worker.books.complaints == ["Only 1 threads run requests"]
    assert not pool.has_free()


def test_the_loop_is_passed_to_a_thread_that_is_free(worker: Worker) -> None:
    assert worker.pool.has_free()
    worker.pool.pass_loop_on()
    assert worker.pool.free == []
    wait_for(lambda: worker.led_by, "it has the loop")
    assert worker.led_by == [worker.pool.leader]
    assert worker.pool.leader.ident != threading.get_ident()
    assert worker.pool.this_hand() is None


def test_a_request_that_keeps_the_loop_loses_it(worker: Worker) -> None:
    pool = worker.pool
    assert pool.has_free()
    pool.pass_loop_on()
    first = pool.leader
    assert pool.has_free()
    pool.turns += 1
    first.inline.append(CONNECTION)
    worker.watch()
    wait_for(lambda: len(worker.led_by) == 2, "another thread has the loop")
    assert worker.lent == [(CONNECTION, first)]
    assert not first.inline
    assert pool.leader is not first
    assert pool.wary == WARY_FOR
    wait_for(lambda: pool.is_parked, "nothing runs: nobody watches")
    assert pool.has_free()
    pool.turns += 1
    pool.leader.inline.append(CONNECTION)
    pool.wake_watcher()
    wait_for(lambda: len(worker.led_by) == 3, "it watches again")


def test_what_another_thread_runs_by_now_is_not_lent_to_the_one_that_had_the_loop(worker: Worker) -> None:
    """The main thread has seen who keeps the loop, and comes to act only after that has passed it on."""
    pool = worker.pool
    assert pool.has_free()
    pool.pass_loop_on()
    first = pool.leader
    first.inline.append(CONNECTION)
    pool.turns += 1
    assert pool.has_free()
    with first.lock:
        worker.watch()
        wait_for(lambda: is_at(worker._main, "_overtake"), "it acts")
        first.inline.clear()
        pool.pass_loop_on()
        second = pool.leader
        assert pool.has_free()
        pool.turns += 1
        pool.leader.inline.append(CONNECTION)
    wait_for(lambda: worker.lent, "the other one is overtaken instead")
    assert worker.lent == [(CONNECTION, second)]
    assert second is not first


def is_at(thread: threading.Thread, function: str) -> bool:
    """Whether this is what a thread runs."""
    frame = sys._current_frames().get(thread.ident or 0)
    return frame is not None and frame.f_code.co_name == function


def test_one_slow_request_is_chance_and_two_make_the_loop_wary(worker: Worker) -> None:
    pool = worker.pool
    pool.note_slow()
    assert not pool.wary
    pool.turns += SOON
    pool.note_slow()
    assert not pool.wary
    pool.turns += SOON - 1
    pool.note_slow()
    assert pool.wary == WARY_FOR


@pytest.mark.parametrize("is_parked", [False, True])
def test_the_end_wakes_who_watches_and_says_what_was_wrong(worker: Worker, is_parked: bool) -> None:
    assert worker.pool.has_free()
    worker.pool.pass_loop_on()
    worker.watch()
    if is_parked:
        wait_for(lambda: worker.pool.is_parked, "it is parked")
    fault = RuntimeError("on purpose")
    worker.pool.end(fault)
    worker._main.join(10)
    assert not worker._main.is_alive()
    assert worker.pool.fault is fault
