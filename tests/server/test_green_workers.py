"""What gevent and eventlet are for: thousands of requests that wait, in one worker, and none that is forgotten."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.board import wait_until_it_leaves
from support.client import Client, chunked, request_bytes
from support.processes import is_alive, send_signal
from support.server import Server, run_to_end, serve, wait_for

WORKER_CLASSES = GREEN = ("gevent", "eventlet")
APPLICATION = "paste.app_factory = support.waiting:make_app"
STREAMS = ("stream", "ticks?gap=3600", "ticks?gap=0.05", "flood")


@pytest.fixture
def own_server(worker_class: str) -> Iterator[Server]:
    """One that a test may reload or stop."""
    settings = {"workers": "1", "worker_class": worker_class, "keepalive": "60"}
    with serve(settings=settings, app=APPLICATION) as running:
        running.wait_for_log("[INFO] Serving ")
        yield running


def get(target: str, *fields: tuple[str, str]) -> bytes:
    return request_bytes("GET", f"/{target}", fields)


def body(client: Client, target: str) -> bytes:
    client.send(get(target))
    answer = client.read_answer()
    assert answer.status == 200
    return answer.body


def python_path(folder: Path) -> str:
    """So that modules in this folder are found before all others."""
    return os.pathsep.join([str(folder), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])


def state(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.get("/state").body)
    return found


def at_rest(server: Server) -> dict[str, Any]:
    """The state when nothing is left of tests before: streams whose readers have gone may need a moment to notice."""
    wait_for(lambda: state(server)["running"] == 0, "nothing to run")
    return state(server)


def settled(server: Server, before: dict[str, Any], closed: int = 0) -> None:
    """Wait until nothing is left of what was going on: requests, descriptors, iterables, greenlets."""

    def is_settled() -> bool:
        now = state(server)
        return (
            now["running"] == before["running"]
            and now["descriptors"] <= before["descriptors"]
            and now["closed"] >= before["closed"] + closed
            and now["greenlets"] <= before["greenlets"]
        )

    wait_for(is_settled, f"nothing is left beyond {before}")


@contextlib.contextmanager
def clients(server: Server, number: int) -> Iterator[list[Client]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(server.connect(timeout_s=30.0)) for _ in range(number)]


# -- many at once ------------------------------------------------------------------------------------------------------


def test_a_hundred_requests_sleep_at_once(server: Server) -> None:
    """One after the other they would take fifty seconds."""
    began = time.monotonic()
    with clients(server, 100) as sleepers:
        for client in sleepers:
            client.send(get("sleep?s=0.5"))
        for client in sleepers:
            assert client.read_answer().body == b"slept"
    assert time.monotonic() - began < 25


def test_what_is_published_wakes_everybody_who_waits_for_it(server: Server) -> None:
    seen = at_rest(server)["news"]
    with clients(server, 100) as pollers:
        for client in pollers:
            client.send(get(f"news?seen={seen}"))
        wait_for(lambda: state(server)["running"] == 100, "all of them wait")
        server.get("/publish?text=now")
        for client in pollers:
            assert json.loads(client.read_answer().body) == ["now"]


def test_each_item_of_a_stream_leaves_at_once(server: Server) -> None:
    seen = [f"text-{number}" for number in range(3)]
    with clients(server, 20) as readers:
        for client in readers:
            client.send(get("stream"))
            assert client.read_head()[0] == 200
            read_until(client, b"data: hello\n\n")
        for text in seen:
            server.get(f"/publish?text={text}")
            for client in readers:
                read_until(client, f"data: {text}\n\n".encode())


def read_until(client: Client, text: bytes) -> None:
    while text not in client.received:
        assert client.read_some()
    client.received = client.received.partition(text)[2]


def test_the_application_sees_what_it_expects(server: Server) -> None:
    environ = json.loads(server.get("/environ").body)
    assert (environ["wsgi.multithread"], environ["wsgi.multiprocess"]) == ("True", "False")
    assert state(server)["patched"] in GREEN


def test_each_request_has_thread_locals_of_its_own(server: Server) -> None:
    with clients(server, 20) as sleepers:
        for number, client in enumerate(sleepers):
            client.send(get(f"own?s=0.2&value={number}"))
        for number, client in enumerate(sleepers):
            assert client.read_answer().body == str(number).encode()


def test_a_subprocess_is_waited_for_while_others_run(server: Server) -> None:
    """Also where the application had one while it was loaded, in the template."""
    with clients(server, 5) as several:
        for client in several:
            client.send(get("command?s=0.2"))
        assert server.get("/ready").body == b"ready\n"
        for client in several:
            assert client.read_answer().body == b"42 42"


def test_a_process_that_the_application_forks_and_that_waits_answers_nobody(
    server: Server, log_start: int, tmp_path: Path
) -> None:
    """The hub goes on in it, and so do the other greenlets: their answers are their parent's."""
    at_rest(server)
    pid = server.get("/pid").body
    with clients(server, 20) as sleepers, clients(server, 10) as uploaders, server.connect() as reader:
        for client in uploaders:
            client.send(request_bytes("POST", "/upload", [("Content-Length", "100000")]) + b"x" * 70_000)
        reader.send(get("ticks?gap=0.1"))
        wait_for(lambda: state(server)["running"] >= 11, "all of these run")
        for client in sleepers:
            client.send(get("sleep?s=0.5"))
        with server.connect() as forking:
            assert body(forking, f"fork?s=1.5&touch={tmp_path / 'done'}") == b"forked"
            assert body(forking, "pid") == pid
        while not (tmp_path / "done").exists():
            assert server.get("/pid").body == pid
        for client in sleepers:
            assert client.read_answer().body == b"slept"
            assert body(client, "pid") == pid
        for client in uploaders:
            client.send(b"x" * 30_000)
            assert client.read_answer().body == b"100000"
        reader.read_some()
        head, _, ticks = reader.received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert ticks
        assert b"HTTP" not in ticks
    assert "Traceback" not in server.log_text()[log_start:]


