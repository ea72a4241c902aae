"""A worker from fork to exit: booting, ready, retiring or draining, gone; its signals, its hooks."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from ..http.response import ResponseHeads
from ..ops import backtraces, memory
from ..ops.logs import Logs
from ..process import leave, signal_stack
from ..process.channel import report
from ..process.handoff import HandoffPair
from ..process.hooks import Hooks
from ..process.lifeline import Lifeline
from ..process.listener import Listener
from ..process.messages import Imported, Ready, Stillborn, Tired, shortened
from ..process.patching import GREEN
from ..scoreboard import MEMORY, Scoreboard, SlotWriter, State
from ..wsgi.gateway import Answering, Application
from .bodies import BodyRules
from .collecting import collect_often
from .connection import WITH_THE_END, SendLimits, wait_in_thread
from .deadlines import Deadlines
from .exchange import ClientLeft
from .fittings import make_environs, make_parser
from .flusher import Flusher
from .listening import Listening
from .loop import make_loop
from .overtime import Overtime
from .peers import Peers
from .recycling import make_exchange
from .summaries import RequestHooks
from .sync import SyncWorker

if TYPE_CHECKING:
    from ..settings.resolve import Settings
    from ..settings.table.processes import ProcessSettings

WEIGH_S = 1.0  # how often a worker looks how much memory it has

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_NOT_BOOTED = 3


@dataclass(frozen=True)
class WorkerOrders:
    """All that a worker is given at birth."""

    slot: int  # its row of the scoreboard
    generation: int
    age: int  # the how manieth worker of this server
    application: Application
    settings: Settings
    listeners: tuple[Listener, ...]
    scoreboard: Scoreboard
    reports: socket.socket  # SEQPACKET, shared by all workers: what the arbiter is to know
    handoff: HandoffPair  # where connections are passed on to siblings
    lifeline: Lifeline
    logs: Logs
    reloading: bool  # a reloader of the runner wants to know which files are imported


def run(orders: WorkerOrders) -> NoReturn:
    """Serve until told to go. The process ends here, whatever happens: it must never return into the runner."""
    code, worker = EXIT_NOT_BOOTED, None
    try:
        worker = Worker(orders)
        worker.boot()
        code = EXIT_FAILED
        worker.serve()
        code = EXIT_OK
    except BaseException:
        if code == EXIT_NOT_BOOTED:
            report_stillborn(orders.reports, orders.logs, orders.slot)
        else:
            orders.logs.error.exception("Worker %d (pid %d) ends by a fault", orders.slot, os.getpid())
    if worker is not None:
        worker.end(code)
    leave.child(code)


def report_stillborn(reports: socket.socket, logs: Logs, slot: int) -> None:
    """Let the arbiter say why, once for all workers that fail alike: the exception that is being handled."""
    reason = shortened(traceback.format_exc())
    try:
        report(reports, Stillborn(os.getpid(), reason))
    except OSError:
        logs.error.error("Worker %d (pid %d) could not be started\n%s", slot, os.getpid(), reason)


class Worker:
    """The process around the loop."""

    def __init__(self, orders: WorkerOrders) -> None:
        self._orders = orders
        self._log = orders.logs.error
        self._reopen_wanted = False
        self._known_modules: set[str] = set()
        self._weigh_at = 0.0  # monotonic seconds
        self._slot: SlotWriter = orders.scoreboard.writer(orders.slot)
        self._slot.claim(os.getpid(), orders.generation, orders.age, time.monotonic())
        self._hooks = Hooks(orders.settings, self._log, (ClientLeft,))
        self._hook_worker = self._hooks.worker(os.getpid(), orders.age)
        self._hook_server = self._hooks.server(orders.listeners, orders.lifeline.arbiter_pid)
        self._loop: SyncWorker | None = None
        self._is_ending = False

    def boot(self) -> None:
        """Everything up to the moment in which the arbiter may count on this worker."""
        orders = self._orders
        wakeup = self._install_signals()
        collect_often()
        self._hooks.call("post_fork", self._hook_server, self._hook_worker)
        self._loop = make_worker(orders, self._slot, self._request_hooks(), wakeup, self._each_round, self._say_tired)
        self._hooks.call("post_worker_init", self._hook_worker)
        self._weigh()
        self._slot.set_state(State.READY)
        report(orders.reports, Ready(orders.slot, orders.generation, os.getpid()))

    def serve(self) -> None:
        assert self._loop is not None
        self._loop.serve()
        self._slot.set_state(State.GONE)

    def end(self, code: int, hook: str = "") -> NoReturn:
        """Call this hook and `worker_exit`, then leave; if a signal's handler comes here meanwhile, at once."""
        try:
            if not self._is_ending:
                self._is_ending = True
                if hook:
                    self._hooks.call(hook, self._hook_worker)
                self._hooks.call("worker_exit", self._hook_server, self._hook_worker)
        finally:  # not even an exit that a hook asks for may lead back into the application
            leave.child(code)

    def _request_hooks(self) -> RequestHooks:
        before, after = self._hooks.get("pre_request"), self._hooks.get("post_request")
        worker = self._hook_worker
        return RequestHooks(
            before and (lambda request: self._hooks.call("pre_request", worker, request)),
            after
            and (
                lambda request, environ, response: self._hooks.call("post_request", worker, request, environ, response)
            ),
        )

    # -- signals -----------------------------------------------------------------------------------------------------

    def _install_signals(self) -> int:
        """Handlers only set a flag and wake the loop; gives the descriptor that becomes readable then."""
        reader, writer = os.pipe()
        for fd in (reader, writer):
            os.set_blocking(fd, False)
        self._wakeup_writer = writer
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number, handler in {
            signal.SIGTERM: self._on_term,
            signal.SIGQUIT: self._on_quit,
            signal.SIGUSR1: self._on_usr1,
            signal.SIGABRT: self._on_abort,
            backtraces.ASK: self._on_abort,
        }.items():
            signal.signal(number, handler)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR2, signal.SIGWINCH):
            # Not SIG_IGN, which the application's own subprocesses would inherit.
            signal.signal(number, _do_nothing)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        backtraces.arm(self._orders.logs.error_fd)
        signal_stack.widen()
        return reader

    def _on_term(self, number: int, frame: FrameType | None) -> None:
        if self._loop is None:
            self.end(EXIT_OK)
        self._leave()

    def _leave(self) -> None:
        assert self._loop is not None
        if self._orders.scoreboard.stopping:
            self._loop.drain()
        else:
            self._loop.retire()
        self._slot.set_state(State.RETIRING)

    def _on_quit(self, number: int, frame: FrameType | None) -> None:
        self._end_aside(EXIT_OK, "worker_int")

    def _on_usr1(self, number: int, frame: FrameType | None) -> None:
        self._reopen_wanted = True

    def _on_abort(self, number: int, frame: FrameType | None) -> None:
        self._end_aside(EXIT_FAILED, "worker_abort")

    def _end_aside(self, code: int, hook: str) -> None:
        """Its hooks may wait. Once they have been called there is nothing to wait for any more."""
        if self._loop is None or self._is_ending:
            self.end(code, hook)
        self._loop.do_aside(functools.partial(self.end, code, hook))

    def _each_round(self) -> None:
        """A few times a second, in the loop."""
        if self._orders.scoreboard.stopping or self._slot.is_dismissed:
            self._leave()  # the application may have replaced our handler of TERM
        if self._reopen_wanted:
            self._reopen_wanted = False
            self._orders.logs.reopen()
        if self._orders.lifeline.is_cut():
            leave.child(EXIT_FAILED)
        if time.monotonic() >= self._weigh_at:
            self._weigh()
        if self._orders.reloading:
            self._report_imports()

    def _weigh(self) -> None:
        """For whoever has to say later what ended this worker."""
        self._weigh_at = time.monotonic() + WEIGH_S
        self._slot.counters[MEMORY] = memory.resident_bytes() or 0

    def _say_tired(self, why: str) -> None:
        """The arbiter lets us go when a replacement is ready; until then we go on."""
        with contextlib.suppress(OSError):  # no arbiter any more: the end is near anyway
            report(self._orders.reports, Tired(self._orders.slot, os.getpid(), why))

    def _report_imports(self) -> None:
        """Files of modules that only this process imported: the runner's reloader can't see them."""
        names = sys.modules.keys() - self._known_modules
        if not names:
            return
        self._known_modules |= names
        files = [getattr(sys.modules.get(name), "__file__", None) for name in names]
        report(self._orders.reports, Imported(tuple(sorted(file for file in files if file))))


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """A signal that does not concern a worker."""


