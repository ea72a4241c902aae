"""`request_timeout`: tracebacks, 504, an interruption, a successor; by force only where nothing else helps."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.checks import is_cut
from support.client import Client, request_bytes
from support.processes import is_alive, send_signal
from support.server import Server, serve, wait_for
from support.switching import SWITCHED

APPLICATION = "paste.app_factory = support.overtime:make_app"
LIMIT_S = 1
GRACE_S = 2  # of what can't be interrupted: it is waited for
LONG_S = 30  # of what can: it may stand still meanwhile
LOGS = {"accesslog": "{directory}/access.log", "access_log_format": "json"}
ENDLESS = ["sleep?s=60", "spin?s=60", "lock?x=1", "swallow?s=60"]


@contextlib.contextmanager
def limited(worker_class: str, **more: str) -> Iterator[Server]:
    settings = {
        "workers": "1", "worker_class": worker_class, "request_timeout": str(LIMIT_S),
        "request_timeout_grace": str(GRACE_S), **LOGS, **more,
    }  # fmt: skip
    with serve(settings=settings, app=APPLICATION) as server:
        yield server


@contextlib.contextmanager
def gated(worker_class: str, folder: Path, **more: str) -> Iterator[Server]:
    """The lines of its worker's error log wait for the file `gate`."""
    with limited(
        worker_class, post_worker_init="support.gated_log.gate", raw_env=f"GATE={folder}", timeout="0", **more
    ) as server:
        yield server


def ask(client: Client, target: str) -> None:
    client.send(request_bytes("GET", f"/{target}"))


def pid_of(server: Server) -> int:
    return int(server.get("/pid").body)


def check_is_504(client: Client, method: str = "GET") -> None:
    answer = client.read_answer(method)
    assert (answer.status, answer.closes) == (504, True)
    client.expect_end()


def access_line(server: Server, text: str) -> dict[str, object]:
    """The only one that holds this text, as soon as it is there."""

    def found() -> list[str]:
        lines = (server.directory / "access.log").read_text().splitlines(keepends=True)
        return [line for line in lines if text in line and line.endswith("\n")]

    (line,) = wait_for(found, f"a line with {text}")
    made: dict[str, object] = json.loads(line)
    return made


def wait_for_successor(server: Server, pid: int) -> None:
    wait_for(lambda: not is_alive(pid), "the worker to go", 20.0)
    assert pid_of(server) != pid


@pytest.mark.parametrize("target", ENDLESS, ids=lambda target: str(target.partition("?")[0]))
def test_it_is_answered_with_504_reported_interrupted_and_its_worker_is_replaced(
    worker_class: str, target: str, tmp_path: Path
) -> None:
    name = target.partition("?")[0]
    stays = worker_class == "threads" and name != "spin"  # a thread that waits in C code can't be interrupted
    grace = str(GRACE_S if stays else LONG_S)
    with (
        limited(worker_class, request_timeout_grace=grace) as server,
        server.connect(timeout_s=20.0) as client,
    ):
        pid = pid_of(server)
        ask(client, f"{target}&end={tmp_path / 'end'}")
        check_is_504(client)
        log = server.wait_for_log(f"in do_{name}")
        assert re.search(rf'"GET /{name}\S* HTTP/1.1" of 127.0.0.1 has run for \d+\.\d s \(request_timeout\): ', log)
        assert "it is answered with 504" in log
        assert "innermost call last" in log
        server.wait_for_log(f"(pid {pid}) retires: a request has run for too long (request_timeout)")
        wait_for_successor(server, pid)
        line = access_line(server, f"/{name}")
        assert (line["status"], line["how"]) == (504, "timeout")
        assert ("can't be interrupted" in server.log_text()) == stays
        assert (tmp_path / "end").exists() != stays
        assert "raised an exception" not in server.log_text()


def test_a_request_that_can_not_be_interrupted_ends_with_its_worker(worker_class: str) -> None:
    """Its client has its answer long before."""
    with limited(worker_class, request_timeout_grace="6") as server, server.connect(timeout_s=20.0) as client:
        pid = pid_of(server)
        ask(client, "stubborn?s=3600")
        answer = client.read_answer()
        assert answer.status == 504
        assert is_alive(pid)
        server.wait_for_log("can't be interrupted", 20.0)
        wait_for_successor(server, pid)
        line = access_line(server, "/stubborn")
        assert (line["status"], line["how"]) == (504, "timeout")


def test_one_that_lets_nobody_run_beside_it_ends_with_its_worker(worker_class: str) -> None:
    with limited(worker_class) as server, server.connect(timeout_s=20.0) as client:
        pid = pid_of(server)
        ask(client, "stubborn_spin?s=3600")
        assert client.read_answer().status == 504
        server.wait_for_log("can't be interrupted", 20.0)
        wait_for_successor(server, pid)


