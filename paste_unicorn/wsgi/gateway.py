"""Calls the application: `start_response`, `write`, the iterable, `close`; what happened stays in the `Response`.

PEP 3333. An answer leaves through a *sink*, which takes bytes and decides by itself whether to send, to hold or to
wait. Nothing is logged here and nothing but the sink's own failure gets out of `respond`: what the application raised
is in `Response.failure`, for the caller to judge.

Hot: an application that returns a list or tuple of blocks passes `respond`, `start_response`, `ResponseHeads.begin`
and `_finish_whole`, each once; the head of a plain answer is put together once a second.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from ..http.request import RequestLine
from ..http.response import (
    CHUNK_ENDS,
    CHUNKED,
    CLOSES,
    LAST_CHUNK,
    NO_BODY,
    SIZED,
    SWITCHED,
    UNTIL_CLOSE,
    Framing,
    Prepared,
    ResponseHeads,
    chunk,
    chunk_begins,
    early_hints,
    frame,
)
from .environ import Environ
from .file_wrapper import FileRegion, FileWrapper
from .mistakes import GatewayError, joined, no_body, not_bytes

Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Fields = list[tuple[str, str]]

LARGE_BLOCK = 8192  # bytes from which to copy a block costs more than to send it in parts
_NOT_STREAMED = Framing(NO_BODY, b"", False, None)


class Sink(Protocol):
    """Where an answer goes. Every call takes all that it is given; ConnectionError: nobody is there to read it.

    `is_last`: nothing but the end of the connection follows, and nothing of the application runs before that.
    """

    def send(self, data: bytes, is_last: bool = False) -> None: ...

    def send_parts(self, parts: Sequence[bytes]) -> None: ...

    def send_file(self, region: FileRegion) -> None: ...


class Answering:
    """What all answers of a worker have in common. `date_line` is renewed by the worker, once a second."""

    def __init__(self, heads: ResponseHeads, date_line: bytes, use_sendfile: bool) -> None:
        self.heads = heads
        self.date_line = date_line
        self.use_sendfile = use_sendfile
        self.closing = False  # the worker is leaving: no answer from now on promises another one


class Response:
    """The answer to one request: what the application said of it, and what of it has left."""

    __slots__ = (
        "_answering", "_framing", "_line", "_sink", "before_head", "body_sent", "close_failure", "complaint",
        "complete", "failure", "flawed", "head_sent", "keep", "plain", "prepared", "told",
    )  # fmt: skip

    def __init__(self, answering: Answering, sink: Sink, line: RequestLine, keep: bool) -> None:
        self._answering = answering
        self._sink = sink
        self._line = line
        self.keep = keep  # whether the connection may serve another request after this one
        self.plain = line.plain  # the head says nothing of the connection but that it ends; the body is not left out
        self.prepared: Prepared | None = None  # status and fields, as `start_response` was last told
        self.head_sent = False
        self.body_sent = 0  # bytes of the body given to the sink, without their framing
        self.complete = False  # the body has been given to the sink to its end
        self.flawed = False  # one of the next three is set, or the connection was handed over
        self.failure: BaseException | None = None  # what the application, or the sink, raised
        self.close_failure: BaseException | None = None  # what the iterable's close() raised
        self.complaint: str | None = None  # a wrong Content-Length that was put right
        # Told when the head leaves, and whether the application has said all by then; may the connection be kept?
        self.before_head: Callable[[bool], bool] | None = None
        self.told: tuple[int, ...] = ()  # threads, or greenlets, that only clean up: see `note_told`
        self._framing = _NOT_STREAMED

    @property
    def is_head(self) -> bool:
        return self._line.method == "HEAD"

    @property
    def ends_with_connection(self) -> bool:
        """Whether the client knows the end of the body only by the end of the connection."""
        return self._framing.how == UNTIL_CLOSE

    @property
    def is_handed_over(self) -> bool:
        """Whether the application has taken the connection over."""
        return self.prepared is SWITCHED

    @property
    def status_code(self) -> int:
        """0 as long as the application has not called start_response."""
        return self.prepared.status_code if self.prepared is not None else 0

    @property
    def takes_interim(self) -> bool:
        """Whether an interim answer (RFC 9110 §15.2) may leave now."""
        return self._line.http11 and not self.head_sent

    # -- what the application calls ------------------------------------------------------------------------------

    def start_response(
        self, status: str, fields: Fields, exc_info: tuple[Any, Any, Any] | None = None
    ) -> Callable[[bytes], None]:
        """PEP 3333, "The start_response() Callable". Raises BadResponse for what may not go on the wire."""
        if exc_info is not None:
            try:
                if self.head_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # no cycle through the traceback
        elif self.prepared is not None:
            if self.is_handed_over:
                return self.write
            raise GatewayError("start_response was called a second time without exc_info")
        self.prepared = self._answering.heads.begin(status, fields)
        return self.write

    def write(self, data: bytes) -> None:
        """PEP 3333, "The write() Callable": the data has left, or is on its way, when this returns."""
        if self.complete:
            raise GatewayError("write() was called after the answer was complete")
        if data:
            try:
                self._send_block(data)
            except ConnectionError:
                self.note_told()
                raise

    def early_hints(self, fields: Fields) -> None:
        """`wsgi.early_hints`: a 103 before the answer (RFC 8297); nothing for HTTP/1.0 or once the head has left."""
        if self.takes_interim:
            try:
                self._sink.send(early_hints(fields))
            except ConnectionError:
                self.note_told()
                raise

    # -- what the server calls -----------------------------------------------------------------------------------

    def note_told(self) -> None:
        """Whoever calls this in the application learns just now that its client has gone, or has given all it had."""
        self.told += (_thread.get_ident(),)  # a greenlet's own, where a worker class has replaced it

    def only_cleans_up(self, ident: int) -> bool:
        """Whether this thread, or greenlet, of the application needs no word any more that its client has gone."""
        return self.complete or ident in self.told

    def hand_over(self) -> None:
        """The application takes the connection over, and answers there by itself: what it says here is not sent.

        Raises GatewayError where the answer has begun.
        """
        if self.head_sent:
            raise GatewayError("the answer has begun: its connection can't be taken over any more")
        self._settle_keep(said_all=False)
        self.prepared = SWITCHED
        self.head_sent = self.complete = self.flawed = True
        self.keep = False

    def _finish_whole(self, body: bytes, has_close: bool = False) -> None:
        """The whole body is known: head and body in one piece, with the true length.

        `has_close`: the iterable's close() comes behind it.
        """
        prepared = self.prepared
        if self.head_sent or prepared is None or type(body) is not bytes:
            self._finish_otherwise(body)
            return
        length = len(body)
        answering = self._answering
        date_line = answering.date_line
        self.head_sent = self.complete = True
        if self.plain and prepared.plain_length == length:
            self.body_sent = length
            if not self.keep or answering.closing:
                self.keep = False
                self._sink.send(b"".join((prepared.prefix, date_line, CLOSES, body)), not has_close)
                return
            if prepared.stamp is not date_line:
                prepared.stamp_with(date_line)
            self._sink.send(prepared.stamped + body)
            return
        prepared = self._put_right(prepared, length)
        framing = frame(prepared, self._line.http11, self.is_head, self.keep, length)
        if framing.how != SIZED:
            body = b""
        self.body_sent = len(body)
        head = b"".join((prepared.prefix, b"" if prepared.has_date else date_line, framing.suffix))
        self._sink.send(head + body, not (self.keep or has_close))

    def _finish_otherwise(self, body: bytes) -> None:
        """The same where write() came first, or the application broke a rule."""
        if type(body) is not bytes:
            raise not_bytes(body)
        if not self.head_sent:
            raise GatewayError("the application returned without calling start_response")
        if body:
            self._send_block(body)
        self._finish()

    def _put_right(self, prepared: Prepared, length: int) -> Prepared:
        """The body's length is known: a wrong Content-Length goes; so does a connection whose body nobody asked for."""
        said = prepared.content_length
        if said is not None and said != length and not prepared.bodiless and (length or not self.is_head):
            self.complaint = f"Content-Length said {said}, the body has {length} bytes"
            self.flawed = True
            prepared = self.prepared = self._answering.heads.without_length(prepared)
        self._settle_keep(said_all=True)
        return prepared

    def _settle_keep(self, said_all: bool) -> None:
        """The head is about to leave, and with it the promise of another answer."""
        may_keep = self.before_head is None or self.before_head(said_all)  # called in any case
        if self._answering.closing or not may_keep:
            self.keep = False

    def _start_stream(self, size: int) -> bytes:
        """The head of a body of which only the beginning is known: so many bytes."""
        prepared = self.prepared
        if prepared is None:
            raise GatewayError("a part of the body came before start_response was called")
        self._settle_keep(said_all=size == prepared.content_length)
        self._framing = framing = frame(prepared, self._line.http11, self.is_head, self.keep, None)
        self.keep = framing.keep
        self.head_sent = True
        date_line = b"" if prepared.has_date else self._answering.date_line
        return b"".join((prepared.prefix, date_line, framing.suffix))

    def _send_block(self, data: bytes) -> bool:
        """Send a part of the body, or what of it may be sent; whether the client has all now that it will be given."""
        if not isinstance(data, bytes):
            raise not_bytes(data)
        head = b"" if self.head_sent else self._start_stream(len(data))
        framing = self._framing
        is_enough = False
        if framing.how == NO_BODY:
            data, is_enough = b"", True
        elif framing.length is not None and self.body_sent + len(data) > framing.length:
            self.flawed = True
            self.complaint = f"the body went on after the {framing.length} bytes of its Content-Length"
            data = data[: framing.length - self.body_sent]
        self.body_sent += len(data)
        if self.body_sent == framing.length:
            is_enough = True
        if data:
            if framing.how != CHUNKED:
                self._sink.send(head + data)
            elif len(data) < LARGE_BLOCK:
                self._sink.send(head + chunk(data))
            else:
                self._sink.send_parts((head + chunk_begins(len(data)), data, CHUNK_ENDS))
        elif head:
            self._sink.send(head)
        return is_enough

    def _send_region(self, region: FileRegion) -> None:
        """A file that the kernel sends by itself: its length is known."""
        prepared = self.prepared
        if prepared is None:
            raise GatewayError("the application returned without calling start_response")
        length = region.length
        if prepared.content_length is not None and prepared.content_length < length:
            length = prepared.content_length  # the application wants only a part of it
        prepared = self._put_right(prepared, length)
        framing = frame(prepared, self._line.http11, self.is_head, self.keep, length)
        self.head_sent = True
        date_line = b"" if prepared.has_date else self._answering.date_line
        self._sink.send(prepared.prefix + date_line + framing.suffix)
        if length and framing.how == SIZED:
            self._sink.send_file(region._replace(length=length))
            self.body_sent = length
        self.complete = True

    def _finish(self) -> None:
        """The iterable is at its end."""
        if not self.head_sent:
            self._finish_whole(b"", True)
            return
        framing = self._framing
        if framing.how == CHUNKED:
            self._sink.send(LAST_CHUNK)
        elif framing.length is not None and self.body_sent < framing.length:
            raise GatewayError(
                f"the body ended after {self.body_sent} of the {framing.length} bytes of its Content-Length"
            )
        self.complete = True

    def _iterate(self, result: Iterable[bytes]) -> None:
        """Each item leaves at once; the first that is not empty fixes the head.

        Where the client has enough (PEP 3333, "Handling the Content-Length Header": the server should stop), one more
        item is asked for: most applications are at their end then, and what they do behind their last `yield`, as
        middleware that commits a transaction there, is done. An application that goes on is closed.
        """
        alone = _length_of(result) == 1
        is_enough = False
        for item in result:
            if alone and not self.head_sent:
                self._finish_whole(item, True)
                return
            if item:
                was_enough, is_enough = is_enough, self._send_block(item)
                if was_enough:
                    break
            elif not isinstance(item, bytes):
                raise not_bytes(item)
        self._finish()


