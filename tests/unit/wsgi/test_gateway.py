"""What reaches the wire for what an application does (PEP 3333)."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

from paste_unicorn.http.request import RequestLine
from paste_unicorn.http.response import ResponseHeads
from paste_unicorn.wsgi.file_wrapper import FileRegion, FileWrapper
from paste_unicorn.wsgi.gateway import Answering, Response, respond
from paste_unicorn.wsgi.mistakes import GatewayError

DATE = b"Date: Tue, 24 Nov 2026 12:00:00 GMT\r\n"
PLAIN = [("Content-Type", "text/plain")]
LENGTH_4 = [("Content-Length", "4")]


class Wire:
    """A sink that keeps what it is given, and in which portions."""

    def __init__(self) -> None:
        self.portions: list[bytes] = []
        self.is_ended = False
        self.regions: list[FileRegion] = []

    def send(self, data: bytes, is_last: bool = False) -> None:
        self.portions.append(bytes(data))
        self.is_ended = is_last

    def send_parts(self, parts: Sequence[bytes]) -> None:
        self.portions.append(b"".join(parts))

    def send_file(self, region: FileRegion) -> None:
        self.regions.append(region)

    @property
    def head(self) -> bytes:
        return b"".join(self.portions).split(b"\r\n\r\n", 1)[0]

    @property
    def fields(self) -> dict[str, str]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}

    @property
    def body(self) -> bytes:
        return b"".join(self.portions).split(b"\r\n\r\n", 1)[1]


class Items:
    """An iterable that counts how often it was closed."""

    def __init__(self, items: Iterable[Any]) -> None:
        self.items = items
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        yield from self.items

    def close(self) -> None:
        self.closed += 1


class Sized(Items):
    """One that knows how many there are."""

    def __len__(self) -> int:
        return len(self.items)  # type: ignore[arg-type]


def line_of(method: str, http11: bool) -> RequestLine:
    return RequestLine(b"", method, "/", "/", "", http11, None, "origin")


def call(
    app: Callable[..., Any],
    *,
    http11: bool = True,
    is_head: bool = False,
    keep: bool = True,
    sendfile: bool = True,
) -> tuple[Wire, Response]:
    wire = Wire()
    answering = Answering(ResponseHeads("paste_unicorn"), DATE, sendfile)
    response = Response(answering, wire, line_of("HEAD" if is_head else "GET", http11), keep)
    respond(app, {}, response)
    return wire, response


def answering(result: Any, status: str = "200 OK", fields: list[tuple[str, str]] = PLAIN) -> Callable[..., Any]:
    def app(environ: Any, start_response: Any) -> Any:
        start_response(status, list(fields))
        return result

    return app


def test_one_block_gets_its_length_and_leaves_in_one_portion() -> None:
    wire, response = call(answering([b"hello"]))
    assert wire.portions == [
        b"HTTP/1.1 200 OK\r\nServer: paste_unicorn\r\nContent-Type: text/plain\r\n"
        + DATE
        + b"Content-Length: 5\r\n\r\nhello"
    ]
    assert response.complete
    assert response.keep
    assert response.body_sent == 5


@pytest.mark.parametrize("fields", [PLAIN, [*PLAIN, ("Content-Length", "3")]], ids=["counted", "said"])
@pytest.mark.parametrize("keep", [True, False])
def test_the_end_of_the_connection_is_told_with_the_last_answer(keep: bool, fields: list[tuple[str, str]]) -> None:
    """But where the application may take its time before that: in close()."""
    wire, _ = call(answering([b"abc"], fields=fields), keep=keep)
    assert wire.is_ended == (not keep)
    for result in ([b"abc"], []):
        wire, _ = call(answering(Sized(result), fields=PLAIN), keep=keep)
        assert not wire.is_ended


@pytest.mark.parametrize("result", [[b"a", b"", b"bc"], (b"abc",), [], [b""]])
def test_lists_and_tuples_have_a_known_length(result: Any) -> None:
    wire, _ = call(answering(result))
    assert wire.fields["content-length"] == str(len(b"".join(result)))
    assert wire.body == b"".join(result)


def test_an_iterable_whose_len_is_one_gets_its_length() -> None:
    class One:
        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[bytes]:
            yield b"only"

    wire, _ = call(answering(One()))
    assert wire.fields["content-length"] == "4"


@pytest.mark.parametrize("error", [TypeError, AttributeError, NotImplementedError, ValueError])
def test_an_iterable_that_can_t_tell_its_len_is_sent(error: type[Exception]) -> None:
    class Untold(Items):
        def __len__(self) -> int:
            raise error("no length here")

    items = Untold([b"ab", b"c"])
    wire, response = call(answering(items))
    assert wire.body == b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    assert (response.failure, response.complete, items.closed) == (None, True, 1)


def test_what_comes_into_len_from_outside_ends_the_request() -> None:
    class Interruption(BaseException):
        """As the end of a request's time is."""

    class Slow(Items):
        def __len__(self) -> int:
            raise Interruption

    _, response = call(answering(Slow([b"ab"])))
    assert type(response.failure) is Interruption


