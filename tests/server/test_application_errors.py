"""An application may raise anything, anywhere: 500 or a cut connection, a traceback, and the worker serves on."""

from __future__ import annotations

import pytest
from support.checks import check_closed_or_in_step, check_error_page, is_cut, script
from support.client import request_bytes
from support.server import Server

EXCEPTIONS = ["ValueError", "OSError", "ConnectionResetError", "BrokenPipeError", "BlockingIOError",
              "InterruptedError", "TimeoutError", "StopIteration", "MemoryError", "RecursionError",
              "KeyboardInterrupt", "SystemExit", "GeneratorExit", "Own"]  # fmt: skip


def worker_pid(server: Server) -> bytes:
    return server.get("/pid").body


def check_logged(server: Server, log_start: int, name: str) -> None:
    """The traceback is in the log, with the request line, and begins in the application."""
    log = server.wait_for_log("raised on purpose", after=log_start)
    assert "GET /answer?" in log
    assert "Traceback (most recent call last)" in log
    assert "support/apps.py" in log
    assert name in log
    assert "paste_unicorn/workers/" not in log, "frames of ours tell an operator nothing"


# Out of an iterator's `__next__`, StopIteration is no error but the end.
WHILE_ITERATING = [name for name in EXCEPTIONS if name != "StopIteration"]


@pytest.mark.parametrize(
    ("at", "name"),
    [*((at, name) for at in ("call", "start") for name in EXCEPTIONS), *(("first", name) for name in WHILE_ITERATING)],
)
def test_exception_before_the_head_is_answered_with_500(server: Server, log_start: int, name: str, at: str) -> None:
    pid = worker_pid(server)
    kind = "custom" if at == "first" else "list"
    with server.connect() as client:
        client.send(request_bytes("GET", script(kind=kind, at=at, error=name)))
        answer = client.read_answer()
        check_closed_or_in_step(client, answer)
    assert answer.status == 500
    check_error_page(server, answer)
    check_logged(server, log_start, name)
    assert worker_pid(server) == pid


@pytest.mark.parametrize("name", WHILE_ITERATING)
@pytest.mark.parametrize("fields", [[], [["Content-Length", "100"]]], ids=["chunked", "sized"])
def test_exception_after_the_head_cuts_the_connection(
    server: Server, log_start: int, name: str, fields: list[list[str]]
) -> None:
    pid = worker_pid(server)
    told = {"kind": "custom", "blocks": ["one", "two"], "fields": [["Content-Type", "text/plain"], *fields]}
    with server.connect() as client:
        client.send(request_bytes("GET", script(at="then", error=name, **told)) * 2)
        assert is_cut(client)
        assert b"HTTP/1.1" not in client.received
    check_logged(server, log_start, name)
    assert worker_pid(server) == pid


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exception_after_write_cuts_the_connection(server: Server, log_start: int, name: str) -> None:
    pid = worker_pid(server)
    with server.connect() as client:
        client.send(request_bytes("GET", script(write=["one"], at="start", error=name)))
        assert is_cut(client)
    check_logged(server, log_start, name)
    assert worker_pid(server) == pid


def test_http10_client_can_tell_an_answer_that_was_cut(server: Server) -> None:
    target = script(kind="generator", blocks=["one", "two"], at="then", error="ValueError")
    with server.connect() as client:
        client.send(f"GET {target} HTTP/1.0\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            client.read_all()


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exception_in_close_is_logged_and_the_worker_serves_on(server: Server, log_start: int, name: str) -> None:
    pid = worker_pid(server)
    with server.connect() as client:
        client.send(request_bytes("GET", script(kind="custom", at="close", error=name)))
        answer = client.read_answer()
        assert (answer.status, answer.body) == (200, b"hello\n")
        check_closed_or_in_step(client, answer)
    log = server.wait_for_log("raised on purpose", after=log_start)
    assert "GET /answer?" in log
    assert worker_pid(server) == pid


@pytest.mark.parametrize("code", [0, 1, None, "a text"])
def test_sys_exit_in_the_application_is_an_error_like_others(server: Server, log_start: int, code: object) -> None:
    pid = worker_pid(server)
    assert server.get(script(code=code, error="exit")).status == 500
    server.wait_for_log("SystemExit", after=log_start)
    assert worker_pid(server) == pid


def test_head_request_that_fails_has_no_body(server: Server) -> None:
    with server.connect() as client:
        client.send(request_bytes("HEAD", script(error="ValueError")))
        answer = client.read_answer("HEAD")
        check_closed_or_in_step(client, answer)
    assert answer.status == 500


def test_failing_with_a_body_unread_is_answered_with_500(server: Server) -> None:
    with server.connect() as client:
        client.send(request_bytes("POST", script(error="ValueError"), [], b"x" * 200_000))
        assert client.read_answer().status == 500
