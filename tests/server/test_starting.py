"""What a start refuses, and what it makes of the process."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.client import Client
from support.gates import spinning
from support.ports import free_port
from support.processes import is_alive, send_signal, standing_still, wait_until_gone
from support.server import Server, command, environment, run_to_end, serve, wait_for

APP = "paste.app_factory = support.supervised:make_app"
INI = "[server:main]\nuse = egg:gunicorn#main\n{settings}\n[app:main]\n" + APP + "\n"
RUNNERS = ("paster", "pserve", "gearbox")


def ini(*settings: str) -> str:
    return INI.replace("{settings}", "\n".join(settings))


# -- what is refused -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runner", RUNNERS)
def test_all_wrong_settings_are_told_at_once_and_the_exit_code_is_1(runner: str) -> None:
    code, said = run_to_end(ini("wrokers = 2", "timeout = soon", "bind = 127.0.0.1:{port}"), runner=runner)
    lines = [line for line in said.splitlines() if "test.ini" in line]
    assert code == 1
    assert any("[server:main] wrokers: unknown setting; did you mean" in line for line in lines)
    assert any("[server:main] timeout:" in line for line in lines)
    assert "Traceback" not in said
    assert "Exiting" not in said


@pytest.mark.parametrize("runner", RUNNERS)
def test_what_is_called_as_a_parameter_of_ours_is_an_unknown_setting_like_any_other(runner: str) -> None:
    names = ("application", "global_conf", "local_conf")
    code, said = run_to_end(ini("bind = 127.0.0.1:{port}", *(f"{name} = x" for name in names)), runner=runner)
    assert code == 1
    assert [name for name in names if f"[server:main] {name}: unknown setting" not in said] == []
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("bind = unix:/nowhere/at/all/s",), "the folder does not exist"),
        (("errorlog = /nowhere/at/all/log",), "errorlog"),
        (("when_ready = nothing.here",), "when_ready: nothing.here can't be imported"),
        (("pidfile = /nowhere/at/all/pid",), "pidfile"),
        (("chdir = /nowhere/at/all",), "chdir"),
    ],
)
def test_what_can_t_be_honoured_is_named_and_the_exit_code_is_1(settings: tuple[str, ...], sentence: str) -> None:
    code, said = run_to_end(ini("bind = 127.0.0.1:{port}" if "bind" not in settings[0] else "", *settings))
    assert code == 1
    assert sentence in said
    assert "Traceback" not in said


STARTS_ANEW = """
[loggers]
keys = root
[handlers]
keys = file
[formatters]
keys =
[logger_root]
handlers = file
[handler_file]
class = FileHandler
args = ("{log}", "w")
"""
NOTHING_SHORT = "A server would start with this. Nothing that it needs falls short.\n"
NO_FORMATTERS = "[loggers]\nkeys = root\n[handlers]\nkeys = h\n[logger_root]\nhandlers = h\n[handler_h]\nargs = ()\n"


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (("errorlog = {folder}", "accesslog = {folder}"), ["errorlog", "accesslog"]),
        (("logconfig = {folder}/log.ini",), ["logconfig"]),
        (("logconfig_json = {folder}/log.ini",), ["logconfig_json"]),
        (("pidfile = {folder}",), ["pidfile"]),
        (("bind = unix:{folder}, unix:{folder}/no/s",), ["bind", "bind"]),
    ],
)
def test_what_can_t_be_opened_is_told_with_the_line_of_its_setting(
    tmp_path: Path, settings: tuple[str, ...], names: list[str]
) -> None:
    (tmp_path / "log.ini").write_text(NO_FORMATTERS)
    lines = [line.replace("{folder}", str(tmp_path)) for line in settings]
    code, said = run_to_end(ini("bind = 127.0.0.1:{port}" if "bind" not in names else "", *lines))
    assert code == 1
    assert re.findall(r"^test\.ini:\d+ \[server:main\] (\w+)(?:: | = )", said, re.MULTILINE) == names


def test_a_port_that_is_taken_is_named_and_the_exit_code_is_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = run_to_end(ini(f"bind = 127.0.0.1:{port}"))
    assert code == 1
    named = f"bind = 127.0.0.1:{port}: Address already in use: another process listens there"
    assert f"test.ini:3 [server:main] {named}" in said


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        (("workers = 2", "bind = 127.0.0.1:{port}"), []),
        (("workers = many", "timeout = soon"), ["workers", "timeout"]),
        (("post_fork = no.such.hook",), ["post_fork"]),
        (("access_log_format = %%(zz)s",), ["access_log_format"]),
        (("syslog = true", "syslog_addr = foo"), ["syslog_addr"]),
        (("logconfig_json = {folder}/log.ini",), ["logconfig_json"]),
        (("logconfig = {folder}/log.ini", "pidfile = {folder}"), ["logconfig", "pidfile"]),
        (
            ("bind = unix:{folder}", "errorlog = {folder}", "accesslog = {folder}", "pidfile = {folder}"),
            ["bind", "errorlog", "accesslog", "pidfile"],
        ),
    ],
)
def test_check_config_says_all_that_a_start_would_fail_of(
    tmp_path: Path, settings: tuple[str, ...], names: list[str]
) -> None:
    (tmp_path / "log.ini").write_text(NO_FORMATTERS)
    lines = [line.replace("{folder}", str(tmp_path)) for line in ("backlog = 64", *settings)]
    code, said = run_to_end(ini(*lines, "check_config = true"))
    assert (code, said.endswith(NOTHING_SHORT)) == ((1, False) if names else (0, True)), said
    assert re.findall(r"^wrong: test\.ini:\d+ \[server:main\]\s+(\w+)(?::| =)\s", said, re.MULTILINE) == names
    assert "Serving" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.ini"]


def test_what_falls_short_is_no_mistake_of_the_settings() -> None:
    code, said = run_to_end(ini("backlog = 2000000000", "check_config = true"))
    assert code == 0
    assert "short" in said.splitlines()[-1]


def test_check_config_empties_no_log(tmp_path: Path) -> None:
    (tmp_path / "old.log").write_text("of yesterday\n")
    (tmp_path / "log.ini").write_text(STARTS_ANEW.format(log=tmp_path / "old.log"))
    code, said = run_to_end(ini(f"logconfig = {tmp_path}/log.ini", "check_config = true"))
    assert code == 0, said
    assert (tmp_path / "old.log").read_text() == "of yesterday\n"


def test_check_config_says_who_has_the_address_or_that_this_server_has_it() -> None:
    with serve(settings={"workers": "1", "backlog": "64"}, app=APP) as server:
        server.wait_for_log("Serving")
        same = server.ini.read_text().replace("backlog", "check_config = true\nbacklog")
        code, said = run_to_end(same)
        assert (code, f"this server has it (pid {server.pid})" in said) == (0, True), said
        code, said = run_to_end(same.replace("backlog", "proc_name = other\nbacklog"))
        assert (code, "Address already in use: another process" in said) == (1, True), said
        assert server.get("/pid").status == 200


def test_all_hooks_that_can_t_be_imported_are_named_with_their_lines() -> None:
    code, said = run_to_end(ini("post_fork = no.such.hook", "when_ready = os.nowhere", "bind = 127.0.0.1:{port}"))
    assert code == 1
    for name in ("post_fork", "when_ready"):
        assert re.search(rf"test\.ini:\d+ \[server:main\] {name}: ", said), said


def test_settings_hooks_and_formats_that_are_wrong_are_told_at_once_in_the_order_of_lines() -> None:
    wrong = ("wrokers = 4", "post_fork = no.such.hook", "timeout = soon", "access_log_format = %%(zz)s")
    code, said = run_to_end(ini(*wrong, "bind = 127.0.0.1:{port}"))
    assert code == 1
    names = re.findall(r"test\.ini:\d+ \[server:main\] (\w+): ", said)
    assert names == ["wrokers", "post_fork", "timeout", "access_log_format"]


def test_a_wrong_hook_of_a_daemon_is_told_where_somebody_reads_it() -> None:
    code, said = run_to_end(ini("daemon = true", "post_fork = no.such.hook", "bind = 127.0.0.1:{port}"))
    assert code == 1
    assert "[server:main] post_fork: no.such.hook can't be imported" in said


def test_a_reload_tells_all_that_is_wrong_at_once_too() -> None:
    with serve(settings={"workers": "1"}, app=APP) as server:
        server.wait_for_log("Serving")
        good = server.ini.read_text()
        lines = "timeout = soon\npost_fork = no.such.hook\naccess_log_format = %%(zz)s\n"
        server.ini.write_text(good.replace("\n[app:main]", f"{lines}\n[app:main]"))
        server.signal(signal.SIGHUP)
        log = server.wait_for_log("Correct it and send HUP again")
        names = re.findall(r"test\.ini:\d+ \[server:main\] (\w+): ", log)
        assert names == ["timeout", "post_fork", "access_log_format"]
        lines = "post_fork = no.such.hook\non_exit = os.sep\n"
        server.ini.write_text(good.replace("\n[app:main]", f"{lines}\n[app:main]"))
        server.signal(signal.SIGHUP)
        log = server.wait_for_log("Correct it and send HUP again", after=len(log))
        assert re.findall(r"test\.ini:\d+ \[server:main\] (\w+): ", log) == ["post_fork", "on_exit"]
        assert "Traceback" not in log


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_what_can_t_be_opened_later_is_told_with_the_line_of_its_setting_too(number: signal.Signals) -> None:
    with serve(settings={"workers": "1"}, app=APP) as server:
        server.wait_for_log("Serving")
        good = server.ini.read_text()
        for line in ("accesslog = /proc/log", "bind = 127.0.0.1:{port}, unix:/proc/s"):
            name = line.partition(" ")[0]
            lines = [old for old in good.splitlines() if not old.startswith(name)]
            lines.insert(2, line.replace("{port}", str(server.port)))
            server.ini.write_text("\n".join(lines))
            said = len(server.log_text())
            server.signal(number)
            # A new arbiter tells it before it has ended, and until then there can't be another one.
            log = server.wait_for_log(f"Correct it and send {number.name.removeprefix('SIG')} again", after=said)
            assert f"test.ini:3 [server:main] {name}" in log
            assert server.get("/pid").status == 200


def test_print_config_prints_values_and_where_they_came_from() -> None:
    code, said = run_to_end(ini("workers = 3", "print_config = true", "backlog = 64", "bind = 127.0.0.1:{port}"))
    assert (code, said.endswith(NOTHING_SHORT)) == (0, True), said
    (line,) = [line for line in said.splitlines() if line.startswith("workers =")]
    assert "3" in line
    assert "test.ini" in line


# -- what is made of the process -------------------------------------------------------------------------------


def kill_template_and_worker(server: Server) -> None:
    """Of a server with one worker, which is replaced soon after its template: so both stand still before."""
    ((template,), (worker,)) = (server.titled(title) for title in ("unicorn: template", "unicorn: worker"))
    with standing_still([template.pid, worker.pid]):
        for pid in (template.pid, worker.pid):
            send_signal(pid, signal.SIGKILL)


def process(server: Server) -> dict[str, object]:
    found: dict[str, object] = json.loads(server.get("/process").body)
    return found


def test_a_fresh_start_prints_one_line_of_ours() -> None:
    with serve(settings={"workers": "2"}, app=APP) as server:
        log = server.wait_for_log("Serving")
        lines = [line for line in log.splitlines() if not line.startswith("Starting server in PID")]
        assert len(lines) == 1
        assert f"Serving test.ini on 127.0.0.1:{server.port} with 2 workers (arbiter pid {server.pid})" in lines[0]


def test_directory_umask_environment_and_path_hold_for_all_generations(tmp_path: Path) -> None:
    settings = {
        "workers": "1",
        "chdir": str(tmp_path),
        "umask": "027",
        "raw_env": "COLOUR=blue\n  SHAPE=round",
        "pythonpath": str(tmp_path / "lib"),
    }
    (tmp_path / "lib").mkdir()
    with serve(settings=settings, app=APP) as server:
        server.wait_for_log("Serving")
        first = process(server)
        kill_template_and_worker(server)
        server.wait_for_log("Template of generation 2")
        second = process(server)
    for seen in (first, second):
        environ = seen["environ"]
        assert isinstance(environ, dict)
        assert (environ["COLOUR"], environ["SHAPE"]) == ("blue", "round")
        assert (seen["cwd"], seen["umask"]) == (str(tmp_path), 0o027)
        assert isinstance(seen["path"], list)
        assert seen["path"][0] == str(tmp_path / "lib")
    assert second["path"] == first["path"]
    assert second["environ"] == first["environ"]


def test_signals_that_workers_do_not_heed_are_not_ignored_for_the_application_s_children() -> None:
    with serve(settings={"workers": "1"}, app=APP) as server:
        handlers = process(server)["handlers"]
    assert "SIG_IGN" not in str(handlers)


def test_pidfile_is_there_while_the_server_runs() -> None:
    with serve(settings={"workers": "1", "pidfile": "{directory}/pid"}, app=APP) as server:
        path = server.directory / "pid"
        assert path.read_text() == f"{server.pid}\n"
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert not path.exists()


def test_a_second_server_with_the_same_pidfile_is_refused() -> None:
    with serve(settings={"workers": "1", "pidfile": "{directory}/pid"}, app=APP) as server:
        path = server.directory / "pid"
        code, said = run_to_end(ini("bind = 127.0.0.1:{port}", f"pidfile = {path}"))
        assert code == 1
        assert f"already running as pid {server.pid}" in said
        assert path.exists()


def test_a_pidfile_of_a_killed_server_does_not_stop_the_next(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    path.write_text(f"{done.pid}\n")
    with serve(settings={"workers": "1", "pidfile": str(path)}, app=APP) as server:
        assert path.read_text() == f"{server.pid}\n"


def test_a_unix_socket_lets_everybody_in_unless_umask_says_otherwise() -> None:
    with serve(settings={"workers": "1", "bind": "unix:{directory}/s"}, app=APP) as server:
        assert stat.S_IMODE((server.directory / "s").stat().st_mode) == 0o777
    with serve(settings={"workers": "1", "bind": "unix:{directory}/s", "umask": "007"}, app=APP) as server:
        assert stat.S_IMODE((server.directory / "s").stat().st_mode) == 0o770


def test_a_dead_unix_socket_is_replaced_and_a_live_one_refused() -> None:
    with serve(settings={"workers": "1", "bind": "unix:{directory}/s"}, app=APP) as server:
        path = server.directory / "s"
        code, said = run_to_end(ini(f"bind = unix:{path}"))
        assert code == 1
        assert "another process listens there" in said
        assert server.get("/pid").status == 200
        os.kill(server.pid, signal.SIGKILL)
        assert wait_until_gone([one.pid for one in server.processes()], 10.0) == []
        assert path.exists()
        with serve(settings={"workers": "1", "bind": f"unix:{path}"}, app=APP) as second:
            assert second.get("/pid").status == 200
        server.popen.wait()


def test_several_addresses_are_served_by_all_workers() -> None:
    other = free_port()
    with serve(settings={"workers": "1", "bind": f"127.0.0.1:{{port}}, 127.0.0.1:{other}"}, app=APP) as server:
        for port in (server.port, other):
            with Client(("127.0.0.1", port)) as client:
                client.send(b"GET /pid HTTP/1.0\r\n\r\n")
                assert client.read_answer().status == 200


def test_a_socket_that_was_handed_over_is_served_and_left_to_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "test.ini"
    with socket.create_server(("127.0.0.1", 0)) as held:
        path.write_text(ini(f"bind = fd://{held.fileno()}", "workers = 1"))
        with subprocess.Popen(
            command("paster", path), env=environment("", {}), cwd=tmp_path, pass_fds=[held.fileno()],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as popen:  # fmt: skip
            with Client(held.getsockname(), 20.0) as client:
                client.send(b"GET /pid HTTP/1.0\r\n\r\n")
                assert client.read_answer().status == 200
            popen.send_signal(signal.SIGTERM)
            assert popen.wait(10) == 0
        # Nobody accepts now, but the queue is still the holder's.
        with socket.create_connection(held.getsockname(), timeout=10.0):
            pass


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


@needs_root
def test_workers_become_the_user_and_give_up_root_s_groups() -> None:
    settings = {"workers": "2", "user": "nobody", "group": "nogroup", "bind": "unix:{directory}/s"}
    with serve(settings=settings, app=APP) as server:
        server.wait_for_log("Serving")
        seen = process(server)
        assert (seen["uid"], seen["gid"], seen["groups"]) == (65534, 65534, [65534])
        status = (server.directory / "s").stat()
        assert (status.st_uid, status.st_gid) == (65534, 65534)
        assert Path(f"/proc/{server.pid}").stat().st_uid == 0
        # The kernel still ends them with the arbiter.
        all_of_them = [one.pid for one in server.processes()]
        with spinning(server):
            os.kill(server.pid, signal.SIGKILL)
            assert wait_until_gone(all_of_them, 10.0) == []
        server.popen.wait()


# -- daemons ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def ended(pid_file: Path) -> Iterator[None]:
    """Whatever happens, the daemon whose pid is in this file is ended."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError, ValueError):
            pid = int(pid_file.read_text())
            os.kill(pid, signal.SIGTERM)
            if wait_until_gone([pid], 10.0):
                os.kill(pid, signal.SIGKILL)


