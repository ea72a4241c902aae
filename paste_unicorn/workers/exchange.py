"""One request to one response: run the application or refuse, send, log, count. The straight line for every class.

What is to be counted is collected in lists, to which any thread may append; whoever has the loop counts it.

Hot: `run` is called once a request. It knows nothing of sockets or loops: the connection is its sink.
"""

from __future__ import annotations

import contextlib
import copy
import os
import sys
import time
import traceback
from _thread import allocate_lock  # bound before a worker class may replace it
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from ..http.refusals import OVERTIME, SERVER_ERROR, Refusal, Refused
from ..ops.access_log import Served
from ..ops.escaping import escaped
from ..process import leave
from ..scoreboard import APPLICATION_ERRORS, REFUSED, SlotWriter
from ..wsgi.gateway import Answering, Application, Response, respond
from ..wsgi.input import BodyError, ClientDisconnected, RequestOver
from .connection import ClientGone, Connection
from .summaries import RequestHooks, RequestSummary, ResponseSummary

if TYPE_CHECKING:
    from ..http.parser import Head
    from ..ops.logs import Logs
    from ..wsgi.environ import Environ
    from .overtime import Overtime, Run

monotonic = time.monotonic


class ClientLeft(BaseException):
    """Raised in an application that waits while nobody waits for its answer any more."""


