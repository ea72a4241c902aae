"""The drawing board: what one draws, all others see, and who comes in later too."""

from __future__ import annotations

import contextlib
import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from integration.conftest import Sample
from support.browser import PROGRAM, browser
from support.client import request_bytes
from support.server import KEEPALIVE_S, Server, serve, wait_for
from support.websockets import WebSocket

OPENING = (
    ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
)  # fmt: skip


@pytest.fixture(scope="module", params=["gevent", "eventlet", "threads"])
def board(request: pytest.FixtureRequest, samples: Callable[[str], Sample]) -> Iterator[Server]:
    """As it stands in the ini, and with another class; of threads one for each who is there.

    Connections are kept for longer than there: a client may stand still between two requests.
    """
    picked = samples("websocket.ini")
    wanted = "threads\nthreads = 40" if request.param == "threads" else request.param
    changed = f"worker_class = {wanted}\nkeepalive = {KEEPALIVE_S}"
    text, count = re.subn(r"(?m)^worker_class = \w+$(\nkeepalive = .*)?", changed, picked.ini.read_text())
    assert count == 1
    picked.ini.write_text(text)
    with serve(picked.ini, port=picked.port) as server:
        yield server


class Person:
    """Somebody at the board."""

    def __init__(self, server: Server, stack: contextlib.ExitStack) -> None:
        self._websocket = WebSocket(stack.enter_context(server.connect()), "/board")
        self.hello = self.next()
        assert self.hello["do"] == "hello"
        here = self.next()
        assert here["do"] == "here"
        self.found: int = here["number"]  # who is there, with himself

    def say(self, **message: Any) -> None:
        self._websocket.send(json.dumps(message))

    def next(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._websocket.read())
        return message

    def next_that(self, do: str) -> dict[str, Any]:
        while (message := self.next())["do"] != do:
            pass
        return message

    def wait_until_alone(self) -> None:
        while self.found > 1:
            self.found = self.next_that("here")["number"]

    def go(self) -> None:
        self._websocket.close()


@pytest.fixture
def person(board: Server) -> Iterator[Callable[[], Person]]:
    """Each call lets another one in; the board is wiped before, and nobody is there who is about to go."""
    with contextlib.ExitStack() as stack:
        first = Person(board, stack)
        first.wait_until_alone()
        first.say(do="wipe")
        first.next_that("wipe")
        first.go()
        yield lambda: Person(board, stack)


def test_what_one_draws_all_see_and_who_comes_later(person: Callable[[], Person]) -> None:
    ada, bob = person(), person()
    for number in range(200):
        ada.say(do="draw", line=[number, number, number + 1, number])
    for number in range(200):
        drawn = bob.next()
        assert (drawn["do"], drawn["by"], drawn["hue"]) == ("draw", ada.hello["you"], ada.hello["hue"])
        assert drawn["line"] == [number, number, number + 1, number]
    later = person()
    assert [piece["line"][0] for piece in later.hello["lines"]] == list(range(200))
    later.say(do="wipe")
    for each in (ada, bob, later):
        assert each.next_that("wipe")["by"] == later.hello["you"]
    assert person().hello["lines"] == []


def test_pens_move_and_go(person: Callable[[], Person]) -> None:
    ada, bob = person(), person()
    assert ada.next_that("here")["number"] == 2
    bob.say(do="point", at=[4096, 0])
    assert ada.next() == {"do": "point", "at": [4096, 0], "by": bob.hello["you"], "hue": bob.hello["hue"]}
    bob.go()
    assert ada.next() == {"do": "gone", "by": bob.hello["you"]}
    assert ada.next() == {"do": "here", "number": 1}


@pytest.mark.parametrize(
    "message",
    ["no json", "[]", '{"do": "dance"}', '{"do": "draw", "line": [1]}', '{"do": "draw", "line": [1, 5000]}',
     '{"do": "point", "at": [1, 2, 3, 4]}', '{"do": "draw", "line": [1, true]}', "[" + "1," * 20_000],
)  # fmt: skip
def test_who_says_nonsense_is_shown_the_door(person: Callable[[], Person], board: Server, message: str) -> None:
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(board.connect())
        websocket = WebSocket(client, "/board")
        websocket.send(message)
        data = client.read_to_the_last()
        assert b"\x03\xf0What was that?" in data  # 1008, RFC 6455 §7.4.1
    assert "Traceback" not in board.log_text()


def test_what_opens_no_websocket_gets_an_ordinary_answer(board: Server) -> None:
    with board.connect() as client:
        foreign = (("Origin", "http://elsewhere.example"), *OPENING)
        for fields, status in (((), 426), (foreign, 403), (OPENING[:2], 400), (OPENING[:3], 400)):
            client.send(request_bytes("GET", "/board", fields))
            assert client.read_answer().status == status
        client.send(request_bytes("GET", "/board", (("Origin", "http://localhost"), *OPENING)))
        status, _, got = client.read_head()
        assert (status, dict(got)["Sec-WebSocket-Accept"]) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")  # RFC 6455 §1.3


def test_the_page_and_its_files_are_there(board: Server) -> None:
    page = board.get("/").body.decode()
    for name in re.findall(r'(?:href|src)="(board[^"]*)"', page):
        assert board.get(f"/{name}").status == 200
    ids = set(re.findall(r'get\("([^"]+)"\)', board.get("/board.js").body.decode()))
    assert ids <= set(re.findall(r'id="([^"]+)"', page))
    assert board.get("/speaking.py").status == 404
    assert board.get("/", method="POST").status == 405


@pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed")
def test_what_is_drawn_in_one_browser_page_appears_in_another(board: Server, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{board.port}/"
    live = "document.getElementById('state').dataset.state === 'live' && me.number"
    with browser(tmp_path) as chromium:
        ada, bob = chromium.open(address), chromium.open(address)
        for page in (ada, bob):
            page.wait_for(live)
            page.evaluate("add({ line: [0, 0], hue: 0 })")  # here alone: it shows when the wipe has come
        ada.evaluate("get('wipe').click()")
        for page in (ada, bob):
            page.wait_for("lines.length === 0")
        for kind, x, y in (("Pressed", 60, 120), ("Moved", 120, 150), ("Moved", 180, 120), ("Released", 180, 120)):
            ada.mouse(kind, x, y)
        ada.wait_for("drawing === null && lines.length")  # the pen is up: nothing of it comes behind bob's wipe
        bob.wait_for(f"lines.length === {ada.evaluate('lines.length')}")
        assert bob.evaluate("lines.flatMap((piece) => piece.line).length >= 6")
        colour = "[...pen.getImageData(0, 0, canvas.width, canvas.height).data].some((value) => value)"
        assert bob.evaluate(colour)
        assert bob.evaluate("document.querySelectorAll('.pointer').length") == 1
        bob.evaluate("get('wipe').click()")
        for page in (ada, bob):
            page.wait_for("lines.length === 0")
            assert not page.evaluate(colour)


def test_a_stop_does_not_wait_for_long(samples: Callable[[str], Sample]) -> None:
    picked = samples("websocket.ini")
    with serve(picked.ini, port=picked.port) as server, contextlib.ExitStack() as stack:
        Person(server, stack)
        server.wait_for_log("Serving ")
        server.signal(signal.SIGTERM)
        wait_for(lambda: server.popen.poll() is not None, "the server has ended", 20)
        assert server.wait() == 0