def test_daemon_goes_to_the_background_and_stops() -> None:
    settings = {
        "workers": "2", "daemon": "true", "pidfile": "{directory}/pid", "errorlog": "{directory}/error.log",
    }  # fmt: skip
    with serve(settings=settings, app=APP, daemon=True) as server, ended(server.directory / "pid"):
        assert server.wait() == 0
        pid_file, log = server.directory / "pid", server.directory / "error.log"
        pid = int(pid_file.read_text())
        assert pid != server.pid
        assert os.getsid(pid) not in (os.getsid(0), pid)
        assert server.get("/pid").status == 200
        (said,) = [line for line in log.read_text().splitlines() if "paster serve --daemon" in line]
        assert re.search(r" test\.ini:\d+ \[server:main\] daemon: ", said)
        for number in (0, 1, 2):
            assert os.readlink(f"/proc/{pid}/fd/{number}") == "/dev/null"
        os.kill(pid, signal.SIGTERM)
        assert wait_until_gone([pid], 10.0) == []
        wait_for(lambda: not server.processes(), "all to be gone")
        assert not pid_file.exists()
        assert "Stopped (TERM)" in log.read_text()


@pytest.mark.parametrize("runner", ["paster", "gearbox"])
def test_the_runner_s_daemon_starts_tells_its_status_and_stops(runner: str) -> None:
    options = ["--daemon", "--pid-file", "the.pid"]
    if runner == "paster":
        options += ["--log-file", "the.log"]
    with serve(settings={"workers": "2"}, app=APP, runner=runner, args=options, daemon=True) as server:
        pid_file = server.directory / "the.pid"
        with ended(pid_file):
            wait_for(lambda: pid_file.exists() and pid_file.read_text(), "the pid file")
            pid = int(pid_file.read_text())
            wait_for(lambda: len(server.titled("unicorn: worker")) == 2, "workers")
            if runner == "paster":
                assert run_command(server, "--status", "--pid-file", "the.pid").returncode == 0
                again = run_command(server, "--daemon", "--pid-file", "the.pid")
                assert "already running" in again.stdout
                assert run_command(server, "--stop-daemon", "--pid-file", "the.pid").returncode == 0
                # After ten seconds paster would send TERM.
                assert "Stopped (INT)" in (server.directory / "the.log").read_text()
            else:
                os.kill(pid, signal.SIGTERM)
            assert wait_until_gone([pid], 10.0) == []
            wait_for(lambda: not server.processes(), "all to be gone")
            assert not pid_file.exists()


