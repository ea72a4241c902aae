"""HUP loads code and settings again beside what serves; nothing of the arbiter changes, and nobody is refused."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import resource
import signal
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.client import Client, request_bytes
from support.ports import free_port
from support.processes import send_signal, wait_until_gone
from support.reloads import CODE, INI, Site, environ, errors, site
from support.server import serve, wait_for

# -- what is loaded again ----------------------------------------------------------------------------------------------


def test_code_and_what_it_imports_are_new_and_the_arbiter_is_not(tmp_path: Path) -> None:
    with site(tmp_path) as running:
        before, port = running.pids(), running.server.port
        assert (running.loaded()["code"], running.loaded()["stock"]) == ("first", "first")
        running.change(running.code, '"first"', '"second"')
        running.change(running.stock, '"first"', '"second"')
        log = running.reload()
        found = running.loaded()
        assert (found["code"], found["stock"]) == ("second", "second")
        after = running.pids()
        assert before[0] == after[0] == running.server.pid
        assert not set(before[1:]) & set(after[1:])
        assert len(after) == 4
        assert running.server.port == port
        assert "Generation 2 serves (HUP): 2 workers after " in log
        assert errors(running.log()) == []
        running.change(running.code, '"second"', '"third"')
        assert "Generation 3 serves (HUP): 2 workers after " in running.reload()
        assert running.loaded()["code"] == "third"


@pytest.mark.parametrize("runner", ["paster", "pserve", "gearbox"])
def test_the_ini_is_read_again_with_the_command_line_of_the_start(runner: str, tmp_path: Path) -> None:
    ini = INI.replace("[app:main]", "[app:other]\nsaid = %(colour)s\ngiven = %(thing)s").replace("{app}", "size = 1")
    with site(tmp_path, ini=ini, runner=runner, args=["thing=nail", "-n", "other"]) as running:
        first = running.loaded()
        assert first["local"] == {"said": "blue", "given": "nail", "size": "1"}
        running.change(running.server.ini, "colour = blue", "colour = red")
        running.change(running.server.ini, "size = 1", "size = 2\nextra = yes")
        running.reload()
        second = running.loaded()
        assert second["local"] == {"said": "red", "given": "nail", "size": "2", "extra": "yes"}
        assert second["global"]["colour"] == "red"
        assert second["global"]["thing"] == "nail"


def test_a_section_after_the_ini_s_name_means_server_and_application(tmp_path: Path) -> None:
    ini = INI.replace("[server:main]", "[server:site]").replace("[app:main]", "[app:site]\nsize = %(colour)s")
    with site(tmp_path, ini=ini, part="#site") as running:
        running.change(running.server.ini, "colour = blue", "colour = red")
        running.change(running.server.ini, "workers = 2", "workers = 1")
        running.reload()
        assert running.loaded()["local"] == {"size": "red"}
        assert len(running.workers()) == 1


# -- settings ----------------------------------------------------------------------------------------------------------

AS_ROOT = os.geteuid() == 0
OTHER, GONE = free_port(), free_port()
BEFORE = [
    "accesslog = {directory}/access.1",
    "pidfile = {directory}/pid.1",
    "raw_env = COLOUR=blue",
    "    SHAPE=round",
    "umask = 027",
    "pythonpath = {directory}/lib.1",
]
AFTER = [
    "workers = 3",
    "timeout = 3",
    "keepalive = 1",
    "limit_request_field_size = 100",
    "worker_connections = 3000",
    "accesslog = {directory}/access.2",
    "errorlog = {directory}/error.log",
    "loglevel = debug",
    "pidfile = {directory}/pid.2",
    "proc_name = shop",
    "raw_env = SHAPE=square",
    "pythonpath = {directory}/lib.2",
    *(["user = nobody", "group = nogroup"] if AS_ROOT else []),
]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server with some settings."""
    bind = f"    127.0.0.1:{GONE}, unix:{{directory}}/gone"
    ini = INI.replace("workers = 2\n", "")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1500), hard))
    try:
        with site(tmp_path_factory.mktemp("site"), bind, "workers = 2", *BEFORE, ini=ini) as running:
            running.server.directory.chmod(0o777)  # the user of the workers opens logs again
            for name in ("lib.1", "lib.2"):
                (running.server.directory / name).mkdir()
            yield running
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def changed(before: Site) -> Site:
    """The same server, after one reload with other settings."""
    before.server.get("/pid?before")
    directory = str(before.server.directory)
    ini = before.server.ini.read_text()
    for line in [one.replace("{directory}", directory) for one in (*BEFORE, "workers = 2")]:
        assert f"\n{line}\n" in ini
        ini = ini.replace(f"\n{line}\n", "\n", 1)
    ini = ini.replace(f"127.0.0.1:{GONE}, unix:{directory}/gone", f"127.0.0.1:{OTHER}, unix:{directory}/new")
    before.server.ini.write_text(ini)
    before.set(*(line.replace("{directory}", directory) for line in AFTER))
    before.hup()
    log = before.server.directory / "error.log"
    wait_for(lambda: log.exists() and "Generation 2 serves (HUP)" in log.read_text(), "the reload")
    wait_for(lambda: len(before.templates()) == 1, "the template before to be gone")
    return before


