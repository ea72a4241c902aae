"""The warm-up: requests that a template runs before it forks, so that what the first ones cost is paid once and shared.

The application gets them as it would in a worker, but for `environ["paste_unicorn.warmup"]`; what it answers goes
nowhere.
"""

from __future__ import annotations

import logging
import os
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ..http.refusals import Refused
from ..http.response import ResponseHeads
from ..process import leave
from ..process.identity import acting_as_user
from ..process.messages import shortened
from ..settings.warmup import WarmupRequest
from ..workers.exchange import without_our_frames
from ..workers.fittings import make_environs, make_parser
from ..wsgi.environ import peer_environ
from ..wsgi.file_wrapper import FileRegion
from ..wsgi.gateway import Answering, Response, respond
from .loading import LoadProblem, threads_of_the_application

if TYPE_CHECKING:
    from ..http.request import Head
    from ..ops.logs import Logs
    from ..settings.addresses import Address
    from ..settings.resolve import Settings

MARK = "paste_unicorn.warmup"  # in the environ: nobody waits for the answer, and workers will be forked from here

_PEER = peer_environ("127.0.0.1", "0")
_EVERY_ADDRESS = ("0.0.0.0", "::")
_FAILED = 500


class _Nowhere:
    """A sink for what nobody reads."""

    def send(self, data: bytes, is_last: bool = False) -> None:
        """Gone."""

    def send_parts(self, parts: Sequence[bytes]) -> None:
        """Gone."""

    def send_file(self, region: FileRegion) -> None:
        """Never called: without `use_sendfile` files are read to their end like any body."""


@dataclass(frozen=True)
class _Outcome:
    status: str  # '' where the application has not called start_response
    took_s: float
    failure: str = ""  # what went wrong
    trace: str = ""


def warm_up(application: Callable[..., Any], settings: Settings, logs: Logs) -> None:
    """Run the requests of `warmup`, one after the other, and say in one line how they went.

    Raises LoadProblem at the first that fails, where `warmup_required` says so, and OSError where this process can't
    act as `user`. The deadline is the arbiter's: boot_timeout.
    """
    processes = settings.processes
    if not processes.warmup:
        return
    threads_before = set(threads_of_the_application())
    warming = _Warming(application, settings, logs.error_fd)
    said: list[str] = []
    level = logging.INFO
    began = time.monotonic()
    with acting_as_user(processes):
        for request in processes.warmup:
            # The last word, should boot_timeout end a template whose application hangs.
            logs.error.debug("Warm-up: %s", request)
            outcome = warming.run(request)
            if outcome.failure:
                problem = _describe(request, outcome)
                if processes.warmup_required:
                    raise LoadProblem(problem)
                logs.error.warning("%s\nThe start goes on, since warmup_required is false", problem)
            if outcome.failure or outcome.status >= "4":
                level = logging.WARNING  # hardly anything was warmed up
            said.append(f"{request}: {outcome.status.partition(' ')[0] or 'no answer'} in {outcome.took_s:.2f} s")
    logs.error.log(level, "Warmed up in %.2f s (%s)", time.monotonic() - began, ", ".join(said))
    if threads := sorted(set(threads_of_the_application()) - threads_before):
        logs.error.warning(
            "The application started threads during the warm-up (%s); they don't exist in workers. Start them in the "
            "hook post_fork", ", ".join(threads),
        )  # fmt: skip


def _no_upload(upload: bytes) -> None:
    """There are no uploads yet."""


class _Warming:
    """What all requests of a warm-up have in common."""

    def __init__(self, application: Callable[..., Any], settings: Settings, error_fd: int) -> None:
        self._application = application
        self._parser = make_parser(settings)
        self._answering = Answering(ResponseHeads(settings.requests.server_header), b"", use_sendfile=False)
        name, port = _server(settings.sockets.bind)
        self._environs = make_environs(
            settings, error_fd, name, port, trusted=False, own={"gunicorn.uploads": _no_upload}
        )  # fmt: skip
        host = "localhost" if name in _EVERY_ADDRESS else f"[{name}]" if ":" in name else name
        self._host = host if port == "80" else f"{host}:{port}"

    def run(self, request: WarmupRequest) -> _Outcome:
        began = time.monotonic()
        pid = os.getpid()
        try:
            head = self._head(request)
        except Refused as refused:
            return _Outcome("", 0.0, f"a worker would refuse it: {refused.refusal.sentence}")
        response = Response(self._answering, _Nowhere(), head.line, keep=True)
        environ = self._environs.make(head, _PEER)
        environ["wsgi.input"] = BytesIO()
        environ["wsgi.early_hints"] = response.early_hints
        if request.scheme:
            environ["wsgi.url_scheme"] = request.scheme
        environ[MARK] = True
        respond(self._application, environ, response)
        if os.getpid() != pid:
            # A child that the application forked comes out of it here: it must not become a second template.
            leave.child(1)
        took_s = time.monotonic() - began
        status = response.prepared.status if response.prepared is not None else ""
        for error, where in ((response.failure, ""), (response.close_failure, " in close()")):
            if error is not None:
                return _Outcome(status, took_s, f"the application raised an exception{where}", _trace(error))
        if response.status_code >= _FAILED:
            return _Outcome(status, took_s, f"the application answered {status}")
        return _Outcome(status, took_s)

    def _head(self, request: WarmupRequest) -> Head:
        """Through the parser, so that a worker could not understand it otherwise."""
        lines = (
            f"{request.method} {request.target} HTTP/1.1",
            f"Host: {request.host or self._host}",
            "User-Agent: paste_unicorn (warm-up)",
        )
        head = self._parser.parse("\r\n".join((*lines, "", "")).encode("ascii"))
        assert head is not None
        return head


def _server(addresses: Iterable[Address]) -> tuple[str, str]:
    """SERVER_NAME and SERVER_PORT, as near as they are known before the listeners are open."""
    for address in addresses:
        if address.kind == "tcp":
            return "0.0.0.0" if address.host == "*" else address.host, str(address.port)
    return "localhost", "80"


def _describe(request: WarmupRequest, outcome: _Outcome) -> str:
    said = f"Warm-up request {request}: {outcome.failure} after {outcome.took_s:.2f} s"
    if not outcome.trace:
        return said
    return shortened(f"{said}\n{outcome.trace}")


def _trace(error: BaseException) -> str:
    trace = without_our_frames(error.__traceback__)
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()
