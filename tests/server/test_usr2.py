"""USR2: a new arbiter beside the old one, on the same sockets; it is in charge when the old one has gone."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.client import Client, request_bytes
from support.ports import free_port
from support.processes import is_alive, send_signal, wait_until_gone
from support.reloads import INI, Site, environ, errors, site
from support.server import command, environment, wait_for


@contextlib.contextmanager
def upgraded(folder: Path, *settings: str, **options: object) -> Iterator[tuple[Site, int]]:
    """A server beside which a new arbiter serves, with changed code; the site, and the new arbiter's pid."""
    with ended(folder, *settings, **options) as running:
        running.change(running.code, '"first"', '"second"')
        yield running, upgrade(running)


@contextlib.contextmanager
def ended(folder: Path, *settings: str, **options: object) -> Iterator[Site]:
    """A server whose last arbiter is stopped at the end, whichever that is."""
    with site(folder, *settings, **options) as running:  # type: ignore[arg-type]
        try:
            wait_for(lambda: "[INFO] Serving " in log_of(running), "all workers: before that USR2 does nothing")
            yield running
        finally:
            for pid in running.arbiters():
                send_signal(pid, signal.SIGTERM)
            assert wait_until_gone([one.pid for one in running.server.processes()], 10.0) == []


def upgrade(running: Site, old: int | None = None) -> int:
    """USR2 to this arbiter; the new one's pid, when it serves."""
    old = old or running.pid
    start = len(log_of(running))
    os.kill(old, signal.SIGUSR2)
    wait_for(lambda: "; TERM ends this one" in log_of(running)[start:], "a new arbiter that serves")
    (new,) = [pid for pid in running.arbiters() if pid != old]
    return new


def log_of(running: Site) -> str:
    """Of a daemon, too."""
    path = running.server.directory / "the.log"
    return path.read_text() if path.exists() else running.log()