def ask(address: tuple[str, int] | str, *fields: tuple[str, str]) -> int:
    with Client(address, 10.0) as client:
        client.send(request_bytes("GET", "/pid", fields))
        return client.read_answer().status


def test_the_number_of_workers(changed: Site) -> None:
    assert len(changed.workers()) == 3


def test_an_address_that_was_added_answers(changed: Site) -> None:
    assert ask(("127.0.0.1", changed.server.port)) == 200
    assert ask(("127.0.0.1", OTHER)) == 200
    assert ask(str(changed.server.directory / "new")) == 200


def test_an_address_that_was_removed_is_refused_and_a_socket_s_path_gone(changed: Site) -> None:
    with pytest.raises(ConnectionRefusedError):
        ask(("127.0.0.1", GONE))
    assert not (changed.server.directory / "gone").exists()


def test_limits_of_requests(changed: Site) -> None:
    assert ask(("127.0.0.1", changed.server.port), ("X-Long", "x" * 50)) == 200
    assert ask(("127.0.0.1", changed.server.port), ("X-Long", "x" * 500)) == 431


def test_timeout(changed: Site) -> None:
    workers = changed.workers()
    with changed.server.connect() as client:
        client.send(request_bytes("GET", "/spin?s=60"))
        log = changed.server.directory / "error.log"
        wait_for(lambda: "has made no progress within timeout (3 s)" in log.read_text(), "the end of the worker")
        # It is still there when that is said, and may take connections along.
        wait_for(lambda: len(now := changed.workers()) == 3 and now != workers, "a replacement")


def test_keepalive(changed: Site) -> None:
    with changed.server.connect() as client:
        began = time.monotonic()
        client.send(request_bytes("GET", "/pid"))
        assert client.read_answer().status == 200
        client.expect_end()
        assert 0.8 < time.monotonic() - began < 10.0


def test_limits_of_open_files(changed: Site) -> None:
    for pid in changed.workers():
        limits = Path(f"/proc/{pid}/limits").read_text()
        (line,) = [line for line in limits.splitlines() if line.startswith("Max open files")]
        assert int(line.split()[3]) >= 3000


def test_the_access_log_goes_elsewhere(changed: Site) -> None:
    one, two = changed.server.directory / "access.1", changed.server.directory / "access.2"
    wait_for(lambda: "/pid?before" in one.read_text(), "the line of before")  # it comes after the answer
    changed.server.get("/pid?after")
    wait_for(lambda: "/pid?after" in two.read_text(), "the line in the other log")
    assert "/pid?after" not in one.read_text()


def test_the_error_log_goes_elsewhere_and_has_another_level_in_every_process(changed: Site) -> None:
    log = changed.server.directory / "error.log"
    wait_for(lambda: "[DEBUG] The template of generation 1 has ended" in log.read_text(), "a line of that level")
    assert "serves (HUP)" not in changed.log()


def test_the_pid_file_moves(changed: Site) -> None:
    assert not (changed.server.directory / "pid.1").exists()
    assert (changed.server.directory / "pid.2").read_text() == f"{changed.pid}\n"


def test_titles(changed: Site) -> None:
    titles = [process.title.partition(" [")[2] for process in changed.server.titled("unicorn:")]
    assert set(titles) == {"shop]", "shop] g2"}


def test_variables_that_raw_env_does_not_name_any_more_are_gone(changed: Site) -> None:
    found = changed.process()["environ"]
    assert "COLOUR" not in found
    assert found["SHAPE"] == "square"