class Exchange:
    """What a worker needs to answer requests; made once a worker, used by whichever thread runs the application."""

    def __init__(
        self,
        application: Application,
        answering: Answering,
        slot: SlotWriter,
        logs: Logs,
        generation: int,
        hooks: RequestHooks,
    ) -> None:
        self._application = application
        self._answering = answering
        self._slot = slot
        self._logs = logs
        self._generation = generation
        self._hooks = hooks
        self._hooked = hooks.before is not None or hooks.after is not None
        self._overtime: Overtime | None = None
        self._pid = os.getpid()
        # Answers to be counted: status, bytes of the body, seconds. Plain numbers, which the collector does not track.
        self._statuses: list[int] = []
        self._sizes: list[int] = []
        self._durations_s: list[float] = []
        self._failures: list[int] = []  # a 1 for each exception of the application
        self._counting = allocate_lock()  # held for moments: by whoever has the loop, the watcher, a signal handler
        self._response_class = Response
        self._notes_responses = False
        self.now = monotonic()  # when the previous request ended, or the loop woke up
        self.listened_at = self.now  # when the loop woke up

    def run(self, connection: Connection, head: Head, body: IO[bytes], keep: bool, length: int = -1) -> Response:
        """Run one request in this thread, from its parsed head to the last byte given to the connection.

        `length` is what a collected chunked body turned out to have; -1 leaves the environ as the client sent it.
        """
        line = head.line
        slot = self._slot
        started = self.now
        cell = connection.cell
        slot.begin(cell, started, connection.peer_host, line.raw, head.body)
        response = self._response_class(self._answering, connection, line, keep)
        if connection.incoming is not None:
            slot.receive(cell, connection.incoming.received)
            response.before_head = connection.incoming.answer_begins
            response.plain = False
        if self._notes_responses:
            connection.response = response
        try:
            environ = connection.environs.make(head, connection.peer)
        except Refused as refused:
            slot.end(cell)
            response.keep = False
            response.complete = connection.linger = True
            self.refuse(connection, Refused(refused.refusal, line.raw))
            return response
        environ["wsgi.input"] = body
        environ["wsgi.early_hints"] = response.early_hints
        if length >= 0:
            environ["CONTENT_LENGTH"] = str(length)
            environ.pop("HTTP_TRANSFER_ENCODING", None)
        if self._hooked:
            self._run_hooked(connection, environ, response, head)
        else:
            respond(self._application, environ, response)
        how = "ok"
        if response.flawed:
            how = self._judge(connection, response, line.raw)
        self.now = now = monotonic()
        slot.end(cell)
        prepared = response.prepared
        self._statuses.append(prepared.status_code if prepared else 0)
        self._sizes.append(response.body_sent)
        self._durations_s.append(now - started)
        if self._logs.access is not None and how:
            self._log(head, environ, response, connection, now - started, how)
        return response

    def for_another_thread(self) -> Exchange:
        """One that counts together with this one, and knows its own requests' times."""
        return copy.copy(self)

    @property
    def slot(self) -> SlotWriter:
        """Where this worker says what it is doing."""
        return self._slot

    def watch_by(self, overtime: Overtime) -> None:
        """Let requests be ended that run for too long."""
        self._overtime = overtime
        self._hooked = True

    def note_responses(self) -> None:
        """Let connections know their response while it is being made: where several run at a time."""
        self._notes_responses = True
        self._response_class = _Noted

    def count_answers(self, wait: bool = True) -> bool:
        """Add the answers since the last time to the slot's counters: to count many costs little more than one.

        A signal handler must not wait for the counting, which it may have interrupted. False: not all are counted yet.
        """
        if not self._counting.acquire(wait):
            return False
        try:
            if self._statuses:
                self._slot.count(_taken(self._statuses), _taken(self._sizes), _taken(self._durations_s))
                self._slot.counters[APPLICATION_ERRORS] += sum(_taken(self._failures))
        finally:
            self._counting.release()
        return True

    def refuse(self, connection: Connection, refused: Refused, how: str = "refused") -> None:
        """Answer a request that no application will see; the connection is to be closed after it."""
        refusal = refused.refusal
        page = self.page(refusal, refused.head_request, refused.retry_after_s)
        self._statuses.append(refusal.status)
        self._sizes.append(len(page))
        self._durations_s.append(0.0)
        self._slot.counters[REFUSED] += 1
        with contextlib.suppress(ClientGone):
            connection.send(page)
        self._logs.error.debug(
            "Refused a request of %s with %d: %s (%s)",
            connection.peer["REMOTE_ADDR"] or "a Unix socket", refusal.status, refusal.sentence, refusal.source,
        )  # fmt: skip
        self.log_unseen(connection, refused.request_line, f"{refusal.status} {refusal.reason}", _body_size(page), how)

    def skip(self, connection: Connection, request_line: bytes) -> None:
        """A request is not run, since its client has gone: log that."""
        self._logs.error.debug(
            "%s: it is not run, the client has gone", escaped(request_line.decode("latin-1"))
        )  # fmt: skip
        self.log_unseen(connection, request_line, "", 0, "client-gone")

    def log_unseen(self, connection: Connection, request_line: bytes, status: str, body_bytes: int, how: str) -> None:
        """A line for a request that no application has seen; `status` is empty where nothing was answered."""
        access = self._logs.access
        if access is not None and request_line:
            access.write(
                Served(
                    peer=connection.peer["REMOTE_ADDR"],
                    request_line=request_line.decode("latin-1"),
                    environ=None,
                    fields=(),
                    status=int(status[:3] or 0),
                    status_text=status,
                    response_fields=[],
                    body_bytes=body_bytes,
                    duration_s=0.0,
                    wall_time=time.time(),
                    pid=self._pid,
                    generation=self._generation,
                    how=how,
                )
            )

    # -- everything below is for the requests that are not plain ---------------------------------------------------

    def _run_hooked(self, connection: Connection, environ: Environ, response: Response, head: Head) -> None:
        line = head.line
        summary = RequestSummary(line.method, line.target, line.path, line.query, line.version, head.block.fields)
        if self._hooks.before is not None:
            self._hooks.before(summary)
        if self._overtime is None:
            respond(self._application, environ, response)
        else:
            self._overtime.respond(self._application, environ, response, connection, head)
        if self._hooks.after is not None:
            prepared = response.prepared
            status, fields = (prepared.status, prepared.fields) if prepared else ("", ())
            self._hooks.after(
                summary, environ, ResponseSummary(status, response.status_code, fields, response.body_sent)
            )

    def _judge(self, connection: Connection, response: Response, request_line: bytes) -> str:
        """Something went wrong: say so where it belongs, answer what can still be answered; how it ended, or ""
        where that has been logged.
        """
        if os.getpid() != self._pid:
            # A child that the application forked comes out of it here, since it could not answer: it must not go on.
            leave.child(1)
        text = escaped(request_line.decode("latin-1"))
        error, how = response.failure, "upgraded" if response.is_handed_over else "ok"
        if response.complaint is not None:
            self._logs.error.warning("%s: the application sent a wrong answer: %s", text, response.complaint)
        if response.close_failure is not None:
            if _is_departure(response.close_failure, connection):
                self._logs.error.debug("%s: the client has gone during close()", text)
            else:
                self._report(text, "raised an exception in close()", response.close_failure)
        if error is None:
            return how
        response.keep = False
        late = self._overtime and self._overtime.late_run(error)
        if late:
            self._end_late(late)
            return "" if late.is_given_up else "timeout"
        if _is_departure(error, connection):
            response.complete = False
            self._logs.error.debug("%s: the client has gone: %s", text, error)
            return "client-gone"
        if response.is_handed_over and isinstance(error, (StopIteration, ConnectionError)):
            return how  # the one by which Flask-Sock says that it has done everything, the other of a client that went
        if isinstance(error, BodyError) and not isinstance(error, RequestOver):
            self._logs.error.info("%s: %s", text, error)
            refusal, how = error.refusal, "client-gone"
        else:
            self._report(text, "raised an exception", error)
            refusal, how = SERVER_ERROR, "app-error"
        if connection.has_left:
            response.complete = False  # nobody reads a page either
        elif response.head_sent:
            self._logs.error.warning("%s: the answer had begun; the connection is cut", text)
        else:
            self._send_page(connection, response, refusal)
        return how

    def _end_late(self, run: Run) -> None:
        """The time of the request was up before its application came back."""
        connection, response = run.connection, run.response
        connection.linger = True
        response.complete = not run.had_begun
        self._note_late(run)
        if run.unsent:
            try:
                connection.send(run.unsent)
            except ClientGone:
                response.complete = False

    def log_late(self, run: Run) -> None:
        """Nobody waits any longer for this request, whose time is up: its line in the access log."""
        self._note_late(run)
        if self._logs.access is not None:
            self._log(run.head, run.environ, run.response, run.connection, monotonic() - run.since, "timeout")

    def _note_late(self, run: Run) -> None:
        """What it was answered with, where that is ours."""
        if run.page:
            run.response.prepared = self._answering.heads.begin(f"{OVERTIME.status} {OVERTIME.reason}", [])
            run.response.body_sent = _body_size(run.page)

    def _send_page(self, connection: Connection, response: Response, refusal: Refusal) -> None:
        page = self.page(refusal, response.is_head)
        response.prepared = self._answering.heads.begin(f"{refusal.status} {refusal.reason}", [])
        response.head_sent = response.complete = True
        response.body_sent = _body_size(page)
        if response.before_head is not None:
            response.before_head(True)
        try:
            connection.send(page)
        except ClientGone:
            response.complete = False

    def page(self, refusal: Refusal, is_head: bool, retry_after_s: int = 0) -> bytes:
        """The whole answer, with its head."""
        return self._answering.heads.error_page(refusal, self._answering.date_line[6:-2], is_head, retry_after_s)

    def _report(self, request_line: str, what: str, error: BaseException) -> None:
        self._failures.append(1)
        trace = without_our_frames(error.__traceback__)
        lines = "".join(traceback.format_exception(type(error), error, trace)).rstrip()
        self._logs.error.error("%s: the application %s\n%s", request_line, what, lines)

    def _log(
        self,
        head: Head,
        environ: Environ,
        response: Response,
        connection: Connection,
        duration_s: float,
        how: str,
    ) -> None:
        prepared = response.prepared
        self._logs.access.write(  # type: ignore[union-attr]
            Served(
                peer=connection.peer["REMOTE_ADDR"],
                request_line=head.line.raw.decode("latin-1"),
                environ=environ,
                fields=head.block.fields,
                status=response.status_code or 500,
                status_text=prepared.status if prepared is not None else "",
                response_fields=list(prepared.fields) if prepared is not None else [],
                body_bytes=response.body_sent,
                duration_s=duration_s,
                wall_time=time.time(),
                pid=self._pid,
                generation=self._generation,
                how=how,
            )
        )

    def complain(self, text: str, error: BaseException) -> None:
        """Something for the error log that concerns no application."""
        self._logs.error.error(text, exc_info=error)


