"""The chat: what one says, another one reads at once, by Server-Sent Events and by long polling."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from integration.conftest import Sample
from support.browser import PROGRAM, browser
from support.client import Client, request_bytes
from support.server import KEEPALIVE_S, Server, serve, wait_for

WORDS = ["Hello, Zoë <3", "and once more"]


@pytest.fixture(
    scope="module", params=["gevent", "eventlet", "threads\nthreads = 100"], ids=lambda said: said.split()[0]
)
def chat(request: pytest.FixtureRequest, samples: Callable[[str], Sample]) -> Iterator[Server]:
    """As it stands in the ini, and changed as its comment says."""
    comet = samples("comet.ini")
    # Who polls here may stand still between two polls.
    lines = f"keepalive = {KEEPALIVE_S}\nworker_class = {request.param}\n"
    text, count = re.subn(r"(?m)^(?:keepalive = .*\n)?worker_class = \w+\n", lines, comet.ini.read_text())
    assert count == 1
    comet.ini.write_text(text)
    with serve(comet.ini, port=comet.port) as server:
        yield server


def say(server: Server, name: str, text: str) -> int:
    body = json.dumps({"name": name, "text": text}).encode()
    return server.get("/say", ("Content-Type", "application/json"), method="POST", body=body).status


def poll(client: Client, after: int) -> None:
    client.send(request_bytes("GET", f"/poll?after={after}&who=test"))


def told(client: Client) -> list[dict[str, Any]]:
    answer = client.read_answer()
    assert answer.status == 200
    messages: list[dict[str, Any]] = json.loads(answer.body)["messages"]
    return messages


class Reader:
    """A stream of Server-Sent Events, as a browser reads it."""

    def __init__(self, client: Client, target: str, *fields: tuple[str, str]) -> None:
        self._client = client
        client.send(request_bytes("GET", target, fields))
        status, _, got = client.read_head()
        assert (status, dict(got)["Content-Type"]) == (200, "text/event-stream")
        self._text = ""

    def message(self) -> dict[str, Any]:
        """The next one; events of other kinds are passed over."""
        while True:
            while "\n\n" not in self._text:
                (size,) = (int(self._client.read_line(), 16),)
                self._text += self._client.read_exactly(size).decode()
                assert self._client.read_exactly(2) == b"\r\n"
            event, _, self._text = self._text.partition("\n\n")
            lines = dict(line.split(": ", 1) for line in event.splitlines())
            if "data" in lines and "event" not in lines:
                found: dict[str, Any] = json.loads(lines["data"])
                assert int(lines["id"]) == found["number"]
                return found


def test_what_one_says_reaches_those_who_listen_in_either_way(chat: Server) -> None:
    with chat.connect() as streaming, chat.connect() as polling:
        poll(polling, 0)
        reader, last = Reader(streaming, "/stream"), 0
        for text in WORDS:
            assert say(chat, "Ada", text) == 204
            message = reader.message()
            assert (message["name"], message["text"]) == ("Ada", text)
            assert told(polling) == [message]
            assert message["number"] > last
            last = message["number"]
            poll(polling, last)
        assert polling.is_silent()


def test_a_browser_that_lost_its_stream_gets_what_it_missed(chat: Server) -> None:
    with chat.connect() as streaming:
        reader = Reader(streaming, "/stream")
        say(chat, "Ada", "before")
        while (message := reader.message())["text"] != "before":
            pass
    say(chat, "Ada", "meanwhile")
    with chat.connect() as again:
        reader = Reader(again, "/stream?after=0", ("Last-Event-ID", str(message["number"])))
        assert reader.message()["text"] == "meanwhile"


def test_who_goes_is_not_counted_any_more(chat: Server) -> None:
    def here() -> int:
        return int(json.loads(chat.get("/poll?after=0&who=count").body)["here"])

    say(chat, "Ada", "so that polls are answered at once")
    wait_for(lambda: here() == 1, "nobody but who asks")
    with chat.connect() as streaming:
        Reader(streaming, "/stream")
        assert here() == 2
    # A thread looks up only every few seconds.
    wait_for(lambda: here() == 1, "the stream is closed", 30.0)


def test_the_page_and_its_files_are_there(chat: Server) -> None:
    page = chat.get("/").body.decode()
    for name in re.findall(r'(?:href|src)="(chat[^"]*)"', page):
        assert chat.get(f"/{name}").status == 200
    ids = set(re.findall(r'get\("([^"]+)"\)', chat.get("/chat.js").body.decode()))
    assert ids <= set(re.findall(r'id="([^"]+)"', page))


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", '{"name": "a", "text": "b"}', 415),
        ("application/json", '{"name": " ", "text": "b"}', 400),
        ("application/json", '{"name": "a"}', 400),
        ("application/json", "[]", 400),
        ("application/json", "no json", 400),
    ],
)
def test_what_is_no_message_is_refused(chat: Server, kind: str, body: str, status: int) -> None:
    assert chat.get("/say", ("Content-Type", kind), method="POST", body=body.encode()).status == status


@pytest.mark.skipif(PROGRAM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("other_way", ["stream", "poll"])
def test_what_is_typed_in_one_browser_page_appears_in_another(chat: Server, tmp_path: Path, other_way: str) -> None:
    address = f"http://127.0.0.1:{chat.port}/"
    with browser(tmp_path) as chromium:
        ada, bob = chromium.open(address), chromium.open(f"{address}?way={other_way}")
        for page in (ada, bob):
            page.wait_for("document.getElementById('state').dataset.state === 'live'")
        for page, other, text in ((ada, bob, f"From Ada by {other_way} <b>"), (bob, ada, f"From Bob by {other_way} ☄")):
            page.evaluate("document.getElementById('text').focus()")
            page.type(text)
            page.press_enter()
            for each in (page, other):
                each.wait_for(
                    f"document.querySelector('.message:last-child .said')?.textContent === {json.dumps(text)}"
                )
            assert page.evaluate("document.querySelector('.message:last-child').classList.contains('own')")
            assert page.evaluate("document.getElementById('text').value") == ""
            assert "open" in other.evaluate("document.getElementById('here').textContent")