def test_the_mask_and_the_module_path_are_those_of_the_start_where_nothing_is_said(changed: Site) -> None:
    found = changed.process()
    mask = os.umask(0)
    os.umask(mask)
    assert found["umask"] == mask
    assert found["path"][0] == str(changed.server.directory / "lib.2")
    assert str(changed.server.directory / "lib.1") not in found["path"]


@pytest.mark.skipif(not AS_ROOT, reason="only root may become somebody else")
def test_the_user_who_may_open_the_logs_again(changed: Site) -> None:
    folder = changed.server.directory
    assert {os.stat(f"/proc/{pid}").st_uid for pid in changed.workers()} == {65534}
    assert (folder / "access.2").stat().st_uid == 65534
    (folder / "access.2").rename(folder / "access.old")
    os.kill(changed.pid, signal.SIGUSR1)
    wait_for((folder / "access.2").exists, "a new access log")

    def asked() -> str:
        changed.server.get("/pid?rotated")
        return (folder / "access.2").read_text()

    wait_for(lambda: "rotated" in asked(), "lines in the new log")


def test_what_is_said_no_more_is_as_if_it_had_never_been_said(changed: Site) -> None:
    ini = changed.server.ini.read_text().splitlines()
    names = {line.partition("=")[0] for line in AFTER}
    kept = [line for line in ini if line.partition("=")[0] not in names]
    changed.server.ini.write_text("\n".join([*kept, ""]))
    log = changed.server.directory / "access.2"
    changed.reload()
    size = log.stat().st_size
    assert len(changed.workers()) == 1
    assert ask(("127.0.0.1", changed.server.port), ("X-Long", "x" * 500)) == 200
    assert log.stat().st_size == size
    assert not (changed.server.directory / "pid.2").exists()
    assert "SHAPE" not in changed.process()["environ"]
    assert stat.S_IMODE((changed.server.directory / "new").stat().st_mode) == 0o777
    titles = [process.title.partition(" [")[2] for process in changed.server.titled("unicorn:")]
    assert set(titles) == {"test.ini]", "test.ini] g3"}
    if AS_ROOT:
        assert {os.stat(f"/proc/{pid}").st_uid for pid in changed.workers()} == {0}