class _Noted(Response):
    """Looks, where it begins a stream, whether the client has ended its side before that."""

    __slots__ = ()
    _sink: Connection

    def _start_stream(self, size: int) -> bytes:
        connection = self._sink
        connection.half_closed = connection.half_closed or connection.has_ended()
        return super()._start_stream(size)


def _is_departure(error: BaseException | None, connection: Connection) -> bool:
    """Whether this tells that the client has gone, and nothing else: raised by us, or by the application *from* that.

    What only came up meanwhile, in a `finally` that the departure led to, is a fault of its own.
    """
    kinds = (ClientGone, ClientLeft, ClientDisconnected) if connection.has_left else (ClientGone, ClientLeft)
    seen = set()  # an error may be its own cause
    while error is not None and id(error) not in seen:
        if isinstance(error, kinds):
            return True
        seen.add(id(error))
        error = error.__cause__
    return False


def _taken(numbers: list[Any]) -> list[Any]:
    """What is in the list, which it then isn't any more; what another thread appends meanwhile stays."""
    taken = numbers[:]
    del numbers[: len(taken)]
    return taken


def _body_size(page: bytes) -> int:
    return len(page) - page.index(b"\r\n\r\n") - 4


def without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the application's first frame on; all of it where the fault is on our side of the border."""
    own = sys.modules[respond.__module__].__file__
    while trace is not None and trace.tb_next is not None and trace.tb_frame.f_code.co_filename == own:
        trace = trace.tb_next
    return trace