def run_command(server: Server, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("paster", server.ini, args), cwd=server.directory, env=environment(server.mark, {}),
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def test_start_restart_status_stop_of_paster() -> None:
    with serve(settings={"workers": "1"}, app=APP, args=["start"], daemon=True) as server:
        pid_file = server.directory / "paster.pid"
        with ended(pid_file):
            wait_for(lambda: pid_file.exists() and pid_file.read_text(), "the pid file")
            first = int(pid_file.read_text())
            assert run_command(server, "status").returncode == 0
            assert run_command(server, "restart").returncode == 0
            assert not is_alive(first)
            wait_for(lambda: pid_file.exists() and pid_file.read_text(), "the pid file of the second")
            wait_for(lambda: server.titled("unicorn: worker"), "a worker of the second")
            assert int(pid_file.read_text()) != first
            assert server.get("/pid").status == 200
            assert run_command(server, "stop").returncode == 0
            wait_for(lambda: not server.processes(), "all to be gone")
            assert run_command(server, "status").returncode == 1


def test_a_later_template_of_a_daemon_writes_into_the_runner_s_log() -> None:
    args = ["--daemon", "--pid-file", "the.pid", "--log-file", "the.log"]
    settings = {"workers": "1", "timeout": "2", "on_starting": "support.supervised.gives_time"}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serve(settings=settings, app=APP, args=args, daemon=True))
        stack.enter_context(ended(server.directory / "the.pid"))
        log = server.directory / "the.log"
        wait_for(lambda: "Serving" in log.read_text(), "the start")
        kill_template_and_worker(server)
        later = re.compile(r"unicorn: worker \d+ \[test\.ini\] g2")
        wait_for(lambda: any(later.fullmatch(one.title) for one in server.processes()), "a worker of generation 2")
        (arbiter,) = server.titled("unicorn: arbiter")
        begun = server.directory / "begun"
        with server.connect() as client:
            with standing_still([arbiter.pid]):  # it would kill a worker that stands still before it runs this
                client.send(f"GET /spin?s=60&touch={begun} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                wait_for(begun.exists, "the request begins")
            # Tracebacks come from C, and need the real descriptor.
            wait_for(lambda: "in do_spin" in log.read_text(), "tracebacks in the log")


def test_monitor_restart_brings_a_killed_server_back_on_the_same_port() -> None:
    with serve(settings={"workers": "2"}, app=APP, args=["--monitor-restart"]) as server:
        server.wait_for_log("Serving")
        (first,) = server.titled("unicorn: arbiter")
        before = [one.pid for one in server.titled("unicorn:")]
        os.kill(first.pid, signal.SIGKILL)
        assert wait_until_gone(before, 10.0) == []
        wait_for(lambda: [one.pid for one in server.titled("unicorn: arbiter")] not in ([], [first.pid]), "another")
        wait_for(lambda: len(server.titled("unicorn: worker")) == 2, "its workers")
        assert server.get("/pid").status == 200
        assert "already in use" not in server.log_text()
