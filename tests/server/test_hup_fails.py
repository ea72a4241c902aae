"""A reload that fails leaves what serves as it was, and says in one entry what happened and what to do."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.reloads import CODE, Site, errors, site
from support.server import wait_for

NEVER = "\n".join(
    [
        "import os, signal, sys, time",
        "def leaves(server, worker):",
        "    raise SystemExit(7)",
        "def leaves_too(worker):",
        "    raise SystemExit(8)",
        "def ends(server, worker):",
        "    os._exit(9)",
        "def is_killed(server, worker):",
        "    os.kill(os.getpid(), signal.SIGKILL)",
        "def sleeps(server, worker):",
        "    time.sleep(60)",
        "",
    ]
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One server, in which every reload of this module fails; at the end one succeeds."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "hooks_of_the_test.py").write_text(NEVER)
    with site(folder) as running:
        files = open_files(running.pid)
        yield running
        wait_for(lambda: open_files(running.pid) == files, "the arbiter to have as few files open as before")
        assert "Generation " in running.reload()
        assert running.loaded()["code"] == "first"


def open_files(pid: int) -> list[str]:
    """Numbers; without what it reads of the kernel, now and then."""
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            if not os.readlink(f"/proc/{pid}/fd/{name}").startswith("/proc/"):
                found.append(name)
    return sorted(found)


@pytest.fixture
def good(shared: Site) -> Iterator[Site]:
    """Its files are put right again afterwards."""
    ini = shared.server.ini.read_text()
    yield shared
    shared.server.ini.write_text(ini)
    shared.code.write_text(CODE)


def refused(running: Site, *said: str, entries: int = 1) -> str:
    """HUP fails: nothing that served has changed, and one ERROR entry has all this and ends in what to do."""
    before, answered = running.pids(), running.loaded()
    log = running.fail()
    wait_for(lambda: running.pids() == before, "nothing but what was there before")
    assert running.loaded() == answered
    log = running.log()[running.log().index(log) :]
    found = errors(log)
    assert len(found) == entries, log
    for text in said:
        assert text in found[-1], log
    assert "goes on serving as it was" in found[-1]
    assert found[-1].splitlines()[-1].strip().startswith("Correct it and send HUP again"), log
    return found[-1]


CODES = [
    ("(global_conf, **local_conf):", "(global_conf, **local_conf:", ["SyntaxError", "Traceback"]),
    ('CODE = "first"', 'raise LookupError("at import")', ["LookupError: at import", "Traceback", "_of_the_test.py"]),
    ("    return app", '    raise RuntimeError("in the factory")', ["RuntimeError: in the factory", "Traceback"]),
    (
        'CODE = "first"',
        'raise ValueError("x" * 100_000 + "!")',
        ["Traceback", "_of_the_test.py", "ValueError: x", "x!"],
    ),
    ("    return app", '    raise SystemExit("it leaves")', ["SystemExit: it leaves", "Traceback"]),
]


@pytest.mark.parametrize(("old", "new", "said"), CODES)
def test_code_that_can_t_be_loaded(good: Site, old: str, new: str, said: list[str]) -> None:
    good.change(good.code, old, new)
    refused(good, "could not be loaded", *said)


SETTINGS = [
    ("wrokers = 3\ntimeout = soon", ["test.ini:", "[server:main] wrokers: unknown setting; did you mean", "timeout:"]),
    ("worker_class = nonsense", ["worker_class"]),
    ("post_fork = no.such.hook", ["post_fork", "can't be imported"]),
    ("errorlog = /nowhere/at/all/log", ["errorlog", "/nowhere/at/all/log"]),
    ("accesslog = /nowhere/at/all/log", ["accesslog", "/nowhere/at/all/log"]),
    ("chdir = /nowhere/at/all", ["chdir", "/nowhere/at/all"]),
    ("bind = unix:/nowhere/at/all/s", ["bind = unix:/nowhere/at/all/s", "the folder does not exist"]),
    ("access_log_format = %%(zz)s", ["access_log_format"]),
]


@pytest.mark.parametrize(("lines", "said"), SETTINGS, ids=[lines for lines, _ in SETTINGS])
def test_settings_that_can_t_be_honoured(good: Site, lines: str, said: list[str]) -> None:
    good.set(*lines.splitlines())
    entry = refused(good, *said)
    assert "Traceback" not in entry


def test_an_ini_that_is_gone(good: Site) -> None:
    text = good.server.ini.read_text()
    good.server.ini.unlink()
    try:
        refused(good, "test.ini")
    finally:
        good.server.ini.write_text(text)


def test_an_ini_that_is_no_ini(good: Site) -> None:
    good.server.ini.write_text("[server:main\nuse = egg:gunicorn#main\n")
    refused(good, "test.ini")


def test_a_server_s_section_that_is_gone(good: Site) -> None:
    good.change(good.server.ini, "[server:main]", "[server:other]")
    refused(good, "[server:main] can't be read again")


def test_an_application_s_section_that_is_gone(good: Site) -> None:
    good.change(good.server.ini, "[app:main]", "[app:other]")
    refused(good, "could not be loaded")


def test_a_section_that_names_another_server(good: Site) -> None:
    good.change(good.server.ini, "use = egg:gunicorn#main", "use = egg:Paste#http")
    refused(good, "[server:main] names another server than egg:gunicorn#main now; restart for that")


def test_a_factory_that_hangs_longer_than_boot_timeout_says_in_what(tmp_path: Path) -> None:
    with site(tmp_path, "boot_timeout = 5") as running:
        running.change(running.code, "    return app", "    import time; time.sleep(60)")
        refused(
            running, "has not loaded within boot_timeout (5 s), and its tracebacks follow", "reload_mode = retire_first"
        )
        running.server.wait_for_log("in make_app")


HOOKS = [
    ("post_fork", "leaves", ["has a worker that died before it was ready", "SystemExit: 7", "in leaves"]),
    ("post_fork", "ends", ["has a worker that died before it was ready", "has ended with exit code 9"]),
    ("post_worker_init", "leaves_too", ["has a worker that died before it was ready", "SystemExit: 8"]),
    ("post_fork", "sleeps", ["has a worker that was not ready within boot_timeout (4 s)"]),
    ("pre_fork", "leaves", ["has lost its template, which has ended with exit code 1 while its workers started"]),
    ("pre_fork", "sleeps", ["has not forked a worker within boot_timeout (4 s)"]),
]


@pytest.mark.parametrize(("name", "hook", "said"), HOOKS)
def test_workers_that_die_at_birth_or_are_never_ready(good: Site, name: str, hook: str, said: list[str]) -> None:
    good.set(f"{name} = hooks_of_the_test.{hook}", *(["boot_timeout = 4"] if hook == "sleeps" else []))
    # A template that a hook ends has to say so by itself.
    refused(good, *said, entries=2 if (name, hook) == ("pre_fork", "leaves") else 1)
    if hook == "sleeps":
        good.server.wait_for_log(f'/hooks_of_the_test.py", line {NEVER.splitlines().index("    time.sleep(60)") + 1}')


def test_workers_that_are_all_killed_at_birth(good: Site) -> None:
    """As the kernel does where memory is short: the first few of them might have been somebody's doing."""
    before, answered = good.pids(), good.loaded()
    good.set("post_fork = hooks_of_the_test.is_killed")
    log = good.fail()
    assert log.count("was killed by SIGKILL; it is replaced") == 5
    assert "has a worker that died before it was ready; generation 1 goes on serving as it was" in log
    wait_for(lambda: good.pids() == before, "nothing but what was there before")
    assert good.loaded() == answered


def test_an_address_that_somebody_else_has(good: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        good.set(f"bind = 127.0.0.1:{good.server.port}, {address}")
        refused(good, f"bind = {address}: Address already in use: another process listens there")


def test_a_pid_file_that_another_server_has(good: Site, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(f"{os.getpid()}\n")
    good.set(f"pidfile = {path}")
    refused(good, f"pidfile = {path}: a server is already running as pid {os.getpid()}; stop it first")
    assert path.read_text() == f"{os.getpid()}\n"


def test_after_all_that_the_same_template_and_workers_answer(shared: Site) -> None:
    assert re.search(r"\bg1$", shared.server.titled("unicorn: template")[0].title)
    assert len(shared.workers(1)) == 2
