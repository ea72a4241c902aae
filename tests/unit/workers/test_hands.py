"""Where an application in a thread may be interrupted: by its bytecode, which each Python writes in its own way."""

from __future__ import annotations

import contextlib
import queue
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from support.server import wait_for

from paste_unicorn.workers.connection import Connection
from paste_unicorn.workers.exchange import Exchange
from paste_unicorn.workers.hands import Hand, _frame_in_application, _names_of_its_call
from paste_unicorn.wsgi import gateway

LOOKS = 20


class Answer:
    """What is asked of a response, or of the connection that it is given on."""

    def __init__(self, head_sent: bool) -> None:
        self.head_sent = head_sent
        self.response = self


BEFORE, STREAM = (cast(Connection, Answer(head_sent)) for head_sent in (False, True))


class Interruption(BaseException):
    """As a client that has gone, or a deadline."""


class OwnLock(type(threading.RLock())):  # type: ignore[misc]
    def acquire(self, timeout: float) -> bool:
        return bool(super().acquire(timeout=timeout))


class Site:
    """An application: what it has, and ways to wait."""

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self.over: list[str] = []  # something: they go on no more
        self.gap = 0.05
        self.long = 60.0
        self.lock = threading.Lock()
        self.own_lock = OwnLock()
        self.event = threading.Event()
        self.poller = select.poll()
        self.socket, self.peer = socket.socketpair()
        self.socket.settimeout(0.05)

    # -- waits that may be interrupted

    def sleeps(self) -> None:
        time.sleep(0.05)

    def sleeps_for_what_is_set(self) -> None:
        time.sleep(self.gap)

    def sleeps_for_what_is_computed(self) -> None:
        time.sleep(float(str(min(self.gap, self.long))))

    def sleeps_on_several_lines(self) -> None:
        time.sleep(
            float(
                self.gap,
            ),
        )

    def sleeps_in_a_chain(self) -> None:
        (
            time
            .sleep(self.gap)
        )  # fmt: skip

    def sleeps_beside_a_with(self) -> None:
        with threading.Lock():
            time.sleep(self.gap)

    def sleeps_in_a_list(self) -> None:
        [time.sleep(self.gap) for _ in "once"]

    def selects(self) -> None:
        select.select([], [], [], self.gap)

    def polls(self) -> None:
        (
            self.poller
            .poll(self.gap * 1000)
        )  # fmt: skip

    def waits_for_an_event(self) -> None:
        self.event.wait(timeout=self.gap)

    def waits_for_a_condition(self) -> None:
        condition = threading.Condition()
        with condition:
            condition.wait_for(lambda: False, self.gap)

    def waits_for_a_queue(self) -> None:
        try:
            queue.Queue[int]().get(timeout=self.gap)
        except queue.Empty:
            return

    # -- waits that may be interrupted in a stream

    def receives(self) -> None:
        with contextlib.suppress(TimeoutError):
            self.socket.recv(1)

    def accepts(self) -> None:
        with contextlib.suppress(TimeoutError), socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(self.gap)
            listener.accept()

    # -- and in the middle of something

    def reads(self) -> None:
        with contextlib.suppress(OSError), self.socket.makefile("rb") as file:
            file.readline()

    # -- waits for a lock

    def acquires(self) -> None:
        self.lock.acquire()
        self.lock.release()

    def acquires_for_what_is_set(self) -> None:
        self.lock.acquire(True, self.long)
        self.lock.release()

    def acquires_on_several_lines(self) -> None:
        (
            self.lock
            .acquire(
                timeout=float(self.long)
            )
        )  # fmt: skip
        self.lock.release()

    def acquires_by_its_base(self) -> None:
        self.own_lock.acquire(self.long)
        self.own_lock.release()

    # -- and none at all

    def computes(self) -> None:
        for number in range(10_000):
            number * number

    def calls(self) -> None:
        for _ in range(10_000):
            nothing()


def nothing() -> None:
    """Whose beginning is where another thread is let in."""


def _call_as_the_gateway_does() -> Callable[[Callable[[], None], list[str]], None]:
    """From a module of its name, by which the application's part of a stack is known."""
    module: dict[str, Any] = {"__name__": gateway.__name__}
    exec("def call(application, over):\n    while not over:\n        application()\n", module)
    return cast(Callable[[Callable[[], None], list[str]], None], module["call"])


