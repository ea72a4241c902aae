"""The same ini file under ``paster serve``, ``pserve`` and ``gearbox serve``: what picks applications and
servers.
"""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from support.ports import free_port
from support.server import Server, run_to_end, serve, wait_for

RUNNERS = ("paster", "pserve", "gearbox")
HERE = {"PYTHONPATH": str(Path(__file__).parent)}

INI = """
[DEFAULT]
color = green
whose = of %(color)s

[server:main]
use = egg:gunicorn#main
bind = 127.0.0.1:{port}

[server:other]
use = egg:gunicorn#main
bind = 127.0.0.1:{other}
proc_name = the other server

[server:second]
use = egg:gunicorn#main
bind = 127.0.0.1:{other}
proc_name = named as the section

[app:main]
paste.app_factory = echo_conf:make_app
name = main %(whose)s

[app:second]
paste.app_factory = echo_conf:make_app
name = second
set color = red

[pipeline:piped]
pipeline = second
"""

LOGGERS = """
[loggers]
keys = root, echo
[handlers]
keys = console
[formatters]
keys = generic
[logger_root]
level = INFO
handlers = console
[logger_echo]
level = WARN
handlers =
qualname = echo_conf
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = generic
[formatter_generic]
format = %(levelname)-5.5s [%(name)s] %(message)s
"""


class Ini:
    """The ini file on disk, with its two free ports."""

    def __init__(self, folder: Path) -> None:
        self.port, self.other = free_port(), free_port()
        self.path = folder / "site.ini"
        self.write(INI)

    def write(self, text: str) -> None:
        self.path.write_text(text.replace("{port}", str(self.port)).replace("{other}", str(self.other)))


@pytest.fixture
def ini(tmp_path: Path) -> Ini:
    return Ini(tmp_path)


def conf(server: Server) -> dict[str, Any]:
    """What the application says of its configuration."""
    answer: dict[str, Any] = json.loads(server.get("/").body)
    return answer


@pytest.mark.parametrize("runner", RUNNERS)
def test_main_is_served_with_the_defaults_and_no_line_but_ours(runner: str, ini: Ini) -> None:
    with serve(ini.path, port=ini.port, runner=runner, env=HERE) as server:
        answer = conf(server)
        assert answer["local"] == {"name": "main of green"}
        assert answer["global"]["color"] == "green"
        assert answer["global"]["here"] == str(ini.path.parent)
        assert answer["global"]["__file__"] == str(ini.path)
        server.wait_for_log("Serving ")
        ours = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[\d+\] \[INFO\] \S.*")
        lines = [line for line in server.log_text().splitlines() if "echo_conf" not in line]  # gearbox shows it
        assert len([line for line in lines if "Serving " in line]) == 1
        for line in lines:
            assert ours.fullmatch(line) or "Starting server in PID" in line, line


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("option", [("-n", "second"), ("--app-name", "second"), ("--app-name", "piped")])
def test_app_name_picks_the_application(option: tuple[str, str], runner: str, ini: Ini) -> None:
    with serve(ini.path, port=ini.port, runner=runner, args=option, env=HERE) as server:
        answer = conf(server)
        assert answer["local"] == {"name": "second"}
        assert answer["global"]["color"] == "red"


@pytest.mark.parametrize("runner", RUNNERS)
def test_server_name_picks_the_server(runner: str, ini: Ini) -> None:
    args = ["--server-name", "other"]
    with serve(ini.path, port=ini.other, runner=runner, args=args, env=HERE) as server:
        assert conf(server)["local"]["name"] == "main of green"
        assert any("the other server" in process.title for process in server.processes())


@pytest.mark.parametrize("runner", RUNNERS)
def test_section_behind_the_file_picks_application_and_server(runner: str, ini: Ini) -> None:
    with serve(Path(f"{ini.path}#second"), port=ini.other, runner=runner, env=HERE) as server:
        assert conf(server)["local"]["name"] == "second"
        assert any("named as the section" in process.title for process in server.processes())