def stop(running: Site, pid: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Stop an arbiter, and wait until it and its processes are gone."""
    os.kill(pid, number)
    wait_for(lambda: not is_alive(pid), f"the end of arbiter {pid}")


def wait_until_in_charge(running: Site, pid: int) -> None:
    """Wait until this arbiter has noticed that the one before has gone: it starts no other one beside that."""
    running.server.wait_for_log(f"[{pid}] [INFO] The arbiter before has ended; this one is in charge")


def codes(running: Site, count: int = 20) -> set[str]:
    """The code that answers: of both arbiters, while both serve."""
    return {running.loaded()["code"] for _ in range(count)}


# -- both sides --------------------------------------------------------------------------------------------------------


def test_the_new_arbiter_answers_and_is_alone_after_term_to_the_old_one(tmp_path: Path) -> None:
    with upgraded(tmp_path) as (running, new):
        assert running.arbiters() == [running.pid, new]
        assert codes(running) <= {"first", "second"}
        with running.server.connect() as client:
            stop(running, running.pid)
            client.send(request_bytes("GET", "/pid"))
            assert client.read_answer().status == 200
        assert running.server.wait() == 0
        assert running.arbiters() == [new]
        assert codes(running) == {"second"}
        log = running.server.wait_for_log(f"[{new}] [INFO] The arbiter before has ended; this one is in charge")
        assert errors(log) == []
        # It reloads as any other.
        running.pid = new
        running.change(running.code, '"second"', '"third"')
        running.reload()
        assert codes(running) == {"third"}
        stop(running, new)
        with pytest.raises(ConnectionRefusedError):
            running.loaded()


def test_term_to_the_new_one_leaves_the_old_one_as_it_was(tmp_path: Path) -> None:
    with upgraded(tmp_path) as (running, new):
        stop(running, new)
        running.server.wait_for_log(f"The new arbiter (pid {new}) has ended; this one goes on serving")
        assert running.arbiters() == [running.pid]
        assert codes(running) == {"first"}
        assert errors(running.log()) == []
        assert ": 2 workers after " in running.reload()


def test_connections_survive_and_a_running_request_is_finished(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    with upgraded(tmp_path, "keepalive = 60") as (running, new), contextlib.ExitStack() as stack:
        idle = [stack.enter_context(running.server.connect()) for _ in range(10)]
        for client in idle:
            client.send(request_bytes("GET", "/pid"))
            client.read_answer()
        busy = stack.enter_context(running.server.connect())
        busy.send(request_bytes("GET", f"/sleep?s=1&touch={begun}"))
        wait_for(begun.exists, "the request to begin")
        stop(running, running.pid)
        assert busy.read_answer().body == b"slept"
        for client in idle:
            client.send(request_bytes("GET", "/loaded"))
            assert b'"second"' in client.read_answer().body
        assert running.arbiters() == [new]


def test_a_chain_of_three(tmp_path: Path) -> None:
    with upgraded(tmp_path) as (running, second):
        stop(running, running.pid)
        wait_until_in_charge(running, second)
        running.change(running.code, '"second"', '"third"')
        third = upgrade(running, second)
        stop(running, second)
        assert running.arbiters() == [third]
        assert codes(running) == {"third"}


def test_upgrade_auto_needs_no_term(tmp_path: Path) -> None:
    with ended(tmp_path, "upgrade = auto") as running:
        running.change(running.code, '"first"', '"second"')
        running.hup(signal.SIGUSR2)
        assert running.server.wait() == 0
        running.server.wait_for_log("this one is in charge")
        assert len(running.arbiters()) == 1
        assert codes(running) == {"second"}


def test_a_stop_while_the_new_one_boots_waits_for_it(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    with ended(tmp_path, app=[f"hang_if = {hold}"]) as running:
        hold.touch()
        running.hup(signal.SIGUSR2)
        wait_for(lambda: len(running.templates()) == 2, "a template of the new one")
        running.server.signal(signal.SIGTERM)
        running.server.wait_for_log("Got TERM: this arbiter stops as soon as the new one is ready")
        assert running.loaded()["code"] == "first"
        assert len(running.workers()) == 2
        hold.unlink()
        assert running.server.wait() == 0
        assert len(running.arbiters()) == 1
        assert running.loaded()["code"] == "first"


def test_a_huge_environment_comes_along(tmp_path: Path) -> None:
    """To the new arbiter, and to a later template of it: longer than what a socket takes at once."""
    many = {f"MANY_{number}": "x" * 100_000 for number in range(4)}
    with upgraded(tmp_path, env=many) as (running, new):
        stop(running, running.pid)
        assert running.loaded()["code"] == "second"
        running.pid = new
        running.reload()
        assert running.process()["environ"].items() >= many.items()


def test_a_second_usr2_changes_nothing(tmp_path: Path) -> None:
    with upgraded(tmp_path) as (running, new):
        before = running.pids()
        start = running.hup(signal.SIGUSR2)
        running.server.wait_for_log(f"Got USR2: a new arbiter is there already (pid {new})", after=start)
        os.kill(new, signal.SIGUSR2)
        running.server.wait_for_log("Got USR2: the arbiter before is still there; end that one first", after=start)
        assert running.pids() == before


def test_an_old_one_that_is_killed_leaves_the_new_one_in_charge(tmp_path: Path) -> None:
    with upgraded(tmp_path, "pidfile = {directory}/own.pid") as (running, new):
        path = running.server.directory / "own.pid"
        assert path.read_text() == f"{running.pid}\n"
        os.kill(running.pid, signal.SIGKILL)
        running.server.popen.wait()
        running.server.wait_for_log(f"[{new}] [INFO] The arbiter before has ended; this one is in charge")
        wait_for(lambda: path.read_text() == f"{new}\n", "the pid file to name the new one")
        wait_for(lambda: len(running.pids()) == 4, "the old one's processes to be gone")
        assert codes(running) == {"second"}
    assert not path.exists()


# -- a new one that fails ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site")) as running:
        yield running


def refused(running: Site, *said: str) -> str:
    """USR2 leads to nothing but this in the log, which ends in what to do; what served goes on."""
    before = running.pids()
    start = running.hup(signal.SIGUSR2)
    log = running.server.wait_for_log("The upgrade failed: ", after=start)
    wait_for(lambda: running.pids() == before, "nobody but who was there before")
    log = running.log()[start:]
    for text in said:
        assert text in log
    last = errors(log)[-1]
    assert last.splitlines()[-1].strip() == "Correct it and send USR2 again"
    assert "this one goes on serving" in last
    assert running.loaded()["code"] == "first"
    return log


FAILURES = [
    ("code", "CODE = ", "CODE = 1 / 0 #", ["The start failed: ", "ZeroDivisionError", "has ended with exit code 1"]),
    ("ini", "workers = 2", "wrokers = 2", ["[server:main] wrokers: unknown setting; did you mean", "test.ini:"]),
    ("ini", "workers = 2", "workers = 2\nwhen_ready = no.such.hook", ["when_ready", "can't be imported"]),
    ("ini", "workers = 2", "workers = 2\nerrorlog = /nowhere/at/all/log", ["errorlog", "/nowhere/at/all/log"]),
]


@pytest.mark.parametrize(("which", "old", "new", "said"), FAILURES, ids=[new for _, _, new, _ in FAILURES])
def test_a_new_one_that_fails_leaves_the_old_one_serving(
    shared: Site, which: str, old: str, new: str, said: list[str]
) -> None:
    path = shared.code if which == "code" else shared.server.ini
    text = path.read_text()
    shared.change(path, old, new)
    try:
        refused(shared, *said)
    finally:
        path.write_text(text)


def test_an_address_that_somebody_else_has_is_named(shared: Site) -> None:
    text = shared.server.ini.read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        shared.set(f"bind = 127.0.0.1:{shared.server.port}, {address}")
        refused(shared, f"bind = {address}: Address already in use: another process listens there")
    shared.server.ini.write_text(text)


def test_a_pid_file_that_another_server_has(shared: Site, tmp_path: Path) -> None:
    text = shared.server.ini.read_text()
    path = tmp_path / "pid"
    path.write_text(f"{os.getpid()}\n")
    shared.set(f"pidfile = {path}")
    refused(shared, f"pidfile = {path}: a server is already running as pid {os.getpid()}; stop it first")
    assert path.read_text() == f"{os.getpid()}\n"
    shared.server.ini.write_text(text)


def test_a_new_one_that_is_killed_while_it_boots(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    with site(tmp_path, app=[f"hang_if = {hold}"]) as running:
        hold.touch()
        before = running.pids()
        running.hup(signal.SIGUSR2)
        wait_for(lambda: len(running.templates()) == 2, "a template of the new one")
        (new,) = [pid for pid in running.arbiters() if pid != running.pid]
        os.kill(new, signal.SIGKILL)
        running.server.wait_for_log(f"The upgrade failed: the new arbiter (pid {new}) was killed by SIGKILL")
        wait_for(lambda: running.pids() == before, "nobody but who was there before")
        assert running.loaded()["code"] == "first"


# -- addresses ---------------------------------------------------------------------------------------------------------


def test_a_unix_socket_survives_and_goes_with_the_last_one(tmp_path: Path) -> None:
    with ended(tmp_path, "    unix:{directory}/s", ini=INI.replace("workers = 2\n", "")) as running:
        path = running.server.directory / "s"
        inode = path.stat().st_ino
        new = upgrade(running)
        stop(running, running.pid)
        assert path.stat().st_ino == inode
        with Client(str(path)) as client:
            client.send(request_bytes("GET", "/pid"))
            assert client.read_answer().status == 200
        stop(running, new)
        assert not path.exists()


def test_what_waits_at_an_address_that_the_new_one_does_not_have_is_answered(tmp_path: Path) -> None:
    other, added = free_port(), free_port()
    bind = f"    127.0.0.1:{other}, unix:{{directory}}/s"
    begun = tmp_path / "begun"
    with (
        ended(tmp_path, bind, "    ", ini=INI.replace("workers = 2\n", "")) as running,
        contextlib.ExitStack() as stack,
    ):
        path = str(running.server.directory / "s")
        running.change(running.server.ini, f"    127.0.0.1:{other}, unix:{path}\n", f"    127.0.0.1:{added}\n")
        upgrade(running)
        # Both serve, and the old one has its addresses still.
        assert ask(("127.0.0.1", added)) == ask(("127.0.0.1", other)) == ask(path) == 200
        busy = stack.enter_context(Client(path))
        busy.send(request_bytes("GET", f"/sleep?s=1&touch={begun}"))
        wait_for(begun.exists, "the old one's only worker to be busy")
        waiting = [stack.enter_context(Client(address)) for address in [("127.0.0.1", other), path] * 5]
        for client in waiting:
            client.send(request_bytes("GET", "/pid"))
        stop(running, running.pid)
        assert busy.read_answer().body == b"slept"
        for client in waiting:
            assert client.read_answer().status == 200
        assert not os.path.exists(path)
        with pytest.raises(ConnectionRefusedError):
            ask(("127.0.0.1", other))
        assert ask(("127.0.0.1", running.server.port)) == ask(("127.0.0.1", added)) == 200


def ask(address: tuple[str, int] | str) -> int:
    with Client(address) as client:
        client.send(request_bytes("GET", "/pid"))
        return client.read_answer().status


def test_a_reload_of_either_leaves_the_other_s_addresses_alone(tmp_path: Path) -> None:
    other = free_port()
    with upgraded(tmp_path, f"    127.0.0.1:{other}", ini=INI.replace("workers = 2\n", "")) as (running, new):
        running.change(running.server.ini, f"    127.0.0.1:{other}\n", "")
        start = running.hup()
        running.wait_for_reload(start)
        assert ask(("127.0.0.1", other)) == 200  # the new arbiter was started with it
        stop(running, running.pid)
        assert ask(("127.0.0.1", other)) == 200
        running.pid = new
        running.reload()
        with pytest.raises(ConnectionRefusedError):
            ask(("127.0.0.1", other))


# -- pid files, daemons, managers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("runner", ["paster", "gearbox"])
def test_pid_files_name_the_arbiter_in_charge_and_are_gone_at_the_end(runner: str, tmp_path: Path) -> None:
    args = ["--pid-file", "runner.pid"]
    with upgraded(tmp_path, "pidfile = {directory}/own.pid", runner=runner, args=args) as (running, new):
        paths = [running.server.directory / name for name in ("own.pid", "runner.pid")]

        def named() -> list[int]:
            with contextlib.suppress(OSError, ValueError):  # it is just being written
                return [int(path.read_text()) for path in paths]
            return []

        assert named() == [running.pid] * 2
        stop(running, running.pid)
        assert running.server.wait() == 0
        wait_for(lambda: named() == [new] * 2, "the pid files to name the new one")
        stop(running, new)
        assert not any(path.exists() for path in paths)
        assert "PID file" not in running.log()  # the runner has nothing to say about it


def test_the_runner_s_stop_finds_the_new_one_and_winch_and_hup_mean_the_old_one_s_workers(tmp_path: Path) -> None:
    args = ["--daemon", "--pid-file", "the.pid", "--log-file", "the.log"]
    with upgraded(tmp_path, args=args, daemon=True) as (running, new):
        old = running.pid
        os.kill(old, signal.SIGWINCH)
        wait_for(lambda: len(running.workers()) == 2, "the new one's workers alone")
        assert codes(running) == {"second"}
        os.kill(old, signal.SIGHUP)
        wait_for(lambda: "Generation 2 serves (HUP): 2 workers" in log_of(running), "workers of the old one again")
        assert len(running.workers()) == 4
        stop(running, old)
        done = stop_by_runner("paster", running, tmp_path)
        assert done.returncode == 0, done.stdout
        wait_for(lambda: not is_alive(new), "the end of the new one")
        assert not (running.server.directory / "the.pid").exists()
        assert f"[{new}] [INFO] Stopped (INT)" in log_of(running)


@pytest.mark.parametrize("runner", ["paster", "gearbox"])
def test_the_runner_s_stop_while_both_serve_ends_the_old_one_and_a_second_one_the_new_one(
    runner: str, tmp_path: Path
) -> None:
    """The first of them fails: it goes on asking the pid that the file named when it began."""
    args = ["--daemon", "--pid-file", "the.pid", "--log-file", "the.log"]
    with upgraded(tmp_path, args=args, daemon=True, runner=runner) as (running, new):
        first = stop_by_runner(runner, running, tmp_path)
        assert first.returncode != 0
        assert "ProcessLookupError" in first.stderr
        assert running.arbiters() == [new]
        assert codes(running) == {"second"}
        second = stop_by_runner(runner, running, tmp_path)
        assert second.returncode == 0, second.stderr
        wait_for(lambda: not is_alive(new), "the end of the new one")
        assert not (running.server.directory / "the.pid").exists()


def stop_by_runner(runner: str, running: Site, folder: Path) -> subprocess.CompletedProcess[str]:
    """`--stop-daemon`, as an operator says it."""
    return subprocess.run(
        command(runner, running.server.ini, ["--stop-daemon", "--pid-file", "the.pid"]),
        cwd=running.server.directory, env=environment(running.server.mark, environ(folder)),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_service_manager_is_told(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(10.0)
        with ended(tmp_path, env={"NOTIFY_SOCKET": str(path)}) as running:
            assert manager.recv(100) == b"READY=1"
            new = upgrade(running)
            assert manager.recv(100) == b"READY=1"
            stop(running, running.pid)
            assert manager.recv(100) == f"MAINPID={new}\nREADY=1".encode()
            stop(running, new)
            assert manager.recv(100) == b"STOPPING=1"


# -- where it is refused -----------------------------------------------------------------------------------------------


def not_done(running: Site, arbiter: int, reason: str) -> None:
    start = len(running.log())
    os.kill(arbiter, signal.SIGUSR2)
    running.server.wait_for_log(f"Got USR2: {reason}", after=start)
    assert len(running.server.titled("unicorn: arbiter")) == 1
    assert running.loaded()["code"] == "first"


@pytest.mark.parametrize(
    ("runner", "arg", "reason"),
    [
        ("paster", "--reload", "under a reloader the end of this process means a restart; "),
        ("pserve", "--reload", "under a reloader the end of this process means a restart; "),
        ("paster", "--monitor-restart", "under --monitor-restart the end of this process means a restart; "),
    ],
)
def test_it_is_refused_where_the_end_of_the_arbiter_means_something(
    runner: str, arg: str, reason: str, tmp_path: Path
) -> None:
    with site(tmp_path, runner=runner, args=[arg]) as running:
        not_done(running, running.pid, reason)
        running.server.signal(signal.SIGINT if arg == "--reload" and runner == "paster" else signal.SIGTERM)
        running.server.wait()
        wait_for(lambda: not running.server.processes(), "all to be gone")
