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
WOULD_START, NOTHING_SHORT = "A server would start with this if", "Nothing that it needs falls short."
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
    assert checked.flat.endswith(f" {WOULD_START} the application loads, which is not tried here. {NOTHING_SHORT}")
    for what in (
        "settings",
        "application [app:main]",
        "bind = 127.0.0.1:",
        "logs",
        "Open files of a process",
        "Connections that wait",
    ):
        assert re.search(rf"^ok +{re.escape(what)}", checked.text, re.MULTILINE), checked.text


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
        (("--server-name=none",), "[server:none] can't be read: prod.ini: there is no [server:none]"),
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


# -- sections ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ini", "said"),
    [
        ("garbage\n", "prod.ini:1: 'garbage' stands before the first [section]"),
        ("[server:main]\nuse = egg:gunicorn#main\ngarbage\n", "prod.ini:3: 'garbage' is neither a [section] nor"),
        ("[server:main]\nbind = :80\n\nbind = :81\n", "prod.ini:4 [server:main] bind is there twice"),
        ("[server:main]\n[app:main]\n[server:main]\n", "prod.ini:3: [server:main] is there twice"),
        ("[server:main]\n\nbind = %(port)s\n", "prod.ini:3 [server:main] bind: %(port)s is not defined here or in"),
        ("[server:main]\nbind = 5%\n", "prod.ini:2 [server:main] bind: write %% for a percent sign, or %(name)s"),
        ("[server:main]\nname = b\xe9\n", "prod.ini:2: this is not utf-8 text; save the file as utf-8"),
        ("[server:main]\nuse = main\n", "prod.ini [server:main]: `use` leads back to where it came from"),
        (
            "[server:main]\nuse = b\n[server:b]\nuse = egg:none-such",
            "prod.ini:4 [server:b]: `use = egg:none-such`: there is",
        ),
        ("[server:main]\nuse = config:b.ini\n", "b.ini: No such file or directory"),
        (
            "[server:main]\nuse = egg:gunicorn#mian\n",
            'the package "gunicorn" has no entry point "mian" in paste.server',
        ),
        ("[server:main]\nworkers = 2\n", "prod.ini [server:main] says nothing of what to load; give it `use` or"),
        ("[app:main]\n", "prod.ini: there is no [server:main]"),
    ],
)
def test_a_file_that_can_not_be_read_is_said_with_the_line_and_what_is_wrong(
    tmp_path: Path, ini: str, said: str
) -> None:
    (tmp_path / "prod.ini").write_bytes(ini.encode("latin-1"))
    checked = check(tmp_path)
    assert (checked.code, checked.verdict("settings")) == (1, "wrong")
    assert f"wrong: [server:main] can't be read: {said}" in checked.flat or f": {said}" in checked.flat, checked.text


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("", "prod.ini: there is no [app:main], nor [composite:main], nor [pipeline:main], nor [filter-app:main]"),
        ("[app:main]\nuse = site\n", "prod.ini:6 [app:main]: `use = site`: there is no [app:site], nor"),
        ("[app:main]\nuse = egg:none-such\n", '`use = egg:none-such`: there is no package "none-such" in this Python'),
        ("[app:main]\nuse = egg:gunicorn#wsig\n", 'the package "gunicorn" has no entry point "wsig" in paste.app'),
        ("[app:main]\nuse = config:b.ini#site\n", "b.ini: No such file or directory"),
        ("[app:main]\nkey = value\n", "prod.ini [app:main] says nothing of what to load; give it `use` or `paste.app"),
        ("[pipeline:main]\npipeline = a b\n[app:b]\nuse = call:a:b\n", "[pipeline:main]: there is no [filter:a]"),
        ("[app:main]\nuse = call:a:b\nfilter-with = no\n", "prod.ini [app:main]: there is no [filter:no]"),
        ("[app:main]\nuse = call:a:b\nget x = y\n", 'prod.ini [app:main]: there is no "y" in [DEFAULT]'),
        ("[app:main]\nuse = call:a:b\nrequire = none-such\n", 'prod.ini [app:main]: there is no package "none-such"'),
    ],
)  # fmt: skip
def test_an_application_that_is_not_there_is_said_as_a_start_fails(tmp_path: Path, app: str, said: str) -> None:
    ini = f"[server:main]\nuse = egg:gunicorn#main\nbacklog = 64\nbind = 127.0.0.1:{free_port()}\n{app}"
    (tmp_path / "prod.ini").write_text(ini)
    checked = check(tmp_path)
    assert (checked.code, checked.verdict("application")) == (1, "wrong"), checked.text
    assert said in checked.flat, checked.text
    assert checked.text.endswith("\n1 wrong, 0 short: a server would not start with this.\n")
    command = [COMMANDS["paster"][0], "serve", "prod.ini"]
    started = subprocess.run(
        command, cwd=tmp_path, env=environment("", {}), timeout=60, check=False, capture_output=True
    )
    assert started.returncode != 0