class Run:
    """An application that goes on and on in a thread, until it is interrupted, or its site is over."""

    def __init__(self, site: Site, name: str, connection: Connection = BEFORE) -> None:
        self.connection = connection
        self.hand = Hand(1, 0, cast(Exchange, None))
        self.ended_by: type[BaseException] | None = None
        self.is_over = False
        self._site = site
        self._application: Callable[[], None] = getattr(site, name)

    def start(self) -> None:
        self._site.runs.append(self)
        self.hand.start(self._run)
        wait_for(lambda: self.hand.connection is self.connection, "it runs")

    def _run(self, hand: Hand) -> None:
        hand.connection = self.connection
        try:
            _call_as_the_gateway_does()(self._application, self._site.over)
        except BaseException as error:
            hand.let_go()
            # Where it hits a `with` of `threading` that has let go of its lock, that ends in an error of its own.
            self.ended_by = Interruption if isinstance(error.__context__, Interruption) else type(error)
        self.is_over = True

    def interrupt(self, even_if_busy: bool) -> None:
        """Look until it is interrupted, and wait for its end."""
        wait_for(lambda: self.hand.interrupt(self.connection, Interruption, even_if_busy), "its interruption")
        wait_for(lambda: self.ended_by, "its end")

    def wait_for_lock(self) -> None:
        """Until it waits for one: before, it computes."""
        wait_for(lambda: self._is_at("acquire"), "it waits for a lock")

    def _is_at(self, call: str) -> bool:
        frame = _frame_in_application(self.hand.ident)
        return frame is not None and call in _names_of_its_call(frame)

    def is_interrupted(self, even_if_busy: bool) -> bool:
        """Whether one of some looks interrupts it."""
        for _ in range(LOOKS):
            time.sleep(0.01)
            if self.hand.interrupt(self.connection, Interruption, even_if_busy):
                return True
        return False


@pytest.fixture
def site() -> Iterator[Site]:
    """Its locks are taken, and free at the end: nobody still runs then."""
    site = Site()
    site.lock.acquire()
    site.own_lock.acquire(1.0)
    yield site
    site.over.append("now")
    site.lock.release()
    site.own_lock.release()
    site.peer.close()  # which ends the reading
    wait_for(lambda: all(run.is_over for run in site.runs), "the end of all threads")
    site.socket.close()


WAITS = (
    "sleeps", "sleeps_for_what_is_set", "sleeps_for_what_is_computed", "sleeps_on_several_lines", "sleeps_in_a_chain",
    "sleeps_beside_a_with", "sleeps_in_a_list", "selects", "polls", "waits_for_an_event", "waits_for_a_condition",
    "waits_for_a_queue",
)  # fmt: skip
LOCKS = ("acquires", "acquires_for_what_is_set", "acquires_on_several_lines", "acquires_by_its_base")


@pytest.mark.parametrize("name", WAITS)
@pytest.mark.parametrize("even_if_busy", [False, True])
def test_whoever_waits_for_time_or_news_is_interrupted(site: Site, name: str, even_if_busy: bool) -> None:
    run = Run(site, name)
    run.start()
    run.interrupt(even_if_busy)
    assert run.ended_by is Interruption


@pytest.mark.parametrize("name", ["receives", "accepts"])
def test_whoever_waits_at_a_socket_is_interrupted_only_in_a_stream(site: Site, name: str) -> None:
    """Before, it may be a driver, whose connection others will use."""
    run = Run(site, name)
    run.start()
    assert not run.is_interrupted(even_if_busy=False)
    run.connection = run.hand.connection = STREAM
    run.interrupt(even_if_busy=False)


def test_whoever_reads_by_a_buffered_file_is_left_alone(site: Site) -> None:
    run = Run(site, "reads", STREAM)
    run.start()
    assert not run.is_interrupted(even_if_busy=False)


def test_who_is_given_up_is_so_once_and_until_it_has_come_back(site: Site) -> None:
    run = Run(site, "sleeps", STREAM)
    run.start()
    assert not run.hand.give_up(BEFORE)
    assert run.hand.give_up(STREAM)
    assert not run.hand.give_up(STREAM)
    run.interrupt(even_if_busy=True)
    assert not run.hand.is_given_up


@pytest.mark.parametrize("name", LOCKS)
@pytest.mark.parametrize("even_if_busy", [False, True])
def test_whoever_waits_for_a_lock_is_left_alone(site: Site, name: str, even_if_busy: bool) -> None:
    run = Run(site, name)
    run.start()
    run.wait_for_lock()
    assert not run.is_interrupted(even_if_busy)


@pytest.mark.parametrize("name", ["computes", "calls"])
def test_who_computes_is_interrupted_only_where_that_is_asked_for(site: Site, name: str) -> None:
    run = Run(site, name)
    run.start()
    assert not run.is_interrupted(even_if_busy=False)
    run.interrupt(even_if_busy=True)
    assert run.ended_by is Interruption


def test_a_function_that_has_not_begun_calls_nothing() -> None:
    """Nor has it come to any instruction (3.10)."""
    assert _names_of_its_call((number for number in ()).gi_frame) == set()


def test_python_goes_on_as_before_when_one_has_been_interrupted(site: Site) -> None:
    """It would look for another interruption at each call and, where those are traced, get no further (3.10, 3.11)."""
    run = Run(site, "sleeps")
    run.start()
    run.interrupt(even_if_busy=True)
    wait_for(lambda: run.is_over, "its end")
    before = sys.gettrace(), signal.signal(signal.SIGALRM, signal.default_int_handler)  # in C
    signal.alarm(10)
    sys.settrace(lambda *_: None)
    try:
        site.computes()
        got_further = True
    except KeyboardInterrupt:
        got_further = False
    finally:
        sys.settrace(before[0])
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before[1])
    assert got_further