# -- one connection ----------------------------------------------------------------------------------------------------


def test_requests_in_a_row_wait_for_the_one_that_sleeps(server: Server) -> None:
    with server.connect() as client:
        client.send(get("sleep?s=0.2") + get("environ") + get("sleep?s=0.1") + get("ready"))
        bodies = [client.read_answer().body for _ in range(4)]
    assert (bodies[0], bodies[2:]) == (b"slept", [b"slept", b"ready\n"])


def test_what_arrives_while_a_request_sleeps_is_the_next_request(server: Server) -> None:
    with server.connect() as client, server.connect() as probe:
        client.send(get("sleep?s=0.4"))
        for piece in (b"GET /rea", b"dy HTTP/1.1\r\nHost", b": localhost\r\n\r\n"):
            client.send(piece)
            body(probe, "ready")  # whatever the loop had to do with it has been done
        assert client.read_answer().body == b"slept"
        assert client.read_answer().body == b"ready\n"
        assert body(client, "ready") == b"ready\n"


def test_a_client_that_has_ended_its_side_gets_its_answer(server: Server) -> None:
    with server.connect() as client:
        client.send(get("sleep?s=0.3"))
        client.end()
        assert client.read_answer().body == b"slept"
        client.expect_end()


def test_a_body_is_read_while_it_arrives_and_answered_at_the_same_time(server: Server) -> None:
    with server.connect() as client:
        client.send(request_bytes("POST", "/converse", [("Transfer-Encoding", "chunked")]))
        client.send(b"4\r\none\n\r\n")
        assert client.read_head()[0] == 200
        read_until(client, b"ONE\n")
        assert server.get("/ready").body == b"ready\n"
        client.send(chunked(b"two\n"))
        read_until(client, b"TWO\n")
        read_until(client, b"0\r\n\r\n")
        assert body(client, "ready") == b"ready\n"


def test_slow_uploads_keep_nobody_waiting(server: Server) -> None:
    size = 300_000
    at_rest(server)
    with clients(server, 30) as uploaders:
        for client in uploaders:
            client.send(request_bytes("POST", "/upload", [("Content-Length", str(size))]) + b"x" * 1000)
        wait_for(lambda: state(server)["running"] >= 30, "all of them are read")
        for client in uploaders:
            client.send(b"x" * (size - 1000))
        for client in uploaders:
            assert client.read_answer().body == str(size).encode()


# -- clients that go ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("target", STREAMS)
def test_a_stream_is_closed_when_its_client_goes(server: Server, log_start: int, target: str, how: str) -> None:
    """Whatever the application is doing then: sleeping for an hour, or sending to a client that reads nothing."""
    before = at_rest(server)
    with clients(server, 20) as readers:
        for client in readers:
            client.send(get(target))
            client.read_head()
        wait_for(lambda: state(server)["running"] == before["running"] + 20, "all of them run")
        for client in readers:
            getattr(client, how)()
    settled(server, before, closed=20)
    assert "Traceback" not in server.log_text()[log_start:]