def test_items_leave_at_once_in_chunks() -> None:
    wire, response = call(answering(Items([b"", b"ab", b"", b"c"])))
    assert wire.fields["transfer-encoding"] == "chunked"
    assert wire.body == b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    assert len(wire.portions) == 3
    assert response.body_sent == 3


def test_for_http10_the_end_of_the_connection_is_the_end_of_the_body() -> None:
    wire, response = call(answering(Items([b"ab", b"c"])), http11=False)
    assert "transfer-encoding" not in wire.fields
    assert wire.fields["connection"] == "close"
    assert wire.body == b"abc"
    assert not response.keep


def test_http10_keep_alive_is_said() -> None:
    wire, _ = call(answering([b"x"]), http11=False)
    assert wire.fields["connection"] == "keep-alive"


def test_an_iterable_of_nothing_has_length_zero() -> None:
    wire, _ = call(answering(Items([b"", b""])))
    assert wire.fields["content-length"] == "0"
    assert wire.body == b""


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("result", [[b"not allowed"], Items([b"not", b"allowed"])])
def test_bodiless_statuses_have_no_body(status: str, result: Any) -> None:
    wire, response = call(answering(result, status, []))
    assert wire.body == b""
    assert "transfer-encoding" not in wire.fields
    assert response.complete


@pytest.mark.parametrize("result", [[b"hello"], Items([b"hel", b"lo"])])
def test_head_gets_no_body(result: Any) -> None:
    wire, response = call(answering(result), is_head=True)
    assert wire.body == b""
    assert response.complete
    assert wire.fields.get("content-length", "5") == "5"


def test_head_keeps_the_length_that_the_application_gave() -> None:
    wire, _ = call(answering([], fields=[("Content-Length", "77")]), is_head=True)
    assert wire.fields["content-length"] == "77"


@pytest.mark.parametrize("said", ["4", "6"])
def test_a_wrong_length_of_a_known_body_is_put_right(said: str) -> None:
    wire, response = call(answering([b"hello"], fields=[("Content-Length", said), *PLAIN]))
    assert wire.head.lower().count(b"content-length") == 1
    assert wire.fields["content-length"] == "5"
    assert response.complaint is not None


def test_a_stream_longer_than_its_length_is_cut_at_it() -> None:
    wire, response = call(answering(Items([b"abc", b"def"]), fields=[("Content-Length", "4")]))
    assert wire.body == b"abcd"
    assert response.complete
    assert response.complaint is not None


def test_a_stream_shorter_than_its_length_is_not_complete() -> None:
    _, response = call(answering(Items([b"abc"]), fields=[("Content-Length", "4")]))
    assert not response.complete
    assert isinstance(response.failure, GatewayError)


class Counted(Items):
    """The same, and how many of its items were asked for; whether it was at its end."""

    asked_for = 0
    ended = False

    def __iter__(self) -> Iterator[Any]:
        for item in self.items:
            self.asked_for += 1
            yield item
        self.ended = True


ENOUGH: dict[str, tuple[str, list[tuple[str, str]], bool, list[bytes]]] = {
    # status, fields, whether the request is a HEAD, the first items
    "HEAD": ("200 OK", PLAIN, True, []),
    "HEAD with a length": ("200 OK", LENGTH_4, True, []),
    "204": ("204 No Content", [], False, []),
    "304": ("304 Not Modified", [], False, []),
    "length reached": ("200 OK", LENGTH_4, False, [b"abcd"]),
    "length passed": ("200 OK", LENGTH_4, False, [b"abcde"]),
    "length 0": ("200 OK", [("Content-Length", "0")], False, []),
}


@pytest.mark.parametrize("name", ENOUGH)
def test_an_endless_body_of_which_no_more_is_sent_is_closed(name: str) -> None:
    status, fields, is_head, first = ENOUGH[name]
    result = Counted(itertools.chain(first, itertools.repeat(b"x")))
    _, response = call(answering(result, status, fields), is_head=is_head)
    assert (result.asked_for, result.closed, response.complete, response.failure) == (2, 1, True, None)
    assert (response.complaint is not None) == name.startswith("length")