def test_other_requests_of_its_worker_are_finished(worker_class: str, tmp_path: Path) -> None:
    if worker_class == "sync":
        pytest.skip("this class runs one request at a time")
    with limited(worker_class) as server, server.connect(timeout_s=20.0) as other, server.connect() as client:
        pid = pid_of(server)
        ask(other, f"wait?gate={tmp_path / 'gate'}&touch={tmp_path / 'begun'}")
        wait_for((tmp_path / "begun").exists, "the other one runs")
        ask(client, "stubborn?s=3600")
        assert client.read_answer().status == 504
        server.wait_for_log("this worker ends without it when all others are done", 20.0)
        (tmp_path / "gate").touch()
        assert other.read_answer().body == b"waited"
        wait_for_successor(server, pid)
        assert access_line(server, "/wait")["how"] == "ok"


def test_an_answer_that_has_begun_is_cut(worker_class: str, tmp_path: Path) -> None:
    with limited(worker_class) as server, server.connect(timeout_s=20.0) as client:
        pid = pid_of(server)
        ask(client, f"stream?s=60&closed={tmp_path / 'closed'}")
        assert is_cut(client)
        if worker_class != "threads":
            wait_for((tmp_path / "closed").exists, "its iterable to be closed")
        server.wait_for_log("its answer had begun")
        line = access_line(server, "/stream")
        assert (line["status"], line["how"]) == (200, "timeout")
        wait_for_successor(server, pid)


@pytest.mark.parametrize("worker_class", ["gevent", "eventlet"])
def test_a_greenlet_that_was_interrupted_runs_nothing_more(worker_class: str, tmp_path: Path) -> None:
    """What its application waited for may call it yet: that must not hit another request."""
    with limited(worker_class) as server, server.connect(timeout_s=30.0) as other, server.connect() as client:
        ask(other, f"fate?s=20&touch={tmp_path / 'begun'}")
        wait_for((tmp_path / "begun").exists, "somebody looks on")
        ask(client, "sleep?s=60")
        assert client.read_answer().status == 504
        assert other.read_answer().body == b"dead"


@pytest.mark.parametrize("worker_class", ["gevent", "eventlet"])
def test_the_tracebacks_are_those_of_other_requests_too(worker_class: str, tmp_path: Path) -> None:
    """The oldest ones."""
    with limited(worker_class) as server, contextlib.ExitStack() as stack, server.connect() as client:
        others = [stack.enter_context(server.connect(timeout_s=30.0)) for _ in range(23)]
        for number, other in enumerate(others):
            ask(other, f"wait?gate={tmp_path / 'gate'}&touch={tmp_path / str(number)}&number={number}")
            wait_for((tmp_path / str(number)).exists, "it runs")
        ask(client, "sleep?s=60")
        assert client.read_answer().status == 504
        log = server.wait_for_log("3 more, which began later, are not shown")
        assert '"GET /sleep?s=60 HTTP/1.1" of 127.0.0.1 was not alone: this is what else its worker runs' in log
        shown = re.findall(r'Greenlet of "GET /wait\?\S*number=(\d+) .* has run for \d', log)
        assert len(set(shown)) == len(shown) == 20
        assert log.count("in do_wait") >= 20
        (tmp_path / "gate").touch()
        for other in others:
            assert other.read_answer().body == b"waited"


def test_a_reader_that_is_too_slow_is_cut_and_its_application_interrupted(worker_class: str, tmp_path: Path) -> None:
    """It waits for room, in what is ours."""
    with (
        limited(worker_class, request_timeout_grace=str(LONG_S)) as server,
        Client(server.address, 20.0, receive_buffer=4096) as client,
    ):
        pid = pid_of(server)
        ask(client, f"flood?end={tmp_path / 'end'}&closed={tmp_path / 'closed'}")
        wait_for((tmp_path / "closed").exists, "its iterable to be closed")
        log = server.wait_for_log("its answer had begun")
        wait_for_successor(server, pid)
        assert is_cut(client)
        assert access_line(server, "/flood")["how"] == "timeout"
        assert "can't be interrupted" not in log + server.log_text()


def test_the_time_that_a_body_takes_counts(worker_class: str) -> None:
    """It occupies the application; `body_timeout` alone would let it trickle."""
    with (
        limited(worker_class, request_timeout_grace=str(LONG_S)) as server,
        server.connect(timeout_s=20.0) as client,
    ):
        client.send(request_bytes("POST", "/read", [("Transfer-Encoding", "chunked")]) + b"1\r\nx\r\n")
        answer = client.read_answer()
        assert answer.status == 504
        server.wait_for_log("retires: a request has run for too long")
        assert "can't be interrupted" not in server.log_text()


def test_an_application_may_extend_its_time(worker_class: str) -> None:
    """Also beyond `timeout`, which otherwise would end a sync worker."""
    timeout_s = 5
    with limited(worker_class, timeout=str(timeout_s)) as server, server.connect(timeout_s=20.0) as client:
        pid = pid_of(server)
        ask(client, f"extend?by=30&s={timeout_s + 2}")
        assert client.read_answer().body == b"slept"
        ask(client, "pid")
        assert int(client.read_answer().body) == pid
        ask(client, "extend?by=0.2&s=60")
        started = time.monotonic()
        check_is_504(client)
        assert time.monotonic() - started < 10


