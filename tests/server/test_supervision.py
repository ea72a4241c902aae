"""What dies is replaced, what is stuck is ended, and nothing outlives the arbiter."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import is_alive, wait_until_gone
from support.reloads import CODE, site
from support.server import Server, serve, wait_for

APP = "paste.app_factory = support.supervised:make_app"
GIVES_TIME = {"on_starting": "support.supervised.gives_time"}


@contextlib.contextmanager
def two_workers(**settings: str) -> Iterator[Server]:
    with serve(settings={"workers": "2", **settings}, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        yield server


def workers(server: Server) -> list[int]:
    return [process.pid for process in server.titled("unicorn: worker")]


def template(server: Server) -> int:
    (process,) = server.titled("unicorn: template")
    return process.pid


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    os.kill(pid, number)


def pid_of_answer(server: Server) -> int:
    return int(server.get("/pid").body)


def occupy(server: Server, path: str, tmp_path: Path) -> None:
    """Start a request and wait until it is being served."""
    begun = tmp_path / "begun"
    client = server.connect(timeout_s=60.0)
    client.send(f"GET {path}&touch={begun} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    server_clients.append(client)
    wait_for(begun.exists, "the request to begin")


server_clients: list[object] = []  # connections that must stay open until their test is over


@pytest.fixture(autouse=True)
def _close_clients() -> Iterator[None]:
    yield
    for client in server_clients:
        client.close()  # type: ignore[attr-defined]
    server_clients.clear()


def test_titles_name_the_role_the_ini_the_slot_and_the_generation() -> None:
    with two_workers() as server:
        titles = [process.title for process in server.processes()]
    assert titles == [
        "unicorn: arbiter [test.ini]",
        "unicorn: template [test.ini] g1",
        "unicorn: worker 1 [test.ini] g1",
        "unicorn: worker 2 [test.ini] g1",
    ]


def test_proc_name_replaces_the_ini_in_titles_and_nowhere_else() -> None:
    with two_workers(proc_name="shop") as server:
        assert "[INFO] Serving test.ini on " in server.log_text()
        assert {process.title.partition("[")[2] for process in server.processes()} == {"shop]", "shop] g1"}


def test_a_killed_worker_is_said_and_replaced() -> None:
    with two_workers() as server:
        first = workers(server)
        kill(first[0])
        wait_for(lambda: len(workers(server)) == 2 and first[0] not in workers(server), "a replacement")
        server.wait_for_log(f"Worker 1 (pid {first[0]}) was killed by SIGKILL; it is replaced")
        assert pid_of_answer(server) in workers(server)


def test_a_worker_that_crashes_is_said_and_replaced() -> None:
    with two_workers() as server:
        with contextlib.suppress(OSError, AssertionError):
            server.get("/crash")
        server.wait_for_log("was killed by SIGSEGV")
        wait_for(lambda: len(workers(server)) == 2, "a replacement")
        assert server.get("/pid").status == 200


def test_the_workers_of_a_killed_template_go_on_until_those_of_the_next_one_are_ready(tmp_path: Path) -> None:
    hang = tmp_path / "hang"
    ini = (
        "[DEFAULT]\ncolour = blue\n"
        "[server:main]\nuse = egg:gunicorn#main\nbind = 127.0.0.1:{port}\nworkers = 2\nkeepalive = 60\n"
        f"[app:other]\npaste.app_factory = support.supervised:make_app\ngiven = %(thing)s\nhang_if = {hang}\n"
    )
    with serve(ini, args=["-n", "other", "thing=nail"]) as server:
        server.wait_for_log("[INFO] Serving ")
        before = workers(server)
        first = json.loads(server.get("/loaded").body)
        with server.connect() as client:
            client.send(b"GET /pid HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert int(client.read_answer("GET").body) in before
            hang.touch()
            kill(template(server))
            server.wait_for_log("its workers go on until those of a new one are ready")
            for _ in range(20):
                client.send(b"GET /pid HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert int(client.read_answer("GET").body) in before
                assert pid_of_answer(server) in before
            assert workers(server) == before
        hang.unlink()
        # Loaded from what was recorded at the start.
        server.wait_for_log("Generation 2 serves (the template before it has gone): 2 workers after ")
        second = json.loads(server.get("/loaded").body)
        assert second.pop("value") != first.pop("value")
        assert second == first
        assert second["local"] == {"given": "nail", "hang_if": str(hang)}
        assert second["global"]["colour"] == "blue"
        titles = [process.title.partition(" [")[2] for process in server.titled("unicorn: worker")]
        assert titles == ["test.ini] g2"] * 2
        assert [process.title for process in server.titled("unicorn: template")] == ["unicorn: template [test.ini] g2"]


def test_a_worker_whose_end_its_template_has_seen_and_not_reported_is_not_waited_for(tmp_path: Path) -> None:
    # Its template ignores SIGCHLD, so the kernel reaps at once and tells nobody; then it dies itself.
    code = f"{CODE}\nimport ctypes, gc, signal, threading, time\n{DEAF}"
    with site(tmp_path) as running:
        running.code.write_text(code)
        running.reload()
        wait_for((tmp_path / "deaf").exists, "the template to turn deaf")
        running.code.write_text(CODE)
        (template,) = running.templates()
        lost = running.workers(2)[0]
        kill(lost)
        assert wait_until_gone([lost], 10.0) == []
        start = len(running.log())
        kill(template)
        log = running.wait_for_reload(start)
        assert "Generation 3 serves (the template before it has gone): 2 workers after " in log
        assert f"(pid {lost}) has ended, and its template before it could say how" in log


DEAF = """
def turn_deaf():
    while not gc.get_freeze_count():  # it takes its signals twice, after the load and after a warm-up, and then freezes
        time.sleep(0.01)
    ctypes.CDLL(None).signal(signal.SIGCHLD, 1)  # SIG_IGN
    with open(__file__.rpartition("/")[0] + "/deaf", "w"):
        pass

