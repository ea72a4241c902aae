"""What holds something exclusive can't be loaded beside itself: the old generation goes before the new one comes.

Nobody is refused meanwhile: connections wait in the kernel's queue, and are answered by the new generation.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from support.client import request_bytes
from support.reloads import CODE, INI, STOCK, Site, environ, errors, site
from support.server import run_to_end, wait_for

# As an embedded database does: the lock is taken when the application is loaded, and held as long as it lives.
LOCKS = {
    "flock": "fcntl.flock(LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)",
    "lockf": "fcntl.lockf(LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)",
}


def holding(lock: str, tmp_path: Path) -> str:
    """The code of an application that takes this lock."""
    taking = f"import fcntl\nLOCK = open({str(tmp_path / 'lock')!r}, 'a')\n{LOCKS[lock]}\n"
    return f"{taking}{CODE}"


class Visitor:
    """Connects and asks again and again, in a thread; what did not go well."""

    def __init__(self, running: Site) -> None:
        self.failures: list[str] = []
        self.answers = 0
        self._server = running.server
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                with self._server.connect(timeout_s=30.0) as client:
                    client.send(request_bytes("GET", "/pid", [("Connection", "close")]))
                    assert client.read_answer().status == 200
                self.answers += 1
            except (OSError, AssertionError) as error:
                self.failures.append(repr(error))

    def __enter__(self) -> Visitor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(40.0)
        assert not self._thread.is_alive()


@pytest.mark.parametrize(("lock", "worker_class"), [("flock", "sync"), ("lockf", "sync"), ("flock", "gevent")])
def test_it_is_reloaded_again_and_again_and_nobody_is_refused(lock: str, worker_class: str, tmp_path: Path) -> None:
    if worker_class == "gevent":
        pytest.importorskip("gevent")
    settings = ["reload_mode = retire_first", f"worker_class = {worker_class}"]
    with site(tmp_path, *settings, code=holding(lock, tmp_path)) as running:
        with Visitor(running) as visitor:
            for number in range(2, 5):
                running.change(running.code, "CODE = ", f'CODE = "the {number}th" or ')
                log = running.reload()
                assert f"Generation {number - 1} retires before the next one is loaded (retire_first)" in log
                assert running.loaded()["code"] == f"the {number}th"
            start = len(running.log())
            os.kill(running.templates()[0], signal.SIGKILL)
            running.server.wait_for_log("Generation 5 serves (", after=start)
            answered = visitor.answers
            wait_for(lambda: visitor.answers > answered, "one more answer")
        assert visitor.failures == []
        (entry,) = errors(running.log())
        assert "was killed by SIGKILL" in entry
        assert running.arbiters() == [running.pid]


@pytest.mark.parametrize("lock", LOCKS)
def test_without_it_a_reload_fails_and_the_log_names_it(lock: str, tmp_path: Path) -> None:
    with site(tmp_path, code=holding(lock, tmp_path)) as running:
        before, workers = running.pids(), running.workers()
        (entry,) = errors(running.fail())
        assert "BlockingIOError" in entry
        assert entry.splitlines()[-1].strip() == (
            "Correct it and send HUP again. If the application holds something exclusive (a lock file, a port), it "
            "can't be loaded beside itself: set reload_mode = retire_first and restart"
        )
        wait_for(lambda: running.pids() == before, "nobody but who was there before")
        assert running.loaded()["code"] == "first"
        start = len(running.log())
        os.kill(running.templates()[0], signal.SIGKILL)
        running.server.wait_for_log("Correct it; HUP tries at once", after=start)
        assert "set reload_mode = retire_first" in errors(running.log()[start:])[-1]
        assert running.workers() == workers
        assert running.loaded()["code"] == "first"


CHAINED = """\
import fcntl
LOCK = open({path!r}, "a")
try:
    fcntl.flock(LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError as error:
    raise RuntimeError("another shop is open\\n(see the manual)") from error
"""


def test_it_is_named_where_only_the_cause_of_what_was_raised_speaks_of_it(tmp_path: Path) -> None:
    with site(tmp_path, code=CHAINED.format(path=str(tmp_path / "held")) + CODE) as running:
        (entry,) = errors(running.fail())
        assert "RuntimeError: another shop is open" in entry
        assert entry.endswith("can't be loaded beside itself: set reload_mode = retire_first and restart")


def test_where_the_first_template_is_a_fresh_interpreter_too_the_start_names_it(tmp_path: Path) -> None:
    pytest.importorskip("gevent")
    (tmp_path / "site_of_the_test.py").write_text(holding("flock", tmp_path))
    (tmp_path / "stock_of_the_test.py").write_text(STOCK)
    ini = INI.replace("{settings}", "worker_class = gevent").replace("{app}", "")
    code, log = run_to_end(ini, env=environ(tmp_path))
    assert code == 1
    (entry,) = errors(log)
    assert "The start failed: generation 1 could not be loaded" in entry
    assert entry.endswith("can't be loaded beside itself: set reload_mode = retire_first and restart")


def test_usr2_is_refused_with_advice(tmp_path: Path) -> None:
    with site(tmp_path, "reload_mode = retire_first", code=holding("flock", tmp_path)) as running:
        start = running.hup(signal.SIGUSR2)
        log = running.server.wait_for_log("Got USR2: ", after=start)
        assert "with reload_mode = retire_first nothing can be loaded beside what serves; restart instead" in log
        assert running.arbiters() == [running.pid]


def test_usr2_of_one_that_holds_something_fails_and_the_log_names_it(tmp_path: Path) -> None:
    with site(tmp_path, code=holding("flock", tmp_path)) as running:
        start = running.hup(signal.SIGUSR2)
        log = running.server.wait_for_log("The upgrade failed: ", after=start)
        assert "set reload_mode = retire_first" in log
        assert running.loaded()["code"] == "first"


def test_code_that_can_t_be_loaded_lets_connections_wait_until_it_can(tmp_path: Path) -> None:
    with site(tmp_path, "reload_mode = retire_first", code=holding("flock", tmp_path)) as running:
        running.change(running.code, "CODE = ", "CODE = 1 / 0 #")
        start = running.hup()
        log = running.server.wait_for_log("Correct it; HUP tries at once", after=start)
        assert "Generation 2 could not be loaded; the next try is in 0.5 s" in log
        assert "ZeroDivisionError" in log
        with running.server.connect(timeout_s=20.0) as client:
            client.send(request_bytes("GET", "/pid"))
            running.change(running.code, "CODE = 1 / 0 #", 'CODE = "good" or ')
            running.hup()
            assert client.read_answer().status == 200
        assert running.loaded()["code"] == "good"


def test_a_stop_while_the_next_generation_loads_answers_what_the_kernel_has_accepted(
    worker_class: str, tmp_path: Path
) -> None:
    hold = tmp_path / "hold"
    settings = ["reload_mode = retire_first", f"worker_class = {worker_class}"]
    with site(tmp_path, *settings, app=[f"hang_if = {hold}"]) as running, running.server.connect(30.0) as idle:
        idle.send(request_bytes("GET", "/pid"))
        assert idle.read_answer().status == 200
        hold.touch()
        start = running.hup()
        running.server.wait_for_log("Loading generation 2 ", after=start)
        with running.server.connect(30.0) as waiting:
            for client in (idle, waiting):
                client.send(request_bytes("GET", "/pid"))
            running.server.signal(signal.SIGTERM)
            running.server.wait_for_log("finishing what has been accepted", after=start)
            hold.unlink()
            assert [client.read_answer().status for client in (idle, waiting)] == [200, 200]
            assert running.server.wait() == 0
        log = running.log()[start:]
        assert "end without an answer" not in log
        assert log.splitlines()[-1].endswith(" 0 lost")


def test_a_stop_while_nothing_can_be_loaded_says_that_nobody_answers(tmp_path: Path) -> None:
    with site(tmp_path, "reload_mode = retire_first") as running:
        running.change(running.code, "CODE = ", "CODE = 1 / 0 #")
        running.server.wait_for_log("Correct it; HUP tries at once", after=running.hup())
        running.server.signal(signal.SIGTERM)
        assert running.server.wait() == 0
        assert "There is no worker: connections that the kernel has accepted meanwhile end without" in running.log()


def test_the_mode_may_change_by_a_reload_and_holds_for_the_next_one(tmp_path: Path) -> None:
    with site(tmp_path) as running:
        running.set("reload_mode = retire_first")
        assert "retires before" not in running.reload()
        assert "retires before" in running.reload()
        running.set("reload_mode = ready_first")
        assert "retires before" in running.reload()
        assert "retires before" not in running.reload()