@pytest.mark.parametrize("how", ["close", "reset"])
def test_who_goes_in_the_middle_of_an_upload_is_told_to_the_application_and_leaves_nothing(
    server: Server, log_start: int, how: str
) -> None:
    before = at_rest(server)
    with clients(server, 30) as uploaders:
        for client in uploaders:
            client.send(request_bytes("POST", "/upload", [("Content-Length", "300000")]) + b"x" * 70_000)
        wait_for(lambda: state(server)["running"] == before["running"] + 30, "all of them are read")
        for client in uploaders:
            getattr(client, how)()
    settled(server, before)
    assert state(server)["errors"][len(before["errors"]) :] == ["ClientDisconnected"] * 30
    assert "Traceback" not in server.log_text()[log_start:]


def test_who_resets_a_request_that_sleeps_leaves_nothing(server: Server, log_start: int) -> None:
    before = at_rest(server)
    with clients(server, 30) as sleepers:
        for client in sleepers:
            client.send(get("sleep?s=3600"))
        wait_for(lambda: state(server)["running"] == before["running"] + 30, "all of them run")
        for client in sleepers:
            client.reset()
    settled(server, before)
    assert "Traceback" not in server.log_text()[log_start:]


def test_other_requests_go_on_while_clients_come_and_go(server: Server, log_start: int) -> None:
    before = at_rest(server)
    with clients(server, 10) as sleepers:
        for client in sleepers:
            client.send(get("sleep?s=2"))
        for turn in range(20):
            with clients(server, 10) as others:
                for number, client in enumerate(others):
                    client.send(get(STREAMS[(turn + number) % 4]))
                    if number % 2:
                        client.read_head()
                for client in others[::2]:
                    client.reset()
        for client in sleepers:
            assert client.read_answer().body == b"slept"
    settled(server, before)
    assert "Traceback" not in server.log_text()[log_start:]


# -- limits ------------------------------------------------------------------------------------------------------------


def test_no_more_than_worker_connections_are_there_at_once(worker_class: str) -> None:
    settings = {"workers": "1", "worker_class": worker_class, "worker_connections": "10", "handoff": "off"}
    with serve(settings=settings, app=APPLICATION) as server, contextlib.ExitStack() as stack:
        streams = []
        # One after the other: while somebody waits for a place, who has not asked yet would give way.
        for _ in range(10):
            client = stack.enter_context(server.connect())
            client.send(get("stream"))
            client.read_head()
            streams.append(client)
        waiting = stack.enter_context(server.connect(timeout_s=20.0))
        waiting.send(get("ready"))
        assert waiting.is_silent()
        streams[0].reset()
        assert waiting.read_answer().body == b"ready\n"


def test_a_hub_that_is_blocked_is_reported_with_where_and_its_worker_is_replaced(worker_class: str) -> None:
    settings = {
        "workers": "1", "worker_class": worker_class, "timeout": "3", "on_starting": "support.supervised.gives_time",
    }  # fmt: skip
    with serve(settings=settings, app=APPLICATION) as server:
        pid = int(server.get("/pid").body)
        with clients(server, 3) as waiting, server.connect(timeout_s=30.0) as blocking:
            for client in waiting:
                client.send(get("sleep?s=3600"))
            wait_for(lambda: state(server)["running"] == 3, "they wait")
            blocking.send(get("spin?s=3600"))
            log = server.wait_for_log("has made no progress within timeout (3 s)", 20)
            wait_for(lambda: not is_alive(pid), "it is gone", 20)
        assert "in do_spin" in server.wait_for_log("in do_spin")
        assert 'is running "GET /spin?' in log or "GET /spin?" in server.log_text()
        assert int(server.get("/pid").body) != pid


def test_requests_that_sleep_longer_than_timeout_are_no_trouble(worker_class: str) -> None:
    settings = {"workers": "1", "worker_class": worker_class, "timeout": "3"}
    with serve(settings=settings, app=APPLICATION) as server, server.connect() as client:
        pid = int(body(client, "pid"))
        assert body(client, "sleep?s=4.5") == b"slept"
        assert int(body(client, "pid")) == pid


# -- generations -------------------------------------------------------------------------------------------------------


