"""What tests of many modules ask: is this refused as it should be, does this run, what did the application see?"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from support.client import Answer, BadAnswer, Client, request_bytes
from support.processes import standing_still
from support.server import Server

FOLLOWER = b"GET /answer?%7B%22key%22%3A%22follower%22%7D HTTP/1.1\r\nHost: localhost\r\n\r\n"
SMALL_PAGE = 600  # bytes


def check_refused(server: Server, data: bytes, status: int | tuple[int, ...], method: str = "GET") -> Answer:
    """These bytes get one answer with that status; then the connection closes, and the application saw nothing.

    They are sent as they are, and once more with a good request behind them, which must not be answered.
    """
    before = events(server, "follower")
    for sent in (data, data + FOLLOWER):
        answer = check_one_refusal(server, sent, status, method)
    assert events(server, "follower") == before, "what stood behind the bad request was taken for a request"
    return answer


def check_one_refusal(server: Server, data: bytes, status: int | tuple[int, ...], method: str = "GET") -> Answer:
    """Exactly these bytes get exactly one answer, small, plain, and saying nothing internal."""
    statuses = status if isinstance(status, tuple) else (status,)
    with server.connect() as client:
        client.send(data)
        answer = client.read_answer(method)
        client.expect_end()
    assert answer.status in statuses, answer
    assert answer.closes, answer
    check_error_page(server, answer, method)
    return answer


def check_error_page(server: Server, answer: Answer, method: str = "GET") -> None:
    """The page is small and plain and says nothing internal."""
    assert (answer.field("Content-Type") or "").startswith("text/plain"), answer
    if method != "HEAD":
        assert answer.framing == "sized", answer
        assert 0 < len(answer.body) <= SMALL_PAGE, answer
    page = answer.body.decode().lower()
    for internal in (
        "traceback",
        "paste_unicorn",
        ".py",
        "python",
        str(server.directory),
        "raised on purpose",
    ):
        assert internal not in page, answer


def check_good(server: Server, data: bytes, method: str = "GET") -> Answer:
    """These bytes get 200."""
    answer = server.ask(data, method)
    assert answer.status == 200, answer
    return answer


def get(*lines: bytes, target: bytes = b"/", version: bytes = b"HTTP/1.1", method: bytes = b"GET") -> bytes:
    """A request without a body, from field lines that may be anything; no Host unless given."""
    return b"\r\n".join([method + b" " + target + b" " + version, *lines, b"", b""])


def post(*lines: bytes, body: bytes = b"", target: bytes = b"/echo") -> bytes:
    """A POST to /echo with a Host and these field lines, and then exactly this body."""
    return get(b"Host: localhost", *lines, target=target, method=b"POST") + body


def events(server: Server, key: str) -> list[str]:
    """What the application recorded under the key."""
    recorded: list[str] = json.loads(server.get(f"/events?{key}").body)
    return recorded


def environ_of(server: Server, data: bytes) -> dict[str, str]:
    """The environ, as text, that these bytes became; they must ask for /environ (or /raw-environ)."""
    return {name: value for name, (_, value) in json.loads(check_good(server, data).body).items()}


def script(**told: Any) -> str:
    """The target that makes /answer do this (see `support.apps.Script`); with `valid`, under wsgiref.validate."""
    valid = told.pop("valid", False)
    return f"/{'valid-' if valid else ''}answer?{quote(json.dumps(told), safe='')}"


def run_script(server: Server, method: str = "GET", /, **told: Any) -> Answer:
    """The answer of the application that does this."""
    return server.get(script(**told), method=method)


def check_still_in_step(client: Client) -> None:
    """The connection is open, and what comes next on it is the answer to what is asked next."""
    client.send(request_bytes("GET", "/"))
    answer = client.read_answer()
    assert (answer.status, answer.body) == (200, b"ready\n"), answer


def check_closed_or_in_step(client: Client, answer: Answer) -> None:
    """Either it says close and closes, or the next answer on the connection is the right one."""
    if answer.closes:
        client.expect_end()
    else:
        check_still_in_step(client)


def read_answers(client: Client, methods: Iterable[str]) -> list[Answer]:
    """One answer for each."""
    return [client.read_answer(method) for method in methods]


def is_cut(client: Client, method: str = "GET") -> bool:
    """Whether the answer ends in a way by which a client can tell that something is missing."""
    try:
        client.read_answer(method)
    except (BadAnswer, ConnectionResetError):
        return True
    return False


def ask_each_worker(server: Server, target: str = "/") -> dict[int, Answer]:
    """One answer of each worker, by pid: the others are stopped meanwhile."""
    pids = {process.pid for process in server.titled("unicorn: worker")}
    answers = {}
    for pid in sorted(pids):
        with standing_still(pids - {pid}):
            answers[pid] = server.get(target)
    return answers