@pytest.mark.parametrize(
    ("app", "section"),
    [
        ("[composite:main]\nuse = egg:Paste#urlmap\n/ = nowhere\n", "composite:main"),
        ("[pipeline:main]\npipeline = a b\n[filter:a]\nuse = egg:gunicorn#upload_progress\n[app:b]\nuse = call:c:d\n",
         "pipeline:main"),
        ("[app:main]\nuse = config:other.ini#site\nset debug = no\n", "app:main"),
        ("[filter-app:main]\nuse = egg:gunicorn#upload_progress\nnext = b\n[app:b]\nuse = call:c:d\n",
         "filter-app:main"),
    ],
)  # fmt: skip
def test_an_application_is_followed_and_not_loaded(tmp_path: Path, app: str, section: str) -> None:
    ini = f"[server:main]\nuse = egg:gunicorn#main\nbacklog = 64\nbind = 127.0.0.1:{free_port()}\n{app}"
    (tmp_path / "prod.ini").write_text(ini)
    (tmp_path / "other.ini").write_text("[app:site]\npaste.app_factory = no_such_module:nothing\n")
    checked = check(tmp_path)
    assert (checked.code, checked.verdict(f"application [{section}]")) == (0, "ok"), checked.text


def test_another_application_is_chosen_by_name(tmp_path: Path, face: str) -> None:
    write(tmp_path, more="[app:other]\nuse = nothing\n")
    assert check(tmp_path, "--app-name=main", face=face).code == 0
    checked = check(tmp_path, "--app-name=other", face=face)
    assert (checked.code, checked.verdict("application")) == (1, "wrong")


def test_what_only_a_start_can_tell_is_said(tmp_path: Path) -> None:
    (tmp_path / "hooks_of_check.py").write_text("def on_starting(server):\n    raise SystemExit(3)\n")
    write(tmp_path, "pythonpath = .", "on_starting = hooks_of_check.on_starting", "warmup = /", "bind = fd://7")
    checked = check(tmp_path)
    assert checked.code == 0, checked.text
    assert re.search(r"^ok +hooks: on_starting +imported, not called$", checked.text, re.MULTILINE)
    assert re.search(r"^ok +warmup: 1 request +not made$", checked.text, re.MULTILINE)
    untried = "the application loads and no hook stops it and it answers the requests of warmup and it is given fd://7"
    assert f"{WOULD_START} {untried}, which is not tried here." in checked.flat


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
    write(tmp_path, "accesslog = folder.log", "errorlog = folder.log")
    checked = check(tmp_path)
    assert (checked.code, checked.verdict("logs")) == (1, "wrong")
    for place in ("prod.ini:4 [server:main] accesslog", "prod.ini:5 [server:main] errorlog"):
        assert f'wrong: {place}: "{tmp_path}/folder.log" can\'t be opened for writing (Is a directory)' in checked.flat


def test_a_pid_file_that_can_not_be_written_is_said_as_at_a_start(tmp_path: Path) -> None:
    (tmp_path / "pids").mkdir()
    write(tmp_path, f"pidfile = {tmp_path}/pids")
    before = everything(tmp_path)
    checked = check(tmp_path)
    assert (checked.code, checked.verdict("pidfile = ")) == (1, "wrong"), checked.text
    code, started = run_to_end((tmp_path / "prod.ini").read_text().replace(APP, f"\n[app:main]\n{APPLICATION}\n"))
    said = started.splitlines()[-1].replace("test.ini", "prod.ini")
    named = f"pidfile = {tmp_path}/pids can't be written: Is a directory; name a file"
    assert (code, said) == (1, f"prod.ini:4 [server:main] {named}")
    assert f"wrong: {said}" in checked.flat
    assert everything(tmp_path) == before


def test_a_pid_file_of_another_server_is_said(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(f"{os.getpid()}\n")
    write(tmp_path, "pidfile = pid")
    checked = check(tmp_path)
    assert (checked.code, checked.verdict("pidfile = ")) == (1, "wrong")
    assert f"pidfile = {tmp_path}/pid: a server is already running as pid {os.getpid()}; stop it" in checked.flat


@pytest.mark.parametrize("user", ["root", "nobody"])
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_folder_of_bodies_is_tried_as_the_workers_user(tmp_path: Path, user: str) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "bodies").mkdir(0o700)
    write(tmp_path, f"user = {user}", "tmp_upload_dir = bodies", "spool_request_body = 1m")
    checked = check(tmp_path)
    assert checked.verdict("tmp_upload_dir = ") == ("ok" if user == "root" else "short")
    if user != "root":
        assert f"{tmp_path}/bodies: no file can be made there: Permission denied" in checked.flat


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
    assert "1 short: a server would start with this if the application loads, " in checked.flat
    assert checked.flat.endswith(" here, and not do all that it says.")


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