@pytest.mark.parametrize("other", ["gevent", "eventlet"])
def test_the_class_of_the_workers(other: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(other) is None:
        pytest.skip(f"there is no {other}")
    with site(tmp_path) as running:
        assert running.loaded()["green"] == []
        running.set(f"worker_class = {other}")
        running.reload()
        assert running.loaded()["green"] == [other]
        running.set("worker_class = sync")
        running.reload()
        assert running.loaded()["green"] == []


LOGGERS = """
[loggers]
keys = root
[handlers]
keys = file
[formatters]
keys =
[logger_root]
level = INFO
handlers = file
[handler_file]
class = FileHandler
args = ("{directory}/log.1", "a")
"""


def test_loggers_of_the_ini_hold_for_the_arbiter_too(tmp_path: Path) -> None:
    with site(tmp_path, ini=f"{INI}{LOGGERS}", ready="/pid", wait_for_log=False) as running:
        one, two = running.server.directory / "log.1", running.server.directory / "log.2"
        wait_for(lambda: "Serving " in one.read_text(), "the start")
        inode = one.stat().st_ino
        running.change(running.server.ini, "log.1", "log.2")
        running.hup()
        wait_for(lambda: two.exists() and "Generation 2 serves (HUP)" in two.read_text(), "the reload, in the new log")
        assert (one.stat().st_ino, "Generation 2 serves" in one.read_text()) == (inode, False)
        running.server.ini.write_text(running.server.ini.read_text().partition("[loggers]")[0])
        start = running.hup()
        running.server.wait_for_log("Generation 3 serves (HUP)", after=start)
        assert "Generation 3" not in two.read_text().partition("Loading generation 3")[2]


@pytest.mark.parametrize("loggers", ["", LOGGERS], ids=["of settings", "of [loggers]"])
def test_logs_that_were_renamed_are_opened_anew_by_the_arbiter_too(loggers: str, tmp_path: Path) -> None:
    settings = ["accesslog = {directory}/access.1", *([] if loggers else ["errorlog = {directory}/log.1"])]
    with site(tmp_path, *settings, ini=f"{INI}{loggers}", ready="/pid", wait_for_log=False) as running:
        log, access = running.server.directory / "log.1", running.server.directory / "access.1"
        wait_for(lambda: "Serving " in log.read_text(), "the start")
        for path in (log, access):
            path.rename(path.with_suffix(".old"))
        running.hup()
        wait_for(lambda: log.exists() and "Generation 2 serves (HUP)" in log.read_text(), "the reload, in the new file")
        # Of who can't write any more the arbiter does.
        with running.server.connect() as client:
            client.send(request_bytes("GET", "/crash"))
            assert client.read_some() == b""
        wait_for(lambda: '"GET /crash HTTP/1.1" ' in access.read_text(), "the line of the request, in the new file")
        # A reload that fails is told where one looks.
        log.rename(log.with_suffix(".older"))
        running.change(running.code, "CODE =", "CODE ==")
        running.hup()
        wait_for(lambda: log.exists() and "The reload failed: " in log.read_text(), "its failure, in the newest file")
        assert "The reload failed: " not in log.with_suffix(".older").read_text()


def test_captured_output_goes_where_the_settings_of_its_generation_say(tmp_path: Path) -> None:
    code = CODE.replace("def make_app", "print('printed by', CODE)\n\ndef make_app")
    settings = ["capture_output = true", "errorlog = {directory}/log.1"]
    with site(tmp_path, *settings, code=code, wait_for_log=False) as running:
        one, two = (running.server.directory / name for name in ("log.1", "log.2"))
        wait_for(lambda: "Serving " in one.read_text(), "the start")
        running.change(running.server.ini, "log.1", "log.2")
        running.change(running.code, '"first"', '"second"')
        running.hup()
        wait_for(lambda: two.exists() and "Generation 2 serves (HUP)" in two.read_text(), "the reload")
        assert "printed by second" in two.read_text()
        running.set(drop="capture_output")
        for number, name in ((3, "third"), (4, "fourth")):
            running.change(running.code, "CODE = ", f'CODE = "{name}" or ')
            running.hup()
            wait_for(lambda number=number: f"Generation {number} serves (HUP)" in two.read_text(), "the reload")
            assert f"printed by {name}" in running.log()
        assert "printed" not in one.read_text()
        assert "third" not in two.read_text()


def test_a_number_that_signals_made_is_undone_by_what_the_ini_says(tmp_path: Path) -> None:
    with site(tmp_path) as running:
        os.kill(running.pid, signal.SIGTTIN)
        wait_for(lambda: len(running.workers()) == 3, "a third worker")
        running.reload()
        assert len(running.workers()) == 2


# -- addresses ---------------------------------------------------------------------------------------------------------


def test_an_address_that_stays_is_the_same_socket_and_one_that_was_removed_may_come_back(tmp_path: Path) -> None:
    other = free_port()
    with site(tmp_path) as running:
        path = str(running.server.directory / "s")
        main = f"127.0.0.1:{running.server.port}"
        running.set(f"bind = {main}, 127.0.0.1:{other}, unix:{path}")
        running.reload()
        inode = os.stat(path).st_ino
        running.set(f"bind = {main}, unix:{path}")
        running.reload()
        assert os.stat(path).st_ino == inode
        with pytest.raises(ConnectionRefusedError):
            ask(("127.0.0.1", other))
        running.set(f"bind = {main}, 127.0.0.1:{other}")
        running.reload()
        assert ask(("127.0.0.1", other)) == 200
        assert not os.path.exists(path)


def test_what_waits_at_an_address_that_is_removed_is_answered(tmp_path: Path) -> None:
    other = free_port()
    unix = "unix:{directory}/s"
    with site(tmp_path, f"    127.0.0.1:{other}, {unix}", "    ", ini=INI.replace("workers = 2\n", "")) as running:
        path = str(running.server.directory / "s")
        begun = tmp_path / "begun"
        with contextlib.ExitStack() as stack:
            busy = stack.enter_context(running.server.connect())
            busy.send(request_bytes("GET", f"/sleep?s=1&touch={begun}"))
            wait_for(begun.exists, "the only worker to be busy")
            waiting = [stack.enter_context(Client(address, 10.0)) for address in [("127.0.0.1", other), path] * 5]
            for client in waiting:
                client.send(request_bytes("GET", "/pid"))
            running.change(running.server.ini, f"    127.0.0.1:{other}, unix:{path}\n", "")
            running.reload()
            assert busy.read_answer().body == b"slept"
            for client in waiting:
                assert client.read_answer().status == 200
        assert not os.path.exists(path)


def test_an_address_that_was_removed_may_come_back_while_the_last_requests_of_before_run(tmp_path: Path) -> None:
    other, begun = free_port(), tmp_path / "begun"
    with site(tmp_path, f"    127.0.0.1:{other}", ini=INI.replace("workers = 2\n", "")) as running:
        ini = running.server.ini.read_text()
        with running.server.connect() as client:
            client.send(request_bytes("GET", f"/sleep?s=60&touch={begun}"))
            wait_for(begun.exists, "the request to begin")
            running.change(running.server.ini, f"    127.0.0.1:{other}\n", "")
            running.hup()
            wait_for(lambda: running.workers(2), "another worker")
            assert running.server.get("/pid").status == 200
            running.server.ini.write_text(ini)
            start = running.hup()
            wait_for(lambda: running.workers(3), "workers of the generation after that")
            assert "The reload failed" not in running.log()[start:]
            assert ask(("127.0.0.1", other)) == 200
            os.kill(running.workers(1)[0], signal.SIGKILL)


# -- when and how often ------------------------------------------------------------------------------------------------


def test_a_hup_during_a_reload_is_remembered(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    with site(tmp_path, app=[f"hang_if = {hold}"]) as running:
        hold.touch()
        start = running.hup()
        wait_for(lambda: len(running.templates()) == 2, "a template that loads")
        running.change(running.code, '"first"', '"second"')
        running.hup()
        running.server.wait_for_log("another reload follows generation 2", after=start)
        hold.unlink()
        running.server.wait_for_log("Generation 3 serves (HUP)", after=start)
        assert running.loaded()["code"] == "second"
        assert running.workers() == running.workers(3)


def test_ten_in_a_row_end_in_one_newest_generation(tmp_path: Path) -> None:
    with site(tmp_path) as running:
        for number in range(10):
            running.change(running.code, "CODE = ", f'CODE = "the {number}th" or ')
            running.hup()
        wait_for(lambda: running.loaded()["code"] == "the 9th", "the newest code")
        wait_for(lambda: len(running.pids()) == 4, "one generation alone")
        log = running.log()
        assert running.arbiters() == [running.server.pid]
        assert log.count("Loading generation") <= 10
        assert errors(log) == []


def test_a_hup_right_at_the_start(tmp_path: Path) -> None:
    with site(tmp_path, ready=None) as running:
        start = running.hup()
        running.wait_for_reload(start)
        assert running.loaded()["code"] == "first"


def test_a_hup_while_the_start_has_trouble_tries_at_once(tmp_path: Path) -> None:
    (tmp_path / "hooks_of_the_test.py").write_text("import os\ndef ends(server, worker):\n    os._exit(9)\n")
    with serve(
        settings={"workers": "1", "post_fork": "hooks_of_the_test.ends"},
        app="paste.app_factory = support.supervised:make_app", ready=None, env=environ(tmp_path),
    ) as server:  # fmt: skip
        server.wait_for_log("attempt 4 that failed in a row")
        server.ini.write_text(server.ini.read_text().replace("post_fork", "x_post_fork"))
        os.kill(server.pid, signal.SIGHUP)
        server.wait_for_log("[INFO] Serving ")
        assert server.get("/pid").status == 200


def test_a_template_killed_while_it_loads_is_a_failed_reload(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    with site(tmp_path, app=[f"hang_if = {hold}"]) as running:
        hold.touch()
        start = running.hup()
        wait_for(lambda: len(running.templates()) == 2, "a template that loads")
        running.server.wait_for_log("Loading generation 2", after=start)
        os.kill(running.templates()[-1], signal.SIGKILL)
        log = running.server.wait_for_log("The reload failed: ", after=start)
        assert "has lost its template, which was killed by SIGKILL while it loaded the application" in log
        hold.unlink()
        running.reload()


@pytest.mark.skipif(not AS_ROOT, reason="only root may become somebody else")
def test_a_log_that_can_t_be_given_to_the_workers_user_does_not_stop_a_reload_half_way(tmp_path: Path) -> None:
    """A file that may only be appended to keeps its owner, whoever asks."""
    with site(tmp_path, "accesslog = {directory}/access.log", "pidfile = {directory}/pid.1") as running:
        folder = running.server.directory
        access_log = str(folder / "access.log")
        if subprocess.run(["chattr", "+a", access_log], check=False, stderr=subprocess.DEVNULL).returncode:
            pytest.skip("this file system has no such files")
        try:
            running.set("user = nobody", "proc_name = shop", f"pidfile = {folder}/pid.2")
            log = running.reload()
        finally:
            subprocess.run(["chattr", "-a", access_log], check=True)
        (error,) = errors(log)
        assert error.endswith("user: the log files can't be given to that user (Operation not permitted)")
        assert running.process()["uid"] == pwd.getpwnam("nobody").pw_uid
        assert [process.pid for process in running.server.titled("unicorn: arbiter [shop]")] == [running.pid]
        assert (folder / "pid.2").read_text() == f"{running.pid}\n"
        assert not (folder / "pid.1").exists()


def test_a_stop_during_a_reload_waits_for_nobody(tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    with site(tmp_path, app=[f"hang_if = {hold}"]) as running:
        hold.touch()
        running.hup()
        wait_for(lambda: len(running.templates()) == 2, "a template that loads")
        began = time.monotonic()
        running.server.signal(signal.SIGTERM)
        assert running.server.wait() == 0
        assert time.monotonic() - began < 10.0
        assert running.log().splitlines()[-1].endswith(" 0 lost")


# -- hooks -------------------------------------------------------------------------------------------------------------


def test_on_reload_is_called_for_each_reload_and_for_nothing_else(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    (tmp_path / "hooks_of_the_test.py").write_text(
        "import os\n"
        "def note(server):\n"
        f"    with open({str(notes)!r}, 'a') as file:\n"
        "        print(os.getpid() == server.pid, server.num_workers, *server.address, file=file)\n"
    )
    with site(tmp_path, "on_reload = hooks_of_the_test.note") as running:
        os.kill(running.templates()[0], signal.SIGKILL)
        running.server.wait_for_log("Generation 2 serves (the template before it has gone)")
        assert not notes.exists()
        running.set("workers = 3")
        running.reload()
        running.reload()
        address = f"127.0.0.1:{running.server.port}"
        assert notes.read_text().splitlines() == [f"True 2 {address}", f"True 3 {address}"]


# -- runners -----------------------------------------------------------------------------------------------------------


def test_a_daemon_s_later_templates_write_into_the_runner_s_log(tmp_path: Path) -> None:
    code = CODE.replace("def make_app", "print('printed by', CODE, 'at import')\n\ndef make_app")
    args = ["--daemon", "--pid-file", "the.pid", "--log-file", "the.log"]
    with site(tmp_path, code=code, args=args, daemon=True) as running:
        log = running.server.directory / "the.log"
        try:
            wait_for(lambda: "Serving" in log.read_text(), "the start")
            running.change(running.code, '"first"', '"second"')
            running.hup()
            wait_for(lambda: "Generation 2 serves (HUP)" in log.read_text(), "the reload")
            assert "printed by second at import" in log.read_text()
            assert running.loaded()["code"] == "second"
            running.change(running.code, "CODE = ", "CODE = 1 / 0 # ")
            running.hup()
            wait_for(lambda: "The reload failed: " in log.read_text(), "the failure")
            assert "ZeroDivisionError" in log.read_text()
            assert running.loaded()["code"] == "second"
            assert (running.server.directory / "the.pid").read_text().strip() == str(running.pid)
        finally:
            os.kill(running.pid, signal.SIGTERM)
            assert wait_until_gone([running.pid], 10.0) == []
        assert not (running.server.directory / "the.pid").exists()


@pytest.mark.parametrize("runner", ["paster", "pserve"])
def test_a_hup_under_a_reloader_does_no_harm(runner: str, tmp_path: Path) -> None:
    with site(tmp_path, runner=runner, args=["--reload"]) as running:
        running.change(running.stock, '"first"', '"second"')
        start = len(running.log())
        # The reloader may have seen the change as well, and restart the server: this one may be gone by now.
        send_signal(running.pid, signal.SIGHUP)
        wait_for(lambda: _stock(running) == "second", "the new code")
        wait_for(lambda: len(running.server.titled("unicorn:")) == 4, "one generation alone")
        assert "Traceback" not in running.log()[start:]
        running.server.signal(signal.SIGINT if runner == "paster" else signal.SIGTERM)
        running.server.wait()
        wait_for(lambda: not running.server.processes(), "all to be gone")


def _stock(running: Site) -> str:
    with contextlib.suppress(OSError, AssertionError):
        return str(running.loaded()["stock"])
    return ""
