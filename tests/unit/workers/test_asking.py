"""A client is asked whether it is there, while another thread may begin its answer: one lets the other finish."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from workbench import Bench

from paste_unicorn.http.request import RequestLine
from paste_unicorn.http.response import CONTINUE, ResponseHeads
from paste_unicorn.workers.asking import Question
from paste_unicorn.workers.connection import Connection
from paste_unicorn.wsgi.gateway import Answering, Response, respond

LINE = RequestLine(b"GET / HTTP/1.1", "GET", "/", "/", "", True, None, "origin")
BLOCKED_S = 0.2  # enough for whoever is not held up


def whole(response: Response) -> None:
    def application(environ: object, start_response: Callable[..., object]) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"whole"]

    respond(application, {}, response)


def streamed(response: Response) -> None:
    response.start_response("200 OK", [])(b"one")


ANSWERS: list[Callable[[Response], object]] = [whole, streamed, Response.hand_over]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def asked(connection: Connection, closing: bool = False) -> tuple[Response, Question]:
    answering = Answering(ResponseHeads("test"), b"Date: now\r\n", True)
    answering.closing = closing
    connection.response = Response(answering, connection, LINE, True)
    return connection.response, Question(connection, connection.response, 0.0)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: str(answer.__name__))
@pytest.mark.parametrize("closing", [False, True])
def test_an_answer_begins_when_nobody_is_asking(
    bench: Bench, answer: Callable[[Response], object], closing: bool
) -> None:
    client, connection = bench.worker().client()
    response, question = asked(connection, closing)
    thread = threading.Thread(target=answer, args=[response], daemon=True)
    with question._beginning.lock:
        thread.start()
        thread.join(BLOCKED_S)
        assert thread.is_alive()
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(100)
    thread.join(10)
    assert not thread.is_alive()
    assert question.ask()
    if answer is not Response.hand_over:
        assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(BlockingIOError):
        client.recv(100)


def test_who_is_there_is_asked_before_its_answer_and_who_is_not_is_found_out(bench: Bench) -> None:
    client, connection = bench.worker().client()
    response, question = asked(connection)
    assert question.ask()
    assert client.recv(100) == CONTINUE
    whole(response)
    assert client.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    _, question = asked(connection)
    client.close()
    assert not question.ask()


def test_who_was_to_be_told_of_the_beginning_is_told_too(bench: Bench) -> None:
    _, connection = bench.worker().client()
    told = []
    connection.response = response = asked(connection)[0]
    response.before_head = lambda said_all: bool(told.append(f"begun {said_all}"))
    Question(connection, response, 0.0)
    whole(response)
    assert told == ["begun True"]
    assert not response.keep
