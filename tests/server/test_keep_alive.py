"""RFC 9112 §9: which connections stay open, pipelining, and bodies that nobody read."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.checks import check_still_in_step, get, post, read_answers, script
from support.client import Client, Closed, chunked, tokens
from support.gates import Gate
from support.server import Server, serve

APPLICATION = "paste.app_factory = support.lingering:make_patient_app"  # who sends on may stand still meanwhile

HOST = b"Host: localhost"
KEEP_ALIVE = b"Connection: keep-alive"
LONG_HEAD = get(HOST, *[b"X-%d: " % number + b"v" * 8000 for number in range(20)])


def test_http11_connection_stays_open(server: Server) -> None:
    with server.connect() as client:
        for _ in range(50):
            client.send(get(HOST))
            answer = client.read_answer()
            assert (answer.body, answer.closes) == (b"ready\n", False)


CLOSING = {
    "close": (b"Connection: close",),
    "in capitals": (b"Connection: CLOSE",),
    "in a list": (b"Connection: foo, close",),
    "in a list without blanks": (b"Connection: close,foo",),
    "in a list with empty members": (b"Connection: , ,close,",),
    "in the second line": (b"Connection: foo", b"Connection: close"),
    "in the first line": (b"Connection: close", b"Connection: foo"),
    "beside keep-alive": (b"Connection: keep-alive, close",),
    "before keep-alive": (b"Connection: close, keep-alive",),
    "before keep-alive in another line": (b"Connection: close", KEEP_ALIVE),
}


@pytest.mark.parametrize("lines", CLOSING.values(), ids=CLOSING)
@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"], ids=["1.1", "1.0"])
def test_connection_close_closes_after_the_answer(server: Server, lines: tuple[bytes, ...], version: bytes) -> None:
    with server.connect() as client:
        client.send(get(HOST, *lines, version=version) + get(HOST))
        answer = client.read_answer()
        client.expect_end()
    assert (answer.status, answer.closes) == (200, True)


@pytest.mark.parametrize("value", [b"closed", b"not-close", b"close-it", b"clos", b"foo"])
def test_other_connection_options_do_not_close(server: Server, value: bytes) -> None:
    with server.connect() as client:
        client.send(get(HOST, b"Connection: " + value))
        assert not client.read_answer().closes
        check_still_in_step(client)


def test_http10_connection_closes_after_the_answer(server: Server) -> None:
    with server.connect() as client:
        client.send(get(version=b"HTTP/1.0") + get(version=b"HTTP/1.0"))
        assert client.read_answer().body == b"ready\n"
        client.expect_end()


@pytest.mark.parametrize(
    "lines",
    [
        (KEEP_ALIVE,),
        (b"Connection: Keep-Alive",),
        (b"Connection: foo, keep-alive",),
        (b"Connection: foo", KEEP_ALIVE),
    ],
)
def test_http10_connection_with_keep_alive_stays_open_and_says_so(server: Server, lines: tuple[bytes, ...]) -> None:
    with server.connect() as client:
        for _ in range(3):
            client.send(get(*lines, version=b"HTTP/1.0"))
            answer = client.read_answer()
            assert answer.body == b"ready\n"
            assert "keep-alive" in tokens(answer.all("Connection"))


def test_http10_connection_is_not_kept_by_an_option_that_only_looks_like_it(server: Server) -> None:
    with server.connect() as client:
        client.send(get(b"Connection: keep-alive-not", version=b"HTTP/1.0"))
        assert client.read_answer().body == b"ready\n"
        client.expect_end()


def test_http10_client_never_gets_chunks(server: Server) -> None:
    target = script(kind="generator", blocks=["one ", "two"]).encode()
    with server.connect() as client:
        client.send(get(KEEP_ALIVE, version=b"HTTP/1.0", target=target))
        answer = client.read_answer()
    assert (answer.body, answer.framing) == (b"one two", "until-close")


def test_pipelined_requests_are_answered_in_their_order(server: Server) -> None:
    requests, methods, expected = b"", [], []
    for number in range(40):
        if number % 4 == 0:
            requests += post(b"Content-Length: 3", body=b"%03d" % number)
        elif number % 4 == 1:
            requests += post(b"Transfer-Encoding: chunked", body=chunked(b"%03d" % number, b"!"))
        elif number % 4 == 2:
            requests += get(HOST, method=b"HEAD")
        else:
            requests += get(HOST, target=script(kind="generator", blocks=[f"{number} ", "?"]).encode())
        methods.append("HEAD" if number % 4 == 2 else "GET")
        expected.append([b"%03d" % number, b"%03d!" % number, b"", b"%d ?" % number][number % 4])
    with server.connect() as client:
        client.send(requests)
        assert [answer.body for answer in read_answers(client, methods)] == expected
        check_still_in_step(client)


def test_pipelined_request_that_is_malformed_ends_the_answers(server: Server) -> None:
    with server.connect() as client:
        client.send(get(HOST) + get(HOST) + get(b"Host: a b") + get(HOST))
        assert [client.read_answer().status for _ in range(3)] == [200, 200, 400]
        client.expect_end()


def test_pipelined_requests_are_answered_although_the_client_has_ended_its_side(server: Server) -> None:
    with server.connect() as client:
        client.send(get(HOST) * 5)
        client.end()
        assert [client.read_answer().body for _ in range(5)] == [b"ready\n"] * 5
        client.expect_end()


def test_request_of_a_client_that_has_ended_its_side_is_answered(server: Server) -> None:
    with server.connect() as client:
        client.send(post(b"Content-Length: 5", body=b"hello"))
        client.end()
        assert client.read_answer().body == b"hello"
        client.expect_end()


def test_many_more_pipelined_requests_than_buffers_hold_are_answered(server: Server) -> None:
    with server.connect() as client:
        client.send(get(HOST) * 2000)
        assert {client.read_answer().status for _ in range(2000)} == {200}


UNREAD = {
    "small": post(b"Content-Length: 5", body=b"hello", target=b"/ignore"),
    "chunked": post(b"Transfer-Encoding: chunked", body=chunked(b"a", b"b" * 1000), target=b"/ignore"),
    "100 KB": post(b"Content-Length: 100000", body=b"x" * 100_000, target=b"/ignore"),
    "3 MB": post(b"Content-Length: 3000000", body=b"x" * 3_000_000, target=b"/ignore"),
    "chunked, 3 MB": post(b"Transfer-Encoding: chunked", body=chunked(*[b"x" * 10_000] * 300), target=b"/ignore"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_body_that_nobody_read_is_never_taken_for_a_request(server: Server, name: str) -> None:
    """The answer arrives, and then the connection is in step or closed, whatever the server does with the rest."""
    with server.connect() as client:
        client.send(UNREAD[name])
        answer = client.read_answer()
        assert answer.body == b"ignored\n"
        if answer.closes:
            client.expect_end()
            return
        try:
            check_still_in_step(client)
        except (OSError, Closed):
            assert name not in ("small", "chunked", "100 KB")


def test_requests_in_a_row_with_a_long_head_at_their_end_are_all_answered(server: Server) -> None:
    """The head alone is longer than what is read while requests wait for their turn."""
    with server.connect() as client:
        client.send(get(HOST) * 3 + LONG_HEAD)
        assert [client.read_answer().status for _ in range(4)] == [200] * 4


def test_one_in_a_row_that_takes_its_time_does_not_lose_what_comes_behind_it(server: Server) -> None:
    """More than may wait for its turn has arrived, and the head behind it is longer than what has been read of it."""
    gate = Gate(server)
    with server.connect() as client:
        client.send(get(HOST) * 2 + gate.request + LONG_HEAD)
        gate.wait()
        assert [client.read_answer().status for _ in range(2)] == [200] * 2
        assert client.is_silent(0.1)
        gate.open()
        assert [client.read_answer().status for _ in range(2)] == [200] * 2


def test_who_ends_its_side_behind_requests_in_a_row_gets_all_answers(server: Server, tmp_path: Path) -> None:
    """Also where it does so while the first one is being sent: it has asked for more than that."""
    gate = tmp_path / "gate"
    with server.connect() as client:
        client.send(get(HOST, target=f"/two-parts?path={gate}".encode()) + get(HOST))
        while b"one " not in client.received:
            client.read_some()
        client.end_quietly()
        time.sleep(0.1)
        gate.touch()
        assert client.read_answer().body == b"one two"
        assert client.read_answer().body == b"ready\n"


def test_large_last_answer_arrives_whole_though_the_client_sent_more_than_it_should(server: Server) -> None:
    """A plain close would reset the connection, because of the bytes that nobody has read, and the answer with it."""
    with Client(server.address, 10.0, receive_buffer=4096) as client:
        client.send(get(b"Host: localhost", b"Connection: close", target=b"/big?size=3000000"))
        client.read_some()
        client.send(b"\r\n")
        assert len(client.read_answer().body) == 3_000_000
        client.expect_end()


def test_client_that_sends_on_after_the_answer_is_not_reset(server: Server) -> None:
    """More than the server is willing to throw away: it closes, but reads on until the client could see its answer."""
    data = post(b"Transfer-Encoding: chunked", body=b"", target=b"/ignore")
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with server.connect() as client:
        client.send(data + piece)
        assert client.read_answer().body == b"ignored\n"
        for _ in range(30):
            client.send(piece)
        client.send(b"0\r\n\r\n")
        client.expect_end()


@pytest.mark.parametrize("name", ["small", "chunked"])
def test_small_body_that_nobody_read_does_not_cost_the_connection(server: Server, name: str) -> None:
    with server.connect() as client:
        for _ in range(3):
            client.send(UNREAD[name])
            assert client.read_answer().body == b"ignored\n"
        check_still_in_step(client)


def test_connection_closed_before_a_request_is_no_error(server: Server, log_start: int) -> None:
    for _ in range(5):
        server.connect().close()
        with server.connect() as client:
            client.reset()
        with server.connect() as client:
            client.send(b"GET / HT")
    assert server.get("/").status == 200
    assert "ERROR" not in server.log_text()[log_start:]


def test_incomplete_head_of_a_client_that_ended_its_side_gets_no_200(server: Server) -> None:
    with server.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        client.end()
        assert b" 200 " not in client.read_all()


LAST = {
    "HTTP/1.1": get(HOST),
    "HTTP/1.0 that asks for more": get(KEEP_ALIVE, version=b"HTTP/1.0"),
    "streamed": get(HOST, target=script(kind="generator", blocks=["one ", "two"]).encode()),
    "a body that nobody reads": UNREAD["small"],
    "of an application that fails": get(HOST, target=script(error="ValueError").encode()),
}


def test_where_keepalive_is_0_each_answer_says_that_it_is_the_last(worker_class: str) -> None:
    with serve(settings={"workers": "1", "worker_class": worker_class, "keepalive": "0"}) as server:
        for name, request in LAST.items():
            for rest in (b"", get(HOST)):
                with server.connect() as client:
                    client.send(request + rest)
                    answer = client.read_answer()
                    assert tokens(answer.all("Connection")) == ["close"], name
                    client.expect_end()


def test_an_answer_that_leaves_too_much_of_a_body_unread_says_that_the_connection_ends(server: Server) -> None:
    """A proxy may put somebody's next request on a connection that promises to stay."""
    with server.connect() as client:
        client.send(post(b"Content-Length: 1000000", body=b"x", target=b"/ignore"))
        answer = client.read_answer()
        assert (answer.body, answer.closes) == (b"ignored\n", True)
        client.send(b"x" * 999_999)
        client.expect_end()