@pytest.mark.parametrize("worker_class", ["threads", "gevent", "eventlet"])
def test_a_connection_that_was_taken_over_has_no_deadline(worker_class: str) -> None:
    settings = {"workers": "1", "worker_class": worker_class, "request_timeout": str(LIMIT_S)}
    with (
        serve(settings=settings, app="paste.app_factory = support.switching:make_app") as server,
        server.connect() as client,
    ):
        client.send(request_bytes("GET", "/echo", [("Connection", "Upgrade"), ("Upgrade", "echo")]))
        assert client.read_exactly(len(SWITCHED)) == SWITCHED
        assert client.is_silent(3 * LIMIT_S)
        client.send(b"still here")
        assert client.read_exactly(10) == b"still here"
        assert "request_timeout" not in server.log_text()


def test_requests_that_end_in_time_are_not_touched(worker_class: str) -> None:
    limit_s = 5
    with limited(worker_class, request_timeout=str(limit_s)) as server, server.connect() as client:
        pid = pid_of(server)
        for _ in range(18):  # together they take longer
            ask(client, f"sleep?s={0.06 * limit_s}")
            assert client.read_answer().body == b"slept"
        ask(client, "pid")
        assert int(client.read_answer().body) == pid
        assert "request_timeout" not in server.log_text()
        assert "gunicorn.request_timeout" in json.loads(server.get("/has").body)


def test_without_a_limit_nothing_of_it_is_there(worker_class: str) -> None:
    with serve(settings={"workers": "1", "worker_class": worker_class}, app=APPLICATION) as server:
        assert "gunicorn.request_timeout" not in json.loads(server.get("/has").body)


def test_nothing_waits_for_the_log_and_all_of_it_is_written_when_its_handlers_go_on(
    worker_class: str, tmp_path: Path
) -> None:
    """A handler waits, and holds its lock: that of another request where there may be one."""
    log = tmp_path / "gated.log"
    stays = worker_class == "threads"  # a thread that waits in C code can't be interrupted
    grace = str(GRACE_S if stays else LONG_S)
    with gated(worker_class, tmp_path, request_timeout_grace=grace) as server, contextlib.ExitStack() as stack:
        pid = pid_of(server)
        failing, client = (stack.enter_context(server.connect(timeout_s=20.0)) for _ in range(2))
        if worker_class != "sync":
            ask(failing, "fail")
            wait_for((tmp_path / "waits").exists, "its line waits")
        ask(client, f"sleep?s=60&end={tmp_path / 'end'}")
        check_is_504(client)
        server.wait_for_log(f"(pid {pid}) retires: a request has run for too long (request_timeout)")
        if not stays:
            wait_for((tmp_path / "end").exists, "it to be interrupted")
        assert not log.exists()
        (tmp_path / "gate").touch()
        if worker_class != "sync":
            assert failing.read_answer().status == 500
        wait_for_successor(server, pid)
        text = log.read_text()
        assert "GET /sleep?s=60" in text
        assert "in do_sleep" in text


def test_a_log_that_waits_without_end_keeps_no_worker_that_is_to_end_at_once(worker_class: str, tmp_path: Path) -> None:
    with gated(worker_class, tmp_path) as server, server.connect(timeout_s=20.0) as client:
        pid = pid_of(server)
        ask(client, "stubborn?s=3600" if worker_class == "threads" else "stubborn_spin?s=3600")
        assert client.read_answer().status == 504
        wait_for_successor(server, pid)
        assert (tmp_path / "waits").exists()


@pytest.mark.parametrize("worker_class", ["gevent", "eventlet"])
def test_what_a_blocked_hub_can_not_write_is_written_beside_it(worker_class: str, tmp_path: Path) -> None:
    """Without the handler's lock, which a greenlet holds there."""
    log = tmp_path / "gated.log"
    with gated(worker_class, tmp_path, request_timeout_grace=str(LONG_S)) as server, contextlib.ExitStack() as stack:
        pid = pid_of(server)
        failing, client = (stack.enter_context(server.connect(timeout_s=20.0)) for _ in range(2))
        ask(failing, "fail")
        wait_for((tmp_path / "waits").exists, "its line waits")
        ask(client, f"stubborn_spin?s=3600&touch={tmp_path / 'begun'}")
        wait_for((tmp_path / "begun").exists, "the hub is blocked")
        (tmp_path / "gate").touch()
        wait_for(
            lambda: log.exists() and "can't be" not in log.read_text() and "do_stubborn_spin" in log.read_text(), "it"
        )
        assert is_alive(pid)
        assert "/fail" not in log.read_text()
        send_signal(pid, signal.SIGKILL)
