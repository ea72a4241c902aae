"""Requests that run for longer than `request_timeout`: reported with tracebacks, answered with 504, interrupted.

A thread of the worker's own looks a few times a second. When the time of a request is up it lets nothing more of the
application's reach the client, answers with 504 where nothing was sent yet, tells the arbiter that this worker wants a
successor, and has the request interrupted (how, is the worker class's matter). What still runs after
`request_timeout_grace` is given up: the worker will not wait for it or, where nothing else can run beside it, ends at
once.

Nothing of that waits for the log, whose handlers may wait for long, or for ever: another thread says where everybody
was. Where a library has replaced the handlers' locks, which are not for two threads then, it leaves that to the loop's
(`green_logs.py`), and writes it past the locks only when the loop has not listened since.

The answer is a matter between two threads. While the application runs there is no lock: this one takes the sink away
and then looks whether the head has left; the application's says that the head leaves and then asks for the sink. The
GIL keeps the order, so one of them sees the other. Whether the time was up before the application came back, and how
much of the page has left by then, is settled under a lock.

Nothing of this costs anything where `request_timeout` is off.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from _thread import allocate_lock, get_ident, start_new_thread  # bound before a worker class may replace them
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from ..http.refusals import OVERTIME
from ..process import leave
from ..wsgi.gateway import Application, Response, respond
from .connection import wait_in_thread
from .speaker import Speaker
from .whereabouts import request_of, stack, tracebacks

if TYPE_CHECKING:
    from ..http.parser import Head
    from ..scoreboard import SlotWriter
    from ..wsgi.environ import Environ
    from ..wsgi.file_wrapper import FileRegion
    from .clients import Clients
    from .connection import Connection
    from .exchange import Exchange

monotonic, sleep = time.monotonic, time.sleep

KEY = "gunicorn.request_timeout"  # in the environ: call it with the seconds that are wanted from now on
EXIT_FORCED = 1
LONGEST_TICK_S = 0.25
SHOWN = 20  # greenlets of other requests, the oldest ones
BLOCKED_S = 1.0  # a loop that has not listened for so long is kept from it by an application

_UP = "the time of this request is up (request_timeout)"

# To the main thread, where it also ends a system call that waits. Nobody else has a use for it.
INTERRUPT = int(signal.SIGRTMAX) - 1 if hasattr(signal, "SIGRTMAX") else int(signal.SIGVTALRM)


class RequestTimeout(BaseException):
    """Raised in an application whose request has run for longer than `request_timeout`."""


class _NoSink:
    """Where an answer goes that comes too late."""

    half_closed = True

    def send(self, data: bytes, is_last: bool = False) -> NoReturn:
        raise RequestTimeout(_UP)

    def send_parts(self, parts: Sequence[bytes]) -> NoReturn:
        self.send(b"")

    def send_file(self, region: FileRegion) -> NoReturn:
        self.send(b"")


class Run:
    """A request under way. Written by the thread that runs it, and by the one that watches, each its own part."""

    __slots__ = (
        "connection", "deadline", "environ", "had_begun", "head", "ident", "is_given_up", "is_interrupted", "is_over",
        "is_up", "owner", "page", "response", "since", "unsent",
    )  # fmt: skip

    def __init__(
        self, owner: Any, limit_s: float, environ: Environ, response: Response, connection: Connection, head: Head
    ) -> None:
        self.owner = owner  # what the worker class interrupts
        self.ident = get_ident()
        self.environ = environ
        self.response = response
        self.connection = connection
        self.head = head
        self.since = monotonic()
        self.deadline = self.since + limit_s  # monotonic seconds
        self.is_over = False  # the application has come back
        self.is_up = False  # the deadline has passed
        self.had_begun = False  # by then, its answer
        self.page = b""  # what it is answered with, where its answer had not begun
        self.unsent = b""  # what of that has not left yet
        self.is_interrupted = False
        self.is_given_up = False

    def extend(self, seconds: float) -> None:
        """`environ["gunicorn.request_timeout"]`: so much time from now on, however much was left."""
        if not self.is_up:
            self.deadline = monotonic() + seconds


class Overtime:
    """The watch over a worker's requests."""

    def __init__(
        self,
        limit_s: float,
        grace_s: float,
        exchange: Exchange,
        slot: SlotWriter,
        say_tired: Callable[[str], None],
        log: Callable[[str], None],
    ) -> None:
        self._limit_s = limit_s
        self._grace_s = grace_s
        self._exchange = exchange
        self._slot = slot
        self._say_tired = say_tired
        self._log = log
        self._main = get_ident()
        self._pid = os.getpid()
        self._runs: dict[Run, None] = {}
        self._settling = allocate_lock()  # held for moments
        self._said = False  # that this worker is tired
        self._speaker = Speaker()
        self._logged_at = math.inf  # monotonic seconds; until it is known that the loop has listened since
        self._looking = allocate_lock()  # at requests
        self._not_shown: Run | None = None  # late, and where its fellows are has not been told
        # What a class sets that runs several at a time.
        self.current: Callable[[], Any] = _nobody  # what runs the request that has just begun
        self.interrupt: Callable[[Run], None] = self.signal_main
        self.runs_several = False
        self.write_unheard: Callable[[], None] = lambda: None  # what was logged here, and left to the loop
        self._given_up: deque[Connection] = deque()  # for the loop

    def start(self) -> None:
        """In the worker's main thread, before it serves."""
        signal.signal(INTERRUPT, self._on_interrupt)
        try:
            start_new_thread(self._watch, ())
        except RuntimeError as error:  # the system gives no more threads
            self._exchange.complain("Requests may run for longer than request_timeout: nobody watches them", error)

    # -- in the thread that runs the application ---------------------------------------------------------------------

    def respond(
        self, application: Application, environ: Environ, response: Response, connection: Connection, head: Head
    ) -> None:
        """Call the application, and let it be interrupted. Raises nothing."""
        run = Run(self.current(), self._limit_s, environ, response, connection, head)
        environ[KEY] = run.extend
        try:
            try:
                self._runs[run] = None
                respond(application, environ, response)
            finally:
                run.is_over = True  # from now on it is not interrupted
        except RequestTimeout as error:  # it came when the application had just ended
            response.failure = response.failure or error
        with self._settling:
            pass  # the watch has done, or will see that it is over
        del self._runs[run]
        run.environ = {}  # it leads back to the run: no cycle
        if run.is_up and not (run.had_begun and response.complete and response.failure is None):
            response.failure, response.flawed = _Late(run), True

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        """In the main thread: is it this one that is meant, which runs just now?"""
        current = self.current()
        for run in list(self._runs):
            if run.owner is current and run.is_up and not run.is_over and not run.is_interrupted:
                run.is_interrupted = True
                raise RequestTimeout(_UP)

    def overdue(self) -> list[Run]:
        """Those that are to be interrupted, and were not yet: for a loop that does that itself."""
        return [run for run in list(self._runs) if run.is_up and not run.is_interrupted and not run.is_over]

    def show_others(self) -> None:
        """By a loop that runs requests in greenlets, none of which moves meanwhile: tell where they are.

        The thread that watches can't: what it looks at may go on while it looks.
        """
        late, self._not_shown = self._not_shown, None
        if late is None:
            return
        others = [(run, run.owner.gr_frame) for run in self._runs if run is not late]  # the oldest first
        waiting = [(run, frame) for run, frame in others if frame is not None]
        if not waiting:
            return
        now = monotonic()
        more = len(waiting) - SHOWN
        stacks = [
            stack(f"Greenlet of {_line(run)}, which has run for {now - run.since:.1f} s", frame)
            for run, frame in waiting[:SHOWN]
        ]
        if more > 0:
            stacks.append(f"{more} more, which began later, are not shown")
        self._log("\n".join([f"{_line(late)} was not alone: this is what else its worker runs", *stacks]))

    def finish(self) -> None:
        """By the loop, when all is done: no request is looked at any more, and what is to be logged has been."""
        self._looking.acquire()
        self._speaker.wait()

    @staticmethod
    def was_up(response: Response) -> bool:
        """Whether the time of this one was up, so that it may have been interrupted."""
        return isinstance(response._sink, _NoSink)

    def let_go(self, clients: Clients) -> list[Connection]:
        """By the loop: nobody waits any longer for those that were given up."""
        given_up = []
        while self._given_up:
            connection = self._given_up.popleft()
            clients.abandon(connection)
            given_up.append(connection)
        return given_up

    def wait_in_thread(self, fd: int, readable: bool, writable: bool, timeout_s: float) -> bool:
        """As `connection.wait_in_thread`, for applications that nobody interrupts in what is ours.

        Raises RequestTimeout when the time of the calling thread's request is up.
        """
        ident, until = get_ident(), monotonic() + timeout_s
        while True:
            for run in list(self._runs):
                if run.ident == ident and run.is_up and not run.is_over:
                    run.is_interrupted = True
                    raise RequestTimeout(_UP)
            left_s = max(0.0, until - monotonic())
            if wait_in_thread(fd, readable, writable, min(left_s, LONGEST_TICK_S)):
                return True
            if left_s <= LONGEST_TICK_S:
                return False

    @staticmethod
    def late_run(error: BaseException) -> Run | None:
        """The run that this failure tells of, if its time was up."""
        return error.run if isinstance(error, _Late) else None

    # -- in the thread that watches ----------------------------------------------------------------------------------

    def _watch(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        tick_s = min(LONGEST_TICK_S, max(0.02, self._limit_s / 10))
        while os.getpid() == self._pid:
            sleep(tick_s)
            with self._looking:
                try:
                    self._look(monotonic())
                except Exception as error:
                    what = "A fault of the server itself, while requests were watched"
                    self._speaker.say(partial(self._exchange.complain, what, error))

    def _look(self, now: float) -> None:
        if self._exchange.listened_at > self._logged_at:
            self._logged_at = math.inf
        elif now > self._logged_at + BLOCKED_S:
            self._logged_at = math.inf
            self._speaker.say(self.write_unheard)
        runs = list(self._runs)
        for run in runs:
            if run.is_over or run.is_given_up:
                continue
            if not run.is_up:
                if now >= run.deadline:
                    self._time_is_up(run, now)
                continue
            if run.unsent:
                self._send_more(run)
            if now >= run.deadline + self._grace_s:
                self._give_up(run, now)
        if runs and not self.runs_several:
            self._slot.beat(now)  # it is watched here: `timeout` would end what has been given more time

    def _time_is_up(self, run: Run, now: float) -> None:
        response = run.response
        if response.is_handed_over:
            run.deadline = math.inf  # what it speaks now has no requests
            return
        with self._settling:
            if run.is_over:
                return
            run.is_up = True
            response._sink = _NoSink()
            run.had_begun = response.head_sent
            if not run.had_begun:
                run.page = run.unsent = self._exchange.page(OVERTIME, response.is_head)
                response.head_sent = True
                if response.before_head is not None:
                    response.before_head(True)
        self._send_more(run)
        what = "its answer had begun" if run.had_begun else "it is answered with 504"
        text = (
            f"{_line(run)} has run for {now - run.since:.1f} s (request_timeout): {what}, it is interrupted, and this "
            f"worker is replaced\n{tracebacks(run.owner, run.ident, self._main)}"
        )
        if not self._said:
            self._said = True
            self._say_tired("a request has run for too long (request_timeout)")
        self.interrupt(run)
        self._speaker.say(partial(self._tell, run, text))

    def _send_more(self, run: Run) -> None:
        """Send what the kernel takes of the page, if all that was sent before has left."""
        connection = run.connection
        with self._settling, contextlib.suppress(OSError):
            if run.unsent and not (run.is_over or connection.output):
                run.unsent = run.unsent[connection.sock.send(run.unsent) :]

    def signal_main(self, run: Run) -> None:
        """Interrupt what the main thread does; and its loop, should that wait."""
        with contextlib.suppress(OSError):
            signal.pthread_kill(self._main, INTERRUPT)

    def _give_up(self, run: Run, now: float) -> None:
        run.is_given_up = True
        blocked = now - self._exchange.listened_at > BLOCKED_S
        stays = self.runs_several and not blocked
        how = "without it when all others are done" if stays else "at once, and what else it has with it"
        text = f"{_line(run)} can't be interrupted; this worker ends {how}"
        self._speaker.say(partial(self._exchange.log_late, run), partial(self._log, text))
        if stays:
            self._slot.end(run.connection.cell)
            self._given_up.append(run.connection)
            return
        self._speaker.say(self.write_unheard)
        self._speaker.wait()
        self._slot.count([OVERTIME.status], [run.response.body_sent], [now - run.since])
        self._slot.end(run.connection.cell)
        leave.at_once(EXIT_FORCED)

    # -- in a thread that logs what that one has seen ----------------------------------------------------------------

    def _tell(self, run: Run, text: str) -> None:
        self._log(text)
        self._logged_at = monotonic()
        self._not_shown = run


class _Late(RequestTimeout):
    """How such a request has ended, for the books."""

    def __init__(self, run: Run) -> None:
        super().__init__("request_timeout")
        self.run = run


def _nobody() -> None:
    """There is only one at a time."""


def _line(run: Run) -> str:
    return request_of(run.connection, run.head.line)
