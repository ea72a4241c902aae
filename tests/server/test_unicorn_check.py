"""`paster unicorn-check` and `python -m paste_unicorn.check`: what they find, and that they leave no trace."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.namespaces import own_network, why_no_network
from support.server import APPLICATION, Server, environment, free_port, run_to_end, serve

COMMANDS = {
    "paster": [str(Path(sys.executable).parent / "paster"), "unicorn-check"],
    "module": [sys.executable, "-m", "paste_unicorn.check"],
}
APP = "\n[app:main]\npaste.app_factory = no_such_module:nothing\n"  # nobody is to load it
NO_NETWORK = why_no_network() if sys.platform.startswith("linux") else "not on this system"


class Checked:
    """What a check said, and its exit code."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = text
        self.flat = " ".join(text.split())  # paragraphs are wrapped

    def verdict(self, what: str) -> str:
        """Of the row that begins with these words."""
        found = re.search(rf"^(\w+) +{re.escape(what)}", self.text, re.MULTILINE)
        assert found is not None, self.text
        return found[1]


def check(
    folder: Path, *args: str, face: str = "module", prefix: Sequence[str] = (), ini: Path | str = "prod.ini"
) -> Checked:
    done = subprocess.run(
        [*prefix, *COMMANDS[face], str(ini), *args],
        cwd=folder,
        env=environment("", {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return Checked(done.returncode, done.stdout)


def write(folder: Path, *settings: str, more: str = "", name: str = "prod.ini") -> None:
    lines = "\n".join(settings)
    if "bind" not in lines:
        lines += f"\nbind = 127.0.0.1:{free_port()}"
    (folder / name).write_text(f"[server:main]\nuse = egg:gunicorn#main\nbacklog = 64\n{lines}\n{more}{APP}")


def everything(folder: Path) -> dict[str, tuple[int, int, int]]:
    """All that is in a folder: inode, size and time of change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        found[str(path)] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


@pytest.fixture(params=COMMANDS)
def face(request: pytest.FixtureRequest) -> str:
    """Both ways to ask."""
    return str(request.param)


def test_where_all_is_fine_it_says_so_and_ends_with_0(tmp_path: Path, face: str) -> None:
    write(tmp_path)
    checked = check(tmp_path, face=face)
    assert checked.code == 0, checked.text
    assert checked.text.startswith("prod.ini [server:main]\n")
    assert checked.text.endswith("\nA server would start with this, and nothing that it needs falls short.\n")
    for what in ("settings", "bind = 127.0.0.1:", "logs", "Open files of a process", "Connections that wait"):
        assert re.search(rf"^ok +{what}", checked.text, re.MULTILINE), checked.text


def test_mistakes_are_those_of_a_start_and_the_code_is_1(tmp_path: Path, face: str) -> None:
    write(tmp_path, "wrokers = 2", "timeout = soon", "bind = 127.0.0.1:http")
    code, started = run_to_end((tmp_path / "prod.ini").read_text().replace(APP, f"\n[app:main]\n{APPLICATION}\n"))
    said = [line.replace("test.ini", "prod.ini") for line in started.splitlines() if "[server:main] " in line]
    assert (code, len(said)) == (1, 3)
    checked = check(tmp_path, face=face)
    assert checked.code == 1
    assert checked.verdict("settings") == "wrong"
    for line in said:
        assert f"wrong: {line}" in checked.flat
    assert checked.text.endswith("\n1 wrong, 0 short: a server would not start with this.\n")


def test_another_server_section_is_chosen_by_name_or_by_part(tmp_path: Path, face: str) -> None:
    port = free_port()
    other = "[server:site]\nuse = egg:gunicorn#main\nbind = 127.0.0.1:%(port)s\n[app:site]\nuse = main\n"
    write(tmp_path, "workers = many", more=other)
    assert check(tmp_path, face=face).code == 1
    by_name = check(tmp_path, "--server-name=site", f"port={port}", face=face)
    by_part = check(tmp_path, f"port={port}", face=face, ini="prod.ini#site")
    for checked in (by_name, by_part):
        assert checked.code == 0, checked.text
        assert checked.text.startswith("prod.ini [server:site]\n")
        assert checked.verdict(f"bind = 127.0.0.1:{port}") == "ok"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--server-name=none",), "[server:none] can't be read: LookupError: No section 'none'"),
        (("--server-name=other",), "[server:other] has no `use = egg:gunicorn#main`: it is for another server."),
    ],
)
def test_a_section_that_is_not_there_or_not_ours_is_said(tmp_path: Path, args: tuple[str, ...], said: str) -> None:
    write(tmp_path, more="[server:other]\npaste.server_runner = wsgiref.simple_server:make_server\n")
    checked = check(tmp_path, *args)
    assert (checked.code, said in checked.flat) == (1, True), checked.text


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    checked = check(tmp_path)
    assert (checked.code, "No such file or directory" in checked.flat) == (1, True), checked.text


def test_wrong_words_on_the_command_line_are_said(tmp_path: Path, face: str) -> None:
    write(tmp_path)
    checked = check(tmp_path, "start", face=face)
    assert (checked.code, '"start" is no assignment; give name=value' in checked.flat) == (2, True), checked.text


# -- addresses -----------------------------------------------------------------------------------------------------


def test_an_address_that_somebody_has_is_said_with_his_pid(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(path))
        unix.listen()
        port = tcp.getsockname()[1]
        write(tmp_path, f"bind = 127.0.0.1:{port}, unix:{path}")
        checked = check(tmp_path)
    assert checked.code == 1
    assert checked.verdict(f"bind = 127.0.0.1:{port}") == "wrong"
    assert checked.verdict(f"bind = unix:{path}") == "wrong"
    if sys.platform.startswith("linux"):
        assert (
            checked.flat.count(f"another process listens there; stop it, or choose another address (pid {os.getpid()}:")
            == 2
        )


def test_an_address_that_can_not_be_had_is_said(tmp_path: Path) -> None:
    write(tmp_path, "bind = 192.0.2.1:8080, unix:/nowhere/s, fd://7")
    checked = check(tmp_path)
    assert checked.code == 1
    assert (
        "bind = 192.0.2.1:8080: Cannot assign requested address: no network interface of this machine" in checked.flat
    )
    assert "bind = unix:/nowhere/s: No such file or directory: the folder does not exist" in checked.flat
    assert checked.verdict("bind = fd://7") == "unknown"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems don't tell who listens")
@pytest.mark.parametrize("bind", ["127.0.0.1:{port}", "unix:{directory}/s", "unix:@unicorn-check-{port}"])
def test_a_server_with_this_ini_that_runs_is_no_mistake_and_serves_on(bind: str) -> None:
    port = free_port()
    bind = bind.replace("{port}", str(port))
    with serve(settings={"bind": bind, "pidfile": "{directory}/pid"}, port=port, ready=None) as server:
        server.wait_for_log("[INFO] Serving ")
        before = server.log_text()
        checked = check(server.directory, ini=server.ini)
        assert checked.code == 0, checked.text
        assert f"this server has it (pid {server.pid})" in checked.text
        assert server.log_text() == before
        answers(server, bind)


def answers(server: Server, bind: str) -> None:
    if not bind.startswith("unix:@"):
        assert server.get("/").status in (200, 404)


def test_what_a_server_that_runs_may_do_is_asked_of_it() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("other systems don't tell")
    prefix = ["prlimit", "--nofile=300:1100"]
    with serve(settings={"worker_connections": "1000"}, prefix=prefix) as server:
        checked = check(server.directory, ini=server.ini)
    assert checked.code == 1
    assert re.search(r"^short +Open files of a process \(RLIMIT_NOFILE\) +1100 +1129$", checked.text, re.MULTILINE)
    assert f"prlimit --pid {server.pid} --nofile=1129:1129 && kill -HUP {server.pid} (as root)\n" in checked.text


# -- logs, pid file, user ------------------------------------------------------------------------------------------

LOGGERS = """
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
args = ("{folder}/configured.log", "a")
"""


def test_what_was_tried_leaves_no_trace(tmp_path: Path) -> None:
    (tmp_path / "old.log").write_text("a line\n")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "stale"))
    settings = (
        f"bind = 127.0.0.1:{free_port()}, unix:{tmp_path}/stale, unix:{tmp_path}/new",
        "errorlog = new.log", "accesslog = old.log", "pidfile = pid", "capture_output = true",
    )  # fmt: skip
    write(tmp_path, *settings, more=LOGGERS.replace("{folder}", str(tmp_path)))
    before = everything(tmp_path)
    checked = check(tmp_path)
    assert checked.code == 0, checked.text
    assert checked.verdict("logs") == checked.verdict("pidfile = ") == "ok"
    assert everything(tmp_path) == before


def test_a_log_that_can_not_be_opened_is_said(tmp_path: Path) -> None:
    (tmp_path / "folder.log").mkdir()
    write(tmp_path, "accesslog = folder.log")
    checked = check(tmp_path)
    assert (checked.code, checked.verdict("logs")) == (1, "wrong")
    assert f'accesslog: "{tmp_path}/folder.log" can\'t be opened for writing (Is a directory)' in checked.flat


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_user_is_tried(tmp_path: Path) -> None:
    write(tmp_path, "user = nobody", "group = nogroup")
    checked = check(tmp_path)
    assert (checked.code, checked.verdict("user = nobody, group = ")) == (0, "ok"), checked.text


@pytest.mark.skipif(os.geteuid() != 0, reason="gives up what only root has")
def test_a_user_that_root_may_not_become_is_said(tmp_path: Path) -> None:
    write(tmp_path, "user = nobody")
    checked = check(tmp_path, prefix=["setpriv", "--bounding-set=-setuid"])
    assert (checked.code, checked.verdict("user = nobody")) == (1, "wrong"), checked.text
    assert "user = nobody: Operation not permitted" in checked.flat


# -- the kernel ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets limits of Linux")
def test_a_limit_that_falls_short_is_the_exit_code_1_and_its_command_one_line(tmp_path: Path, face: str) -> None:
    write(tmp_path, "worker_connections = 2000")
    checked = check(tmp_path, face=face, prefix=["prlimit", "--nofile=1000:1500"])
    assert checked.code == 1
    assert re.search(r"^short +Open files of a process \(RLIMIT_NOFILE\) +1500 +2129$", checked.text, re.MULTILINE)
    assert "\n    now:     ulimit -n 2129 (as root, in the shell that starts the server)\n" in checked.text
    assert checked.text.endswith("\n1 short: a server would start with this, and not do all that it says.\n")


@pytest.mark.skipif(bool(NO_NETWORK), reason=f"no network namespace: {NO_NETWORK}")
def test_what_stops_clients_alone_does_not_count(tmp_path: Path) -> None:
    write(tmp_path)
    values = {"ipv4/ip_local_port_range": "20000 20099", "ipv4/tcp_tw_reuse": 0}
    checked = check(tmp_path, prefix=own_network(values))
    assert checked.code == 0, checked.text
    assert checked.verdict("Ports for connections from here (net.ipv4.ip_local_port_range)") == "short"
    assert checked.verdict("Ports that rest after their connection, TIME_WAIT (net.ipv4.tcp_tw_reuse)") == "short"
    assert '\n    now:     sysctl -w "net.ipv4.ip_local_port_range=10240 65535"\n' in checked.text


@pytest.mark.skipif(bool(NO_NETWORK), reason=f"no network namespace: {NO_NETWORK}")
def test_the_queue_is_read_back_from_the_kernel(tmp_path: Path) -> None:
    write(tmp_path, "workers = 1")
    checked = check(tmp_path, prefix=own_network({"core/somaxconn": 16}))
    assert checked.code == 1
    assert re.search(r"\(net\.core\.somaxconn\) +16 for a new listener +64$", checked.text, re.MULTILINE)