@pytest.mark.parametrize("runner", RUNNERS)
def test_variables_of_the_command_line_fill_in_where_default_has_none(runner: str, ini: Ini) -> None:
    ini.write(INI.replace("bind = 127.0.0.1:{port}", "bind = 127.0.0.1:%(where)s\nworkers = %(count)s"))
    args = [f"where={ini.port}", "count=3", "shape=round", "color=blue"]
    with serve(ini.path, port=ini.port, runner=runner, args=args, env=HERE) as server:
        wait_for(lambda: len(server.titled("unicorn: worker")) == 3, "three workers")
        assert conf(server)["global"]["shape"] == "round"
        assert conf(server)["local"]["name"] == "main of green"  # [DEFAULT] wins: so does PasteDeploy have it


@pytest.mark.parametrize("runner", RUNNERS)
def test_loggers_that_name_none_of_ours_show_each_line_once(runner: str, ini: Ini) -> None:
    ini.write(INI + LOGGERS)
    with serve(ini.path, port=ini.port, runner=runner, env=HERE) as server:
        server.wait_for_log("Serving ")
        server.get("/log?first")
        log = server.wait_for_log("Asked to log first.")
        assert log.count("WARNI [echo_conf] Asked to log first.") == 1
        assert "Made with" not in log  # below the level of its logger
        ours = re.findall(r"^INFO  \[gunicorn\.error\] Serving .*$", log, re.MULTILINE)
        assert len(ours) == 1
        assert len(re.findall("Serving ", log)) == 1


@pytest.mark.parametrize("runner", RUNNERS)
def test_loggers_hold_in_workers_of_a_template_that_replaced_a_killed_one(runner: str, ini: Ini) -> None:
    ini.write(INI.replace("[server:main]", "[server:main]\nworkers = 1\naccesslog = -", 1) + LOGGERS)
    args = ["shape=round", "-n", "second"]
    with serve(ini.path, port=ini.port, runner=runner, args=args, env=HERE) as server:
        server.wait_for_log("Serving ")
        before = conf(server)
        (template,) = server.titled("unicorn: template")
        os.kill(template.pid, signal.SIGKILL)
        server.wait_for_log("Generation 2 serves (")  # alone: the worker before has gone
        after = conf(server)
        assert after.pop("pid") != before.pop("pid")
        assert (after["local"], after["global"]) == (before["local"], before["global"])
        server.get("/log?again")
        log = server.wait_for_log("/log?again")
        assert log.count("WARNI [echo_conf] Asked to log again.") == 1
        assert len(re.findall(r'^127\.0\.0\.1 - - .*"GET /log\?again', log, re.MULTILINE)) == 1


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_wrong_setting_ends_the_runner_with_exit_code_1(runner: str, tmp_path: Path) -> None:
    text = "[server:main]\nuse = egg:gunicorn#main\nwrokers = 2\naccess_log_format = combine\n\n[app:main]\n"
    code, log = run_to_end(text + "paste.app_factory = support.apps:make_app\n", runner=runner)
    assert code == 1, log
    assert 'wrokers: unknown setting; did you mean "workers"?' in log


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (
            "access_log_format = combine",
            'access_log_format: "combine" names no atom such as {h}; did you mean',
        ),
        ("errorlog = /no/such/folder/error.log", "/no/such/folder"),
        ("accesslog = /no/such/folder/access.log", "/no/such/folder"),
    ],
)
def test_a_log_that_cannot_be_written_as_asked_ends_the_start(setting: str, says: str) -> None:
    text = f"[server:main]\nuse = egg:gunicorn#main\nport = {{port}}\n{setting}\n\n[app:main]\n"
    code, log = run_to_end(text + "paste.app_factory = support.apps:make_app\n")
    assert code == 1, log
    assert says in log
    assert "Traceback" not in log