threading.Thread(target=turn_deaf, daemon=True).start()
"""


def test_a_worker_that_dies_without_a_template_waits_for_the_next_one(tmp_path: Path) -> None:
    hang = tmp_path / "hang"
    with serve(settings={"workers": "2"}, app=f"{APP}\nhang_if = {hang}") as server:
        server.wait_for_log("[INFO] Serving ")
        first = workers(server)
        hang.touch()
        kill(template(server))
        kill(first[0])
        server.wait_for_log("was killed by SIGKILL; it is replaced")
        assert pid_of_answer(server) == first[1]
        hang.unlink()
        server.wait_for_log("Generation 2 serves (the template before it has gone): 2 workers after ")
        assert pid_of_answer(server) in workers(server)
        assert not set(first) & set(workers(server))


def test_a_template_that_can_t_load_says_why_and_is_tried_again_while_the_workers_go_on(tmp_path: Path) -> None:
    fail = tmp_path / "fail"
    with serve(settings={"workers": "1"}, app=f"{APP}\nfail_if = {fail}") as server:
        server.wait_for_log("[INFO] Serving ")
        fail.touch()
        kill(template(server))
        server.wait_for_log("this application can't be loaded today")
        server.wait_for_log("the next try is in 0.5 s")
        assert server.get("/pid").status == 200
        fail.unlink()
        server.wait_for_log("has loaded the application")


def test_the_orphans_of_a_template_are_reaped_with_their_status(tmp_path: Path) -> None:
    with orphans(tmp_path) as server:
        first = workers(server)
        kill(first[0])
        server.wait_for_log(f"(pid {first[0]}) was killed by SIGKILL")
        # A zombie would still be there, and would not count as alive.
        assert not Path(f"/proc/{first[0]}").exists()


@contextlib.contextmanager
def orphans(tmp_path: Path) -> Iterator[Server]:
    """Two workers whose template was killed; the next one hangs."""
    hang = tmp_path / "hang"
    with serve(settings={"workers": "2"}, app=f"{APP}\nhang_if = {hang}") as server:
        server.wait_for_log("[INFO] Serving ")
        hang.touch()
        kill(template(server))
        wait_for(lambda: server.titled("unicorn: template [test.ini] g2"), "the next template")
        yield server


GONE_S = 10.0  # a hundredth of it on a quiet machine; without the life pipe what was busy went on to its end


@pytest.mark.parametrize("busy", ["/sleep?s=60", "/spin?s=60", "/hold?s=60"])
def test_when_the_arbiter_is_killed_all_are_gone_and_the_port_is_free(busy: str, tmp_path: Path) -> None:
    with two_workers() as server:
        occupy(server, busy, tmp_path)
        all_of_them = [process.pid for process in server.processes()]
        kill(server.pid)
        assert wait_until_gone(all_of_them, GONE_S) == []
        wait_for(lambda: _is_free(server.port), "the port is free", GONE_S)
        server.popen.wait()


def _is_free(port: int) -> bool:
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            again.bind(("127.0.0.1", port))
        except OSError:
            return False
        again.listen()
    return True


def test_the_orphans_of_a_killed_template_do_not_outlive_the_arbiter_either(tmp_path: Path) -> None:
    with orphans(tmp_path) as server:
        occupy(server, "/spin?s=60", tmp_path)
        all_of_them = [process.pid for process in server.processes()]
        kill(server.pid)
        assert wait_until_gone(all_of_them, GONE_S) == []
        server.popen.wait()


def test_a_template_that_hangs_in_the_application_does_not_outlive_the_arbiter(tmp_path: Path) -> None:
    with orphans(tmp_path) as server:
        all_of_them = [process.pid for process in server.processes()]
        kill(server.pid)
        assert wait_until_gone(all_of_them, GONE_S) == []
        server.popen.wait()


def test_a_process_that_the_application_forks_does_not_keep_the_port() -> None:
    with two_workers() as server:
        pid = int(server.get("/fork?s=60").body)
        try:
            assert is_alive(pid)
            server.signal(signal.SIGTERM)
            assert server.wait() == 0
            assert is_alive(pid)
            with socket.socket() as again:
                again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                again.bind(("127.0.0.1", server.port))
                again.listen()
        finally:
            kill(pid)


def test_a_foreign_child_of_the_arbiter_is_reaped_quietly() -> None:
    with two_workers() as server:
        pid = int(server.get("/fork?s=0.2").body)
        for worker in workers(server):  # so that it becomes the arbiter's
            kill(worker)
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the foreign child to be reaped")
        # A year, a time or a port may look the same.
        assert not re.search(rf"(?<![\w:.+-]){pid}(?![\w:-])", server.log_text())


def test_a_stuck_worker_tells_its_tracebacks_and_its_request_and_is_replaced(tmp_path: Path) -> None:
    # Alone: one beside it that stands still for so long, on a busy machine, would be told as well.
    with serve(settings={"workers": "1", "timeout": "3", **GIVES_TIME}, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        (stuck,) = workers(server)
        occupy(server, "/grind?", tmp_path)
        log = server.wait_for_log("was killed by SIGKILL")
        lines = [line for line in log.splitlines() if "[ERROR]" in line]
        assert "has made no progress within timeout (3 s); it is killed and replaced" in lines[0]
        assert '"GET /grind?' in lines[1]
        assert "has not crashed: these are the tracebacks of its threads, innermost frames first" in lines[2]
        assert "Fatal" not in log
        behind = log.partition("innermost frames first\n")[2].splitlines()
        frames = [line for line in behind if line.startswith("  File ")]
        assert any("in do_grind" in frame for frame in frames)
        assert any("most recent call first" in line for line in behind[: behind.index(frames[0])])
        wait_for(lambda: workers(server) not in ([], [stuck]), "the replacement")
        assert server.get("/pid").status == 200


def test_a_stuck_worker_that_can_end_by_itself_is_ended_without_kill(tmp_path: Path) -> None:
    with two_workers(timeout="3", **GIVES_TIME) as server:
        occupy(server, "/spin?s=60", tmp_path)
        log = server.wait_for_log("in do_spin")
        assert "has made no progress" in log
        wait_for(lambda: len(workers(server)) == 2, "the replacement")


def test_an_idle_worker_is_never_overdue() -> None:
    with two_workers(timeout="3") as server:
        first = workers(server)
        time.sleep(4.5)  # nothing shows that nothing happens
        assert workers(server) == first


def test_a_slow_request_within_timeout_is_not_disturbed() -> None:
    with two_workers(timeout="8") as server:
        assert server.get("/sleep?s=2").body == b"slept"
        assert "no progress" not in server.log_text()


def test_workers_that_die_at_birth_come_more_and_more_slowly_and_a_stop_ends_it() -> None:
    settings = {"workers": "2", "post_fork": "support.supervised.never_boots"}
    with serve(settings=settings, app=APP, ready=None) as server:
        log = server.wait_for_log("the next try is in 0.8 s")
        assert re.findall(r"before it was ready; the next try is in (\S+) s", log)[:4] == ["0.1", "0.2", "0.4", "0.8"]
        assert log.count("\n") < 12
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


def test_ttin_and_ttou_make_one_worker_more_and_one_fewer_but_never_none() -> None:
    with two_workers() as server:
        server.signal(signal.SIGTTIN)
        wait_for(lambda: len(workers(server)) == 3, "a third worker")

        def one_fewer() -> bool:  # signals that come faster than they are looked at are one
            server.signal(signal.SIGTTOU)
            return "it stays" in server.log_text()

        wait_for(one_fewer, "the last one to stay")
        wait_for(lambda: len(workers(server)) == 1, "one worker")
        time.sleep(0.3)
        assert len(workers(server)) == 1
        assert server.get("/pid").status == 200


def test_usr1_reopens_the_logs_everywhere() -> None:
    settings = {"accesslog": "{directory}/access.log", "errorlog": "{directory}/error.log"}
    with serve(settings={"workers": "2", **settings}, app=APP) as server:
        error, access = server.directory / "error.log", server.directory / "access.log"
        wait_for(lambda: "Serving test.ini" in error.read_text(), "the start")
        error.rename(server.directory / "error.1")
        access.rename(server.directory / "access.1")
        server.signal(signal.SIGUSR1)
        wait_for(error.exists, "a new error log")
        wait_for(lambda: "Reopened the log files (USR1)" in error.read_text(), "the line in the new file")
        first = workers(server)
        wait_for(lambda: all(has_open(pid, access) for pid in first), "the workers to have the new one")
        assert server.get("/pid").status == 200
        wait_for(lambda: "GET /pid" in access.read_text(), "a line in the new access log")
        kill(first[0])  # one that is forked afterwards writes there too
        wait_for(lambda: first[0] not in workers(server) and len(workers(server)) == 2, "a replacement")
        old = (server.directory / "access.1").read_text()
        for _ in range(20):
            server.get("/pid?late")
        wait_for(lambda: access.read_text().count("late") == 20, "all lines in the new access log")
        assert (server.directory / "access.1").read_text() == old


def has_open(pid: int, path: Path) -> bool:
    return any(os.path.realpath(link) == str(path) for link in Path(f"/proc/{pid}/fd").iterdir())


def test_winch_lets_all_workers_retire_and_ttin_brings_one_back() -> None:
    with two_workers() as server:
        arbiter_and_template = [process.pid for process in server.processes()][:2]
        server.signal(signal.SIGWINCH)
        server.wait_for_log("Got WINCH: all workers retire; HUP brings them back")
        wait_for(lambda: not workers(server), "no worker")
        assert [process.pid for process in server.processes()] == arbiter_and_template
        # Whoever connects now waits in the kernel's queue.
        with server.connect() as client:
            client.send(b"GET /pid HTTP/1.1\r\nHost: localhost\r\n\r\n")
            server.signal(signal.SIGTTIN)
            assert client.read_answer("GET").status == 200
        assert len(workers(server)) == 1


def test_a_stop_while_all_workers_rest_answers_what_the_kernel_has_accepted() -> None:
    with two_workers() as server, server.connect(30.0) as idle:
        idle.send(b"GET /pid HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.read_answer("GET").status == 200
        server.signal(signal.SIGWINCH)
        wait_for(lambda: not workers(server), "no worker")
        with server.connect(30.0) as waiting:
            for client in (idle, waiting):
                client.send(b"GET /pid HTTP/1.1\r\nHost: localhost\r\n\r\n")
            server.signal(signal.SIGTERM)
            assert [client.read_answer("GET").status for client in (idle, waiting)] == [200, 200]
            assert server.wait() == 0


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH, signal.SIGTTIN, signal.SIGTTOU],
)
def test_signals_of_the_arbiter_that_reach_all_processes_end_none(number: signal.Signals) -> None:
    with two_workers() as server:
        others = [process.pid for process in server.processes() if process.pid != server.pid]
        for pid in others:
            kill(pid, number)
        time.sleep(0.3)
        assert [process.pid for process in server.processes() if process.pid != server.pid] == others
        assert server.get("/pid").status == 200


def test_a_worker_that_is_told_to_go_by_somebody_else_is_replaced() -> None:
    with two_workers() as server:
        first = workers(server)
        kill(first[0], signal.SIGTERM)
        wait_for(lambda: len(workers(server)) == 2 and first[0] not in workers(server), "a replacement")


def test_hooks_of_supervision_are_called_with_what_is_true() -> None:
    names = ["on_starting", "when_ready", "pre_fork", "post_fork", "child_exit", "nworkers_changed", "on_exit"]
    hooks = {name: f"support.supervised.{name}" for name in names}
    with serve(settings={"workers": "1", "raw_env": "HOOKS={directory}/hooks", **hooks}, app=APP) as server:
        path = server.directory / "hooks"
        wait_for(lambda: "when_ready" in path.read_text(), "when_ready")
        server.signal(signal.SIGTTIN)
        wait_for(lambda: "post_fork age=2" in path.read_text(), "a second worker")
        server.signal(signal.SIGTERM)
        server.wait()
        lines = path.read_text().splitlines()
    assert lines[:2] == [f"on_starting True workers=1 127.0.0.1:{server.port}", "nworkers_changed 1 None"]
    assert f"when_ready 127.0.0.1:{server.port}" in lines
    assert lines.index("pre_fork age=1") < lines.index(f"post_fork age=1 True server={server.pid}")
    assert "nworkers_changed 2 1" in lines
    assert {"child_exit age=1 True", "child_exit age=2 True"} < set(lines)
    assert lines[-1] == "on_exit"


LEAVING = {name: f"support.supervised.{name}" for name in ("worker_int", "worker_abort", "worker_exit")}


@pytest.mark.parametrize(
    ("number", "called"),
    [
        (signal.SIGTERM, ["worker_exit age=1 True"]),
        (signal.SIGQUIT, ["worker_int True", "worker_exit age=1 True"]),
        (signal.SIGABRT, ["worker_abort True", "worker_exit age=1 True"]),
        (signal.SIGKILL, []),
    ],
)
@pytest.mark.parametrize("busy", ["", "/spin?s=60"])
def test_hooks_of_a_worker_that_leaves_are_called_once_each_where_python_gets_to_run(
    number: signal.Signals, called: list[str], busy: str, tmp_path: Path
) -> None:
    if busy and number is signal.SIGTERM:
        busy = "/sleep?s=1"  # that one is finished first
    hooks = tmp_path / "hooks"
    hooks.touch()
    with serve(settings={"workers": "1", "raw_env": f"HOOKS={hooks}", **LEAVING}, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        if busy:
            occupy(server, busy, tmp_path)
        (first,) = workers(server)
        kill(first, number)
        wait_for(lambda: not is_alive(first), "the worker to be gone")
        assert hooks.read_text().splitlines() == called
        wait_for(lambda: len(workers(server)) == 1, "the replacement")


def test_timeout_calls_worker_abort_and_worker_exit(tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    settings = {"workers": "1", "timeout": "3", "raw_env": f"HOOKS={hooks}", **LEAVING, **GIVES_TIME}
    with serve(settings=settings, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        occupy(server, "/spin?s=60", tmp_path)
        wait_for(lambda: hooks.exists() and "worker_exit" in hooks.read_text(), "worker_exit")
        assert hooks.read_text().splitlines() == ["worker_abort True", "worker_exit age=1 True"]


def test_a_hook_that_leaves_by_an_exit_of_its_own_does_not_get_back_into_the_application(tmp_path: Path) -> None:
    settings = {"raw_env": f"HOOKS={tmp_path / 'hooks'}", "worker_exit": "support.supervised.worker_exit_that_leaves"}
    with serve(settings={"workers": "1", **settings}, app=APP) as server:
        server.wait_for_log("[INFO] Serving ")
        occupy(server, "/spin?s=60", tmp_path)
        (first,) = workers(server)
        kill(first, signal.SIGQUIT)
        wait_for(lambda: not is_alive(first), "the worker to be gone")
        assert (tmp_path / "hooks").read_text() == "worker_exit\n"