def respond(application: Application, environ: Environ, response: Response) -> None:
    """Call the application and send what it answers. Raises nothing: see `failure` and `close_failure`."""
    try:
        result = application(environ, response.start_response)
        if type(result) is list and len(result) == 1:
            response._finish_whole(result[0])
        elif type(result) is list or type(result) is tuple:
            response._finish_whole(joined(result))
        else:
            _respond_at_length(result, response)
    except BaseException as error:
        # Whatever it is: an application's SystemExit must not end the worker.
        if type(error) is GatewayError:
            error.name(application)
        response.failure = error
        response.flawed = True


def _respond_at_length(result: Iterable[bytes], response: Response) -> None:
    """Send what an iterable gives, and close it."""
    try:
        if type(result) is FileWrapper and response._answering.use_sendfile and not response.head_sent:
            region = result.region()
            if region is not None:
                response._send_region(region)
                return
        response._iterate(result)
    except (TypeError, GatewayError):
        mistake = no_body(result)
        if mistake is None:
            raise
        raise mistake from None
    finally:
        response.note_told()
        close = getattr(result, "close", None)
        if close is not None:
            try:
                close()
            except BaseException as error:
                response.close_failure = error
                response.flawed = True


def _length_of(result: Iterable[bytes]) -> int | None:
    """len() of an iterable, if the call succeeds (PEP 3333, "Handling the Content-Length Header")."""
    try:
        return len(result)  # type: ignore[arg-type]
    except Exception:  # TypeError: it has none; a wrapper that asks what it wraps raises AttributeError, for example
        return None
