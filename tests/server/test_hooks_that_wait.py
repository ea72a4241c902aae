"""A worker's last hooks may wait, as one does that takes leave of a registry over the network."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.client import request_bytes
from support.processes import is_alive, read_process, send_signal, wait_until_gone
from support.server import Server, serve, wait_for

HOOKS = {name: f"support.supervised.{name}_that_waits" for name in ("worker_int", "worker_abort", "worker_exit")}


@contextlib.contextmanager
def serving(worker_class: str, notes: Path, app: str = "supervised", **more: str) -> Iterator[Server]:
    settings = {"workers": "1", "worker_class": worker_class, "raw_env": f"HOOKS={notes}", **HOOKS, **more}
    notes.touch()
    with serve(settings=settings, app=f"paste.app_factory = support.{app}:make_app") as server:
        server.wait_for_log("[INFO] Serving ")
        yield server


CALLED = {
    signal.SIGTERM: ["worker_exit"],
    signal.SIGQUIT: ["worker_int", "worker_exit"],
    signal.SIGABRT: ["worker_abort", "worker_exit"],
}
BUSY = [(number, busy) for number in (signal.SIGQUIT, signal.SIGABRT) for busy in ("/sleep?s=60", "/spin?s=60")]


def is_at_rest(pid: int) -> bool:
    """Whether it sleeps in the kernel."""
    process = read_process(pid)
    return process is not None and process.state == "S"


@pytest.mark.parametrize(("number", "busy"), [*((number, "") for number in CALLED), *BUSY])
def test_all_is_done_before_the_worker_has_gone(
    worker_class: str, number: signal.Signals, busy: str, tmp_path: Path
) -> None:
    with serving(worker_class, tmp_path / "notes") as server, server.connect() as client:
        client.send(request_bytes("GET", "/pid"))
        pid = int(client.read_answer().body)
        if busy:
            client.send(request_bytes("GET", f"{busy}&touch={tmp_path / 'begun'}"))
            wait_for((tmp_path / "begun").exists, "it runs")
        if "spin" not in busy:
            wait_for(lambda: is_at_rest(pid), "it waits for what comes")
        send_signal(pid, number)
        wait_for(lambda: not is_alive(pid), "the worker to be gone")
        assert (tmp_path / "notes").read_text().split() == CALLED[number]
        assert "raised an exception" not in server.log_text()


def test_a_second_quit_does_not_wait_for_them(worker_class: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with serving(worker_class, notes, worker_int="support.supervised.worker_int_without_end") as server:
        pid = int(server.get("/pid").body)
        send_signal(pid, signal.SIGQUIT)
        wait_for(notes.read_text, "the hook waits")
        assert is_alive(pid)
        send_signal(pid, signal.SIGQUIT)
        wait_for(lambda: not is_alive(pid), "the worker to be gone")
        assert notes.read_text().split() == ["worker_int"]


def test_a_worker_whose_loop_is_done_meanwhile_waits_for_them(worker_class: str, tmp_path: Path) -> None:
    """As when all of the server is told to stop at once."""
    notes, gate = tmp_path / "notes", tmp_path / "gate"
    hook = "support.supervised.worker_int_at_the_gate"
    with serving(worker_class, notes, raw_env=f"HOOKS={notes}\n GATE={gate}", worker_int=hook) as server:
        pid = int(server.get("/pid").body)
        wait_for(lambda: is_at_rest(pid), "it waits for what comes")
        send_signal(pid, signal.SIGQUIT)
        wait_for(notes.read_text, "the hook waits")
        send_signal(pid, signal.SIGTERM)
        assert wait_until_gone([pid], 1.0) == [pid]
        gate.touch()
        wait_for(lambda: not is_alive(pid), "the worker to be gone")
        assert notes.read_text().split() == ["worker_int", "worker_exit"]


@pytest.mark.parametrize("worker_class", ["gevent", "eventlet"])
def test_a_hub_that_is_blocked_itself_is_ended_by_the_second_quit(worker_class: str, tmp_path: Path) -> None:
    with serving(worker_class, tmp_path / "notes", "waiting") as server:
        pid = int(server.get("/pid").body)
        server.get(f"/block?touch={tmp_path / 'begun'}")
        wait_for((tmp_path / "begun").exists, "it is blocked")

        def has_gone() -> bool:
            send_signal(pid, signal.SIGQUIT)  # of two that have not been seen yet the process sees one
            return not is_alive(pid)

        wait_for(has_gone, "the worker to be gone")
