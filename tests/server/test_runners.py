"""The same ini under paster, pserve and gearbox; and that a later template loads what the runner loaded."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator, Sequence

import pytest
from support.processes import send_signal, standing_still
from support.server import Server, serve, wait_for

FACTORY = "paste.app_factory = support.supervised:make_app"
INI = f"""\
[DEFAULT]
colour = blue

[server:main]
use = egg:gunicorn#main
bind = 127.0.0.1:{{port}}
workers = 1
proc_name = main

[server:other]
use = egg:gunicorn#main
bind = 127.0.0.1:{{port}}
workers = 1
proc_name = other

[app:main]
{FACTORY}
section = main

[app:other]
{FACTORY}
section = other
given = %(thing)s
"""
LOGGERS = """
[loggers]
keys = root, unicorn

[handlers]
keys = file, console

[formatters]
keys = plain

[logger_root]
level = INFO
handlers = console

[logger_unicorn]
level = INFO
handlers = file
qualname = gunicorn.error
propagate = 0

[handler_file]
class = FileHandler
args = ('{directory}/from_the_ini.log',)
formatter = plain

[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain

[formatter_plain]
format = configured %(message)s
"""
RUNNERS = ("paster", "pserve", "gearbox")


@contextlib.contextmanager
def running(runner: str, args: Sequence[str] = (), ini: str = INI, part: str = "") -> Iterator[Server]:
    """A server; `part` is what follows the ini's name."""
    with serve(ini, runner=runner, args=args, part=part) as server:
        wait_for(lambda: server.titled("unicorn: worker"), "a worker")
        if "[loggers]" not in ini:
            server.wait_for_log("Serving ")
        yield server


def loaded(server: Server) -> dict[str, object]:
    found: dict[str, object] = json.loads(server.get("/loaded").body)
    return found


def next_generation(server: Server) -> dict[str, object]:
    """What the exec'ed template has loaded."""
    (template,), (worker,) = server.titled("unicorn: template"), server.titled("unicorn: worker")
    with standing_still([template.pid]):  # or it would fork the next worker, or that of the next one take another slot
        for process in (worker, template):
            send_signal(process.pid, signal.SIGKILL)

    def has_come() -> bool:
        return any(process.title.endswith(" g2") for process in server.titled("unicorn: worker"))

    wait_for(has_come, "a worker of generation 2")
    return loaded(server)


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize(
    ("args", "part", "section", "server_section"),
    [
        ((), "", "main", "main"),
        (("thing=nail", "-n", "other"), "", "other", "main"),
        (("--server-name", "other"), "", "main", "other"),
        (("thing=nail",), "#other", "other", "other"),
        (("thing=nail", "--server-name", "main"), "#other", "other", "main"),
    ],
    ids=["plain", "app-name", "server-name", "section", "section-and-server-name"],
)
def test_the_sections_and_variables_of_the_command_line_hold_for_all_generations(
    runner: str, args: Sequence[str], part: str, section: str, server_section: str
) -> None:
    with running(runner, args, part=part) as server:
        first = loaded(server)
        local, in_global = first["local"], first["global"]
        assert isinstance(local, dict)
        assert isinstance(in_global, dict)
        assert local["section"] == section
        assert local.get("given") == ("nail" if section == "other" else None)
        assert in_global["colour"] == "blue"
        assert server.titled(f"unicorn: arbiter [{server_section}]")
        second = next_generation(server)
        assert second.pop("value") != first.pop("value")
        assert second == first
        assert server.titled(f"unicorn: worker 1 [{server_section}] g2")


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_later_template_reads_the_default_section_anew(runner: str) -> None:
    with running(runner) as server:
        server.ini.write_text(server.ini.read_text().replace("colour = blue", "colour = green"))
        in_global = next_generation(server)["global"]
        assert isinstance(in_global, dict)
        assert in_global["colour"] == "green"


@pytest.mark.parametrize("runner", RUNNERS)
def test_loggers_of_the_ini_hold_for_all_generations(runner: str) -> None:
    with running(runner, ini=INI + LOGGERS) as server:
        log = server.directory / "from_the_ini.log"
        wait_for(lambda: "configured Serving test.ini on" in log.read_text(), "the start in the log of the ini")
        assert "Serving test.ini" not in server.log_text()
        next_generation(server)
        with contextlib.suppress(OSError, AssertionError):
            server.get("/nonsense")  # raises in a worker of the later template
        wait_for(lambda: "GET /nonsense" in log.read_text(), "a later worker's line in the log of the ini")


@pytest.mark.parametrize("runner", RUNNERS)
def test_an_application_that_was_built_in_code_is_served_with_a_warning(runner: str) -> None:
    ini = (
        "[server:main]\nuse = egg:gunicorn#main\nbind = 127.0.0.1:{port}\nworkers = 1\n"
        "[server:wrapped]\npaste.server_runner = support.supervised:serve_another\n"
        "bind = 127.0.0.1:{port}\nworkers = 1\n"
        f"[app:main]\n{FACTORY}\nsection = main\n"
    )
    with running(runner, ["--server-name", "wrapped"], ini=ini) as server:
        assert "was not loaded by PasteDeploy" in server.log_text()
        assert server.get("/pid").status == 200
        local = next_generation(server)["local"]
        assert local == {"section": "main"}
