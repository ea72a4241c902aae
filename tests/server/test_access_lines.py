"""Every request that had a request line gets one line in the access log, however it ended; none can forge one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.checks import get, is_cut, post, script
from support.client import Client, request_bytes
from support.processes import standing_still
from support.server import Server, serve, wait_for

SETTINGS = {"accesslog": "{directory}/access.log", "access_log_format": "json"}
HOST = b"Host: localhost"


def lines(server: Server) -> list[dict[str, Any]]:
    """The log so far, without a line that is half written; each must be JSON by itself."""
    text = (server.directory / "access.log").read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


@contextlib.contextmanager
def asked_at_once(server: Server, data: bytes) -> Iterator[Client]:
    """A client whose bytes are there when it is accepted, however long we stand still after connecting."""
    with contextlib.ExitStack() as stack:
        with standing_still(process.pid for process in server.titled("unicorn: worker")):
            client = stack.enter_context(server.connect())
            client.send(data)
        yield client


def check_one_line(server: Server, mark: str) -> dict[str, Any]:
    """Wait until there is a line that holds the mark; there is never a second one."""
    wait_for(lambda: any(mark in json.dumps(line) for line in lines(server)), f"an access line with {mark}")
    with asked_at_once(server, get(HOST, target=b"/after")) as client:
        client.read_answer()
    found = [line for line in lines(server) if mark in json.dumps(line)]
    assert len(found) == 1, found
    return found[0]


ENDINGS = {
    "ok": (get(HOST, target=b"/?mark-ok"), 200),
    "head": (get(HOST, target=b"/?mark-head", method=b"HEAD"), 200),
    "not-found": (get(HOST, target=b"/no-such?mark-not-found"), 404),
    "bad-host": (get(b"Host: a b", target=b"/?mark-bad-host"), 400),
    "bad-length": (post(b"Content-Length: -1", target=b"/?mark-bad-length"), 400),
    "bad-version": (get(HOST, target=b"/?mark-bad-version", version=b"HTTP/2.0"), 505),
    "bad-method": (get(HOST, target=b"/?mark-bad-method", method=b"BREW"), 501),
    "bad-chunk": (post(b"Transfer-Encoding: chunked", body=b"x\r\n", target=b"/echo?mark-bad-chunk"), 400),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_request_gets_one_line_with_its_status(server: Server, name: str) -> None:
    data, status = ENDINGS[name]
    with server.connect() as client:
        client.send(data)
        answer = client.read_answer("HEAD" if name == "head" else "GET")
    assert answer.status == status
    assert str(status) in json.dumps(check_one_line(server, f"mark-{name}"))


def test_head_that_is_too_slow_gets_one_line_with_its_status(worker_class: str) -> None:
    settings = {"workers": "1", "worker_class": worker_class, **SETTINGS, "header_timeout": "1"}
    with serve(settings=settings) as server:
        with asked_at_once(server, b"GET /?mark-slow-head HTTP/1.1\r\nHost: local") as client:
            assert client.read_answer().status == 408
        assert "408" in json.dumps(check_one_line(server, "mark-slow-head"))


def test_request_that_failed_gets_one_line(server: Server) -> None:
    server.get(script(error="ValueError", key="mark-failed"))
    assert "500" in json.dumps(check_one_line(server, "mark-failed"))


def test_request_that_was_cut_gets_one_line(server: Server) -> None:
    with server.connect() as client:
        target = script(error="ValueError", at="then", kind="generator", blocks=["a", "b"], key="mark-cut")
        client.send(request_bytes("GET", target))
        assert is_cut(client)
    check_one_line(server, "mark-cut")


def test_request_whose_client_went_gets_one_line(server: Server) -> None:
    with server.connect() as client:
        client.send(get(HOST, target=b"/big?size=50000000&mark-gone"))
        client.read_head()
        client.reset()
    check_one_line(server, "mark-gone")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("agent", get(HOST, b'User-Agent: mark-agent", "status": "200"}\t{\\\xff\xc2\x85', target=b"/")),
        ("referer", get(HOST, b"Referer: mark-referer\xe2\x80\xa8{}")),
        ("path", get(HOST, target=b"/mark-path%0a%22%0d%5c")),
        ("query", get(HOST, target=b'/?mark-query"%0a')),
        ("refused", get(b"Host: a b", target=b'/?mark-refused"%0a')),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_request_can_forge_a_line(server: Server, name: str, data: bytes) -> None:
    server.ask(data)
    check_one_line(server, f"mark-{name}")