def make_worker(
    orders: WorkerOrders,
    slot: SlotWriter,
    hooks: RequestHooks,
    wakeup_fd: int,
    each_round: Callable[[], None],
    say_tired: Callable[[str], None],
) -> SyncWorker:
    """The worker of the class that the settings want, wired up from them."""
    settings, logs = orders.settings, orders.logs
    requests, processes = settings.requests, settings.processes
    environs = functools.partial(
        make_environs, settings, logs.error_fd, own={"gunicorn.uploads": orders.scoreboard.uploads.find}
    )
    answering = Answering(ResponseHeads(requests.server_header), b"", requests.sendfile)
    answering.closing = not requests.keepalive_s
    loop = make_loop()
    worker, waiting = _class_of(processes, logs, say_tired)
    exchange = make_exchange(
        settings, say_tired, orders.application, answering, slot, logs, orders.generation, hooks
    )  # fmt: skip
    # Where who sends an answer closes, and nothing of the application's comes between.
    ends_at_once = processes.worker_class != "threads" and hooks.after is None
    send_limits = SendLimits(
        requests.response_buffer, requests.send_timeout_s, waiting, WITH_THE_END if ends_at_once else 0
    )  # fmt: skip
    if processes.worker_class not in GREEN:
        flusher = Flusher(exchange.complain)
        send_limits = send_limits._replace(on_held=flusher.hold, take_back=flusher.take_back, let_go=flusher.let_go)
    overtime = None
    if processes.request_timeout_s:
        overtime = Overtime(
            processes.request_timeout_s, processes.request_timeout_grace_s, exchange, slot, say_tired, logs.error.error
        )  # fmt: skip
        exchange.watch_by(overtime)
    return worker(
        loop=loop,
        listening=Listening(loop, orders.listeners, orders.scoreboard, logs.error),
        pair=orders.handoff,
        hands_off=processes.handoff,
        peers=Peers(settings.proxies.forwarded_allow_ips.trusts, environs, orders.listeners),
        parser=make_parser(settings),
        exchange=exchange,
        answering=answering,
        deadlines=Deadlines(
            header_s=requests.header_timeout_s,
            keepalive_s=requests.keepalive_s,
            body_s=requests.body_timeout_s,
            send_s=requests.send_timeout_s,
        ),
        bodies=BodyRules(
            limit=requests.limit_request_body,
            spool=requests.spool_request_body,
            directory=requests.tmp_upload_dir,
            trailer_fields=requests.limit_request_fields,
            trailer_field_size=requests.limit_request_field_size,
        ),
        send_limits=send_limits,
        slot=slot,
        scoreboard=orders.scoreboard,
        log=logs.error,
        max_connections=processes.worker_connections,
        drain_s=processes.drain_timeout_s,
        graceful_s=processes.graceful_timeout_s,
        queue_timeout_s=processes.queue_timeout_s,
        overtime=overtime,
        wakeup_fd=wakeup_fd,
        each_round=each_round,
    )


def _class_of(
    processes: ProcessSettings, logs: Logs, say_tired: Callable[[str], None]
) -> tuple[Callable[..., SyncWorker], Callable[[int, bool, bool, float], bool]]:
    """What makes a worker of this class, and how its applications wait for a client."""
    name = processes.worker_class
    if name == "threads":
        from .threads import ThreadWorker

        make = functools.partial(
            ThreadWorker,
            threads=processes.threads,
            timeout_s=processes.timeout_s,
            say_tired=say_tired,
        )
        return make, wait_in_thread
    if name not in GREEN:
        return SyncWorker, wait_in_thread
    from .green import GreenWorker

    hub: Any
    if name == "gevent":
        from .gevent_hub import GeventHub

        hub = GeventHub()
    else:
        from .eventlet_hub import EventletHub

        hub = EventletHub()
    return functools.partial(GreenWorker, hub=hub, logs=logs), hub.wait