@pytest.mark.parametrize("name", ENOUGH)
@pytest.mark.parametrize("empty", [0, 3])
def test_an_application_whose_end_comes_next_is_run_to_it(name: str, empty: int) -> None:
    """Middleware commits a transaction there."""
    status, fields, is_head, first = ENOUGH[name]
    result = Counted([*(first or [b"x"]), *[b""] * empty])
    _, response = call(answering(result, status, fields), is_head=is_head)
    assert (result.ended, result.closed, response.complete) == (True, 1, True)
    assert (response.complaint is not None) == (name in ("length passed", "length 0"))


def test_write_reaches_only_the_length_that_was_said() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", LENGTH_4)
        for _ in range(5):
            write(b"abc")
        return result

    result = Counted(itertools.repeat(b"x"))
    wire, response = call(app)
    assert (wire.body, response.complete, result.asked_for, result.closed) == (b"abca", True, 2, 1)
    assert response.complaint is not None


def test_write_leaves_before_the_iterable() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [])
        write(b"first ")
        write(b"")
        return [b"second"]

    wire, response = call(app)
    assert wire.body == b"6\r\nfirst \r\n6\r\nsecond\r\n0\r\n\r\n"
    assert response.complete


def test_a_write_that_was_kept_does_not_reach_the_next_answer() -> None:
    kept: list[Callable[[bytes], None]] = []

    def app(environ: Any, start_response: Any) -> Any:
        kept.append(start_response("200 OK", []))
        yield b"all"

    wire, _ = call(app)
    before = list(wire.portions)
    with pytest.raises(GatewayError):
        kept[0](b"INJECTED")
    assert wire.portions == before


def test_exc_info_replaces_the_head_before_it_is_sent() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("X-A", "1")])
        try:
            raise ValueError("x")
        except ValueError:
            import sys

            start_response("500 Oops", [("X-B", "2")], sys.exc_info())
        return [b"sorry"]

    wire, _ = call(app)
    assert wire.head.startswith(b"HTTP/1.1 500 Oops\r\n")
    assert "x-a" not in wire.fields
    assert wire.fields["x-b"] == "2"


def test_exc_info_is_raised_again_once_the_head_is_sent() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        write = start_response("200 OK", [])
        write(b"begun")
        try:
            raise ValueError("x")
        except ValueError:
            import sys

            start_response("500 Oops", [], sys.exc_info())
        return [b"never"]

    _, response = call(app)
    assert isinstance(response.failure, ValueError)
    assert not response.complete


def test_start_response_twice_without_exc_info_fails() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        start_response("200 OK", [])
        return [b""]

    _, response = call(app)
    assert isinstance(response.failure, GatewayError)


def test_an_application_that_never_calls_start_response_fails() -> None:
    _, response = call(lambda environ, start_response: [b"x"])
    assert isinstance(response.failure, GatewayError)
    _, response = call(lambda environ, start_response: Items([b"x"]))
    assert isinstance(response.failure, GatewayError)


def test_start_response_may_come_with_the_first_item() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [])
        yield b"late"

    wire, _ = call(app)
    assert wire.body == b"4\r\nlate\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    "result", [["text"], [b"a", "text"], Items(["text"]), b"bytes", "text", None, 7, [bytearray(b"x")]]
)
def test_what_is_not_an_iterable_of_bytes_fails(result: Any) -> None:
    wire, response = call(answering(result))
    assert response.failure is not None
    assert wire.portions == []


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_nothing_that_the_application_raises_gets_out(error: type[BaseException]) -> None:
    def app(environ: Any, start_response: Any) -> Any:
        raise error("x")

    wire, response = call(app)
    assert isinstance(response.failure, error)
    assert wire.portions == []


@pytest.mark.parametrize("items", [[b"a"], [], [b"a", "wrong"]])
@pytest.mark.parametrize("is_head", [True, False])
def test_close_is_called_once(items: list[Any], is_head: bool) -> None:
    result = Items(items)
    call(answering(result), is_head=is_head)
    assert result.closed == 1


def test_close_is_called_when_the_iteration_fails_and_its_own_failure_is_kept_apart() -> None:
    class Bad(Items):
        def __iter__(self) -> Iterator[bytes]:
            raise ValueError("iteration")

        def close(self) -> None:
            super().close()
            raise KeyError("close")

    result = Bad([])
    _, response = call(answering(result))
    assert result.closed == 1
    assert isinstance(response.failure, ValueError)
    assert isinstance(response.close_failure, KeyError)


def test_a_failed_close_leaves_the_answer_complete() -> None:
    class Bad(Items):
        def close(self) -> None:
            raise KeyError("close")

    wire, response = call(answering(Bad([b"x"])))
    assert response.complete
    assert response.failure is None
    assert wire.body.endswith(b"0\r\n\r\n")