def test_a_reload_lets_requests_sleep_on_and_passes_on_who_is_idle(own_server: Server) -> None:
    with clients(own_server, 30) as sleepers, clients(own_server, 30) as idle, own_server.connect() as stream:
        pid = int(own_server.get("/pid").body)
        for client in idle:
            assert int(body(client, "pid")) == pid
        for client in sleepers:
            client.send(get("sleep?s=3"))
        stream.send(get("stream"))
        stream.read_head()
        own_server.signal(signal.SIGHUP)
        wait_for(lambda: int(own_server.get("/pid").body) != pid, "the next generation", 20)
        for client in idle:
            wait_for(lambda client=client: int(body(client, "pid")) != pid, "it is passed on")  # type: ignore[misc]
        for client in sleepers:
            answer = client.read_answer()
            assert (answer.body, answer.closes) == (b"slept", False)
        # At once, but for those whose answer came before their worker was told to go.
        for client in sleepers:
            wait_for(lambda client=client: int(body(client, "pid")) != pid, "it is passed on")  # type: ignore[misc]
        assert is_alive(pid)
        stream.reset()
        wait_for(lambda: not is_alive(pid), "the older worker is gone")
    assert "Traceback" not in own_server.log_text()


def test_a_stop_lets_requests_sleep_on(own_server: Server) -> None:
    """Until there is news, which comes by a connection that was there before."""
    with clients(own_server, 30) as sleepers, own_server.connect() as idle:
        pid = int(body(idle, "pid"))
        for client in sleepers:
            client.send(get("news"))
        wait_for(lambda: state(own_server)["running"] == 30, "they sleep")
        own_server.signal(signal.SIGTERM)
        wait_until_it_leaves(own_server, pid)
        idle.send(get("publish?text=now"))
        for client in (idle, *sleepers):
            answer = client.read_answer()
            assert (answer.status, answer.closes) == (200, True)
    assert own_server.wait() == 0
    assert "Traceback" not in own_server.log_text()


def test_what_may_be_loaded_only_once_is_reloaded(worker_class: str, tmp_path: Path) -> None:
    """The runner has loaded it: the arbiter lets go before the first template, in a fresh interpreter, loads it."""
    (tmp_path / "locking.py").write_text(
        "import fcntl\n"
        "from support.waiting import make_app\n"
        f"LOCK = open({str(tmp_path / 'lock')!r}, 'a')\n"
        "fcntl.flock(LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
    )
    settings = {"workers": "1", "worker_class": worker_class, "reload_mode": "retire_first"}
    env = {"PYTHONPATH": python_path(tmp_path)}
    with serve(settings=settings, app="paste.app_factory = locking:make_app", env=env) as server:
        server.wait_for_log("[INFO] Serving ")
        pids = {int(server.get("/pid").body)}
        for number in range(2, 5):
            server.signal(signal.SIGHUP)
            server.wait_for_log(f"Generation {number} serves (", 20)
            pids.add(int(server.get("/pid").body))
        (template,) = server.titled("unicorn: template")
        send_signal(template.pid, signal.SIGKILL)
        server.wait_for_log("Generation 5 serves (", 20)
        pids.add(int(server.get("/pid").body))
        assert len(pids) == 5
        assert "could not be loaded" not in server.log_text()


# -- the start ---------------------------------------------------------------------------------------------------------


def test_a_library_that_is_not_installed_is_told_before_anything_is_bound(worker_class: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{worker_class!r}] = None\n")
    ini = f"[server:main]\nuse = egg:gunicorn#main\nworker_class = {worker_class}\nbind = 127.0.0.1:{{port}}\n"
    code, output = run_to_end(
        f"{ini}workers = many\n[app:main]\n{APPLICATION}\n", env={"PYTHONPATH": python_path(tmp_path)}
    )
    assert code == 1
    assert f'worker_class: {worker_class} is not installed; pip install "gunicorn[{worker_class}]"' in output
    assert "workers: " in output
    assert "Traceback" not in output


def test_what_was_imported_too_early_is_told(worker_class: str, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import ssl\n")
    settings = {"workers": "1", "worker_class": worker_class}
    with serve(settings=settings, app=APPLICATION, env={"PYTHONPATH": python_path(tmp_path)}) as server:
        log = server.log_text()
        assert log.count(f"worker_class = {worker_class}: ssl was imported before it could be patched") == 1
        assert "MonkeyPatchWarning" not in log


def test_nothing_is_said_of_a_start_as_it_should_be(server: Server, worker_class: str) -> None:
    log = server.log_text()
    assert "could be patched" not in log
    assert log.count("Eventlet is maintained") == (worker_class == "eventlet")
    assert "eprecat" not in log