def test_a_file_leaves_as_a_region_with_its_length(tmp_path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        file.read(4)
        wire, response = call(answering(FileWrapper(file)))
        assert [region[1:] for region in wire.regions] == [(4, 6)]
    assert wire.fields["content-length"] == "6"
    assert response.complete
    assert response.body_sent == 6


def test_a_file_is_cut_to_the_length_that_was_said(tmp_path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        wire, _ = call(answering(FileWrapper(file), fields=[("Content-Length", "3")]))
    assert [region[1:] for region in wire.regions] == [(0, 3)]
    assert wire.fields["content-length"] == "3"


def test_without_sendfile_a_file_is_read(tmp_path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        wire, _ = call(answering(FileWrapper(file, 4)), sendfile=False)
    assert wire.regions == []
    assert wire.body == b"4\r\n0123\r\n4\r\n4567\r\n2\r\n89\r\n0\r\n\r\n"


def test_other_filelikes_are_read() -> None:
    wire, _ = call(answering(FileWrapper(io.BytesIO(b"abc"))))
    assert wire.body == b"3\r\nabc\r\n0\r\n\r\n"


def test_early_hints_come_before_the_answer_and_never_after() -> None:
    wire = Wire()
    response = Response(Answering(ResponseHeads(""), DATE, True), wire, line_of("GET", True), True)

    def app(environ: Any, start_response: Any) -> Any:
        response.early_hints([("Link", "</style.css>; rel=preload")])
        start_response("200 OK", [])
        yield b"x"
        response.early_hints([("Link", "</late.css>")])

    respond(app, {}, response)
    assert wire.portions[0] == b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
    assert not any(b"late.css" in portion for portion in wire.portions)


def test_a_client_that_has_gone_ends_the_iteration_and_closes() -> None:
    class Broken(Wire):
        def send(self, data: bytes, is_last: bool = False) -> None:
            if self.portions:
                raise ConnectionResetError("gone")
            super().send(data)

    result = Items(b"x" for _ in range(1000))
    wire = Broken()
    response = Response(Answering(ResponseHeads(""), DATE, True), wire, line_of("GET", True), True)
    respond(answering(result), {}, response)
    assert isinstance(response.failure, ConnectionResetError)
    assert result.closed == 1


@pytest.mark.parametrize("kind", [list, tuple, iter, Items, lambda items: FileWrapper(io.BytesIO(b"".join(items)))])
@pytest.mark.parametrize("starts", [False, True])
def test_nothing_is_sent_of_an_answer_whose_connection_was_handed_over(kind: Any, starts: bool) -> None:
    wire = Wire()
    response = Response(Answering(ResponseHeads(""), DATE, True), wire, line_of("GET", True), True)

    def app(environ: Any, start_response: Any) -> Any:
        response.hand_over()
        if starts:
            start_response("200 OK", PLAIN)
        return kind([b"x", b"", b"y"])

    respond(app, {}, response)
    assert wire.portions == []
    assert (response.failure, response.status_code, response.keep, response.complete) == (None, 101, False, True)
    assert response.flawed


def test_a_connection_is_not_handed_over_in_the_middle_of_an_answer() -> None:
    wire = Wire()
    response = Response(Answering(ResponseHeads(""), DATE, True), wire, line_of("GET", True), True)

    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", PLAIN)
        yield b"x"
        with pytest.raises(GatewayError):
            response.hand_over()
        yield b"y"

    respond(app, {}, response)
    assert (response.failure, wire.body) == (None, b"1\r\nx\r\n1\r\ny\r\n0\r\n\r\n")


# -- what a mistake is called ----------------------------------------------------------------------------------


class Nothing:
    def __call__(self, environ: Any, start_response: Any) -> Any:
        start_response("200 OK", PLAIN)

    def method(self, environ: Any, start_response: Any) -> Any:
        return self(environ, start_response)


@pytest.mark.parametrize("app", [Nothing(), Nothing().method])
def test_who_returned_nothing_is_named(app: Callable[..., Any]) -> None:
    _, response = call(app)
    name = f"{__name__}.Nothing{'.method' if hasattr(app, '__func__') else ''}"
    assert str(response.failure).startswith("the application returned None; it must return an iterable of bytes")
    assert str(response.failure).endswith(f" (called was {name})")


def test_a_type_error_of_the_application_stays_what_it_is() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", PLAIN)
        yield b"x" + None  # type: ignore[operator]

    _, response = call(app)
    assert type(response.failure) is TypeError


def test_what_has_only_getitem_is_an_iterable() -> None:
    class Old:
        def __getitem__(self, number: int) -> bytes:
            return [b"a", b"bc"][number]

    wire, response = call(answering(Old(), fields=[("Content-Length", "3")]))
    assert (wire.body, response.failure) == (b"abc", None)
