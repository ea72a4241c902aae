"""Where the lines of both loggers go, and that none is printed twice."""

from __future__ import annotations

import json
import logging
import logging.config
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from paste_unicorn.ops.access_log import Served
from paste_unicorn.ops.kept import keep
from paste_unicorn.ops.logs import Logs, LogsProblem, descriptor_of

SetUp = Callable[..., Logs]

LAYOUT = re.compile(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[\d+\] \[[A-Z]+\] .*")

LOGGERS = """
[loggers]
keys = root{more_loggers}
[handlers]
keys = console{more_handlers}
[formatters]
keys = plain
[logger_root]
level = WARN
handlers = console
[handler_console]
class = FileHandler
args = (r"{console}", "a")
formatter = plain
[formatter_plain]
format = %(name)s|%(message)s
"""


class Place:
    """A temporary folder with the files that a test's logs go to."""

    def __init__(self, folder: Path) -> None:
        self.console = folder / "console"
        self.error = folder / "error.log"
        self.access = folder / "access.log"
        self.own = folder / "own.log"

    def ini(self, more: str = "", loggers: str = "", handlers: str = "") -> str:
        text = LOGGERS.replace("{console}", str(self.console)).replace("{more_loggers}", loggers)
        return text.replace("{more_handlers}", handlers) + more


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


# --- the error log ------------------------------------------------------------------------------------------


def test_without_loggers_the_error_log_is_readable_on_standard_error(set_up: SetUp, place: Place) -> None:
    with place.console.open("ab") as console:
        logs = set_up(stderr_fd=console.fileno())
        logs.error.info("Listening at %s.", "127.0.0.1:8080")
        logs.error.debug("not at this level")
    (line,) = lines(place.console)
    assert LAYOUT.fullmatch(line)
    assert line.endswith(f"[{os.getpid()}] [INFO] Listening at 127.0.0.1:8080.")


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_loglevel_is_the_least_that_is_written(level: str, set_up: SetUp, place: Place) -> None:
    logs = set_up(errorlog=str(place.error), loglevel=level)
    for name in ("debug", "info", "warning", "error", "critical"):
        logs.error.log(getattr(logging, name.upper()), "at %s", name)
    assert lines(place.error)[0].endswith(f"at {level}")
    assert lines(place.error)[-1].endswith("at critical")


def test_a_traceback_is_indented_below_its_line(set_up: SetUp, place: Place) -> None:
    logs = set_up(errorlog=str(place.error))
    try:
        raise ValueError("a message\n[2026-11-24 13:00:01 +0000] [1] [INFO] forged")
    except ValueError:
        logs.error.exception("The application failed.")
    first, *rest = lines(place.error)
    assert LAYOUT.fullmatch(first)
    assert rest
    assert all(line.startswith("    ") for line in rest)


def test_no_line_twice_when_the_root_has_a_handler_nobody_asked_for(set_up: SetUp, place: Place) -> None:
    root = logging.getLogger()
    root.addHandler(handler := logging.FileHandler(place.console))  # basicConfig() of pserve
    logs = set_up(errorlog=str(place.error))
    logs.error.warning("once")
    handler.close()
    assert len(lines(place.error)) == 1
    assert lines(place.console) == []


def test_loggers_that_name_none_of_ours_get_our_lines_once(set_up: SetUp, place: Place) -> None:
    with open(os.devnull, "ab") as devnull:
        logs = set_up(ini=place.ini(), stderr_fd=devnull.fileno())
        logs.error.info("once, although the root is at WARN: loglevel says info")
    assert lines(place.console) == ["gunicorn.error|once, although the root is at WARN: loglevel says info"]
    assert logs.error.handlers == []


def test_errorlog_as_a_file_wins_over_the_root_handler(set_up: SetUp, place: Place) -> None:
    logs = set_up(ini=place.ini(), errorlog=str(place.error))
    logs.error.warning("once")
    assert len(lines(place.error)) == 1
    assert lines(place.console) == []


OWN = """
[handler_own]
class = FileHandler
args = (r"{path}", "a")
formatter = plain
[logger_gunicorn]
qualname = gunicorn.{which}
level = {level}
handlers = own
propagate = {propagate}
"""


def own(place: Place, which: str, *, level: str = "WARNING", propagate: int = 0) -> str:
    more = OWN.replace("{path}", str(place.own)).replace("{which}", which)
    more = more.replace("{level}", level).replace("{propagate}", str(propagate))
    return place.ini(more, loggers=", gunicorn", handlers=", own")


def test_variables_of_the_command_line_fill_in_loggers(set_up: SetUp, place: Place) -> None:
    ini = place.ini().replace("level = WARN", "level = %(depth)s")
    with pytest.raises(LogsProblem, match="depth"):
        set_up(ini=ini)
    set_up(ini=ini, variables={"depth": "DEBUG", "percent": "100%"})
    assert logging.getLogger().level == logging.DEBUG


def test_loggers_that_name_ours_are_used_with_their_level_and_layout(set_up: SetUp, place: Place) -> None:
    logs = set_up(ini=own(place, "error"))
    logs.error.info("below its level")
    logs.error.warning("once")
    assert lines(place.own) == ["gunicorn.error|once"]
    assert lines(place.console) == []


def test_an_errorlog_that_a_configuration_overrides_is_said(set_up: SetUp, place: Place) -> None:
    set_up(ini=own(place, "error"), errorlog=str(place.error))
    assert not place.error.exists()
    (line,) = lines(place.own)
    assert "has no effect" in line
    assert str(place.error) in line


def test_the_same_handler_at_our_logger_and_at_the_root_writes_once(set_up: SetUp, place: Place) -> None:
    more = "[logger_gunicorn]\nqualname = gunicorn.error\nlevel = INFO\nhandlers = console\n"
    logs = set_up(ini=place.ini(more, loggers=", gunicorn"))
    logs.error.info("once")
    assert lines(place.console) == ["gunicorn.error|once"]


def test_loggers_that_the_runner_has_read_are_not_read_again(set_up: SetUp, place: Place) -> None:
    set_up(ini=place.ini())
    root = logging.getLogger()
    root.addHandler(theirs := logging.NullHandler())  # the application's own, added while it was loaded
    handlers = list(root.handlers)
    set_up(ini=place.ini())
    assert root.handlers == handlers
    assert theirs in root.handlers


def by_a_dictionary(place: Place) -> None:
    logging.config.dictConfig({"version": 1, "root": {"level": "ERROR"}})


def by_a_file(place: Place) -> None:
    (ini := place.console.with_suffix(".ini")).write_text(place.ini())
    logging.config.fileConfig(ini)


@pytest.mark.parametrize("configure", [by_a_dictionary, by_a_file])
def test_an_application_that_configures_logging_for_itself_does_not_silence_us(
    configure: Callable[[Place], None], set_up: SetUp, place: Place, served: Served
) -> None:
    logs = set_up(errorlog=str(place.error), accesslog=str(place.access))
    theirs = logging.getLogger("theirs")
    configure(place)  # disables and closes what it finds
    assert theirs.disabled
    logs.error.info("still here")
    assert logs.access is not None
    logs.access.write(served)
    assert len(lines(place.error)) == 1
    assert len(lines(place.access)) == 1


def test_an_access_logger_that_the_ini_names_is_not_silenced_either(
    set_up: SetUp, place: Place, served: Served
) -> None:
    logs = set_up(ini=own(place, "access", level="INFO"))
    by_a_dictionary(place)
    assert logs.access is not None
    logs.access.write(served)
    assert len(lines(place.own)) == 1


def test_an_application_that_configures_our_logger_gets_its_lines(set_up: SetUp, place: Place) -> None:
    logs = set_up(errorlog=str(place.error))
    handler = {"class": "logging.FileHandler", "filename": str(place.own)}
    logger = {"handlers": ["own"], "level": "ERROR"}
    logging.config.dictConfig({"version": 1, "handlers": {"own": handler}, "loggers": {"gunicorn.error": logger}})
    logs.error.warning("not at this level")
    logs.error.error("theirs")
    assert (lines(place.own), lines(place.error)) == (["theirs"], [])
    for one in logs.error.handlers:
        one.close()


def test_who_disables_our_logger_by_name_is_heeded(set_up: SetUp, place: Place) -> None:
    logs = set_up(errorlog=str(place.error))
    logging.getLogger("gunicorn.error").disabled = True
    logs.error.error("unwanted")
    logging.getLogger("gunicorn.error").disabled = False
    logs.error.error("wanted")
    assert [line.rpartition("] ")[2] for line in lines(place.error)] == ["wanted"]


def test_a_logger_of_another_class_stays_one(logging_as_before: None) -> None:
    class Theirs(logging.Logger):
        pass

    logger = Theirs("theirs")
    keep(logger)
    keep(logger)
    assert isinstance(logger, Theirs)
    assert logger.disabled is False
    assert type(logger).__mro__.count(Theirs) == 1


def test_setting_up_again_leaves_one_handler(set_up: SetUp, place: Place) -> None:
    set_up(errorlog=str(place.error), loglevel="error")
    logs = set_up(errorlog=str(place.error), loglevel="info")
    logs.error.info("once")
    assert len(lines(place.error)) == 1


# --- logconfig and its relatives ----------------------------------------------------------------------------


def test_logconfig_is_a_file_of_its_own(set_up: SetUp, place: Place, tmp_path: Path) -> None:
    config = tmp_path / "logging.ini"
    config.write_text(own(place, "error").replace(str(place.own), "%(here)s/own.log"))
    logs = set_up(logconfig=str(config))
    logs.error.warning("once")
    assert lines(place.own) == ["gunicorn.error|once"]


def test_logconfig_dict_may_name_the_handlers_and_formatters_of_old(set_up: SetUp, place: Place) -> None:
    file = {"class": "logging.FileHandler", "filename": str(place.own), "formatter": "generic"}
    logs = set_up(
        logconfig_dict={
            "handlers": {"file": file},
            "loggers": {
                "gunicorn.error": {"level": "INFO", "handlers": ["file"], "propagate": False},
                "gunicorn.access": {"level": "INFO", "handlers": ["console"], "propagate": False},
            },
        }
    )
    logs.error.info("once")
    assert [LAYOUT.fullmatch(line) is not None for line in lines(place.own)] == [True]


def test_logconfig_json_is_read(set_up: SetUp, place: Place, tmp_path: Path) -> None:
    config = tmp_path / "logging.json"
    handler = {"class": "logging.FileHandler", "filename": str(place.own)}
    loggers = {"gunicorn.error": {"level": "INFO", "handlers": ["f"]}}
    config.write_text(json.dumps({"handlers": {"f": handler}, "loggers": loggers}))
    logs = set_up(logconfig_json=str(config))
    logs.error.info("once")
    assert lines(place.own) == ["once"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"errorlog": "/no/such/folder/e.log"}, 'errorlog: "/no/such/folder/e.log" can\'t be opened'),
        ({"accesslog": "/no/such/folder/a.log"}, 'accesslog: "/no/such/folder/a.log" can\'t be opened'),
        ({"accesslog": "-", "access_log_format": "combine"}, 'did you mean the preset "combined"'),
        ({"access_log_format": "combine"}, 'did you mean the preset "combined"'),
        ({"logconfig": "/no/such.ini"}, 'logconfig: "/no/such.ini" can\'t be read'),
        ({"logconfig_json": "/no/such.json"}, 'logconfig_json: "/no/such.json" can\'t be read'),
        ({"logconfig_dict": {"handlers": {"f": {"class": "no.Such"}}}}, "logconfig_dict: not a logging"),
    ],
)
def test_a_setting_that_cannot_be_honoured_is_named(changes: dict[str, object], says: str, set_up: SetUp) -> None:
    with pytest.raises(LogsProblem) as caught:
        set_up(**changes)
    assert says in str(caught.value)


def test_loggers_that_are_no_configuration_are_named(set_up: SetUp) -> None:
    ini = "[loggers]\nkeys = root\n[handlers]\nkeys = h\n[formatters]\nkeys =\n[handler_h]\nclass = No\n"
    with pytest.raises(LogsProblem, match=r"\[loggers\]: .*site.ini. is not a logging configuration"):
        set_up(ini=ini)


# --- the access log -----------------------------------------------------------------------------------------


def test_there_is_no_access_log_unless_asked_for(set_up: SetUp, place: Place) -> None:
    assert set_up().access is None
    assert set_up(ini=place.ini()).access is None


def test_access_log_into_a_file_goes_nowhere_else(set_up: SetUp, place: Place, served: Served) -> None:
    logs = set_up(ini=place.ini(), accesslog=str(place.access), access_log_format="common")
    assert logs.access is not None
    logs.access.write(served)
    (line,) = lines(place.access)
    assert line.endswith('"GET /wiki/Page?edit=1 HTTP/1.1" 200 1234')
    assert lines(place.console) == []


def test_access_log_and_error_log_may_be_one_file(set_up: SetUp, place: Place, served: Served) -> None:
    logs = set_up(errorlog=str(place.error), accesslog=str(place.error))
    assert logs.access is not None
    logs.access.write(served)
    logs.error.info("beside it")
    assert len(lines(place.error)) == 2


def test_access_logger_that_the_ini_names_is_used(set_up: SetUp, place: Place, served: Served) -> None:
    logs = set_up(ini=own(place, "access", level="INFO", propagate=0))
    assert logs.access is not None
    logs.access.write(served)
    (line,) = lines(place.own)
    assert line.startswith("gunicorn.access|192.0.2.7 - - [")
    assert lines(place.console) == []


def test_access_logger_that_the_ini_names_above_info_is_off(set_up: SetUp, place: Place) -> None:
    assert set_up(ini=own(place, "access", level="WARNING")).access is None


def test_a_filter_added_later_sees_each_request_with_its_atoms(set_up: SetUp, place: Place, served: Served) -> None:
    logs = set_up(accesslog=str(place.access))
    assert logs.access is not None

    class NoHealthChecks(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            assert isinstance(record.args, dict)
            return record.args["U"] != "/health"

    logs.access.write(served)
    logging.getLogger("gunicorn.access").addFilter(NoHealthChecks())
    logs.access.write(served)
    logs.access.write(served._replace(request_line="GET /health HTTP/1.1"))
    assert len(set(lines(place.access))) == 1
    assert len(lines(place.access)) == 2


def test_a_handler_added_later_gets_each_request_beside_the_file(set_up: SetUp, place: Place, served: Served) -> None:
    logs = set_up(accesslog=str(place.access), access_log_format="json")
    assert logs.access is not None
    handler = logging.FileHandler(place.own)
    logging.getLogger("gunicorn.access").addHandler(handler)
    logs.access.write(served._replace(request_line="GET /100%25%s HTTP/1.1"))
    handler.close()
    assert lines(place.own) == lines(place.access)
    assert json.loads(lines(place.own)[0])["path"] == "/100%25%s"


def test_a_filter_that_fails_hurts_nobody(set_up: SetUp, place: Place, served: Served) -> None:
    logs = set_up(accesslog=str(place.access), errorlog=str(place.error))
    assert logs.access is not None

    def fail(record: logging.LogRecord) -> bool:
        raise RuntimeError("a bug in a filter")

    logging.getLogger("gunicorn.access").addFilter(fail)
    logs.access.write(served)
    assert "handler or filter of gunicorn.access failed" in lines(place.error)[0]


def test_an_environ_that_cannot_be_made_text_costs_the_line_and_no_more(
    set_up: SetUp, place: Place, served: Served
) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    logs = set_up(accesslog=str(place.access), errorlog=str(place.error), access_log_format="{odd}e")
    assert logs.access is not None
    logs.access.write(served._replace(environ={"odd": Odd()}))
    logs.access.write(served)
    assert lines(place.access) == ["-"]
    assert "Could not make a line of the access log." in lines(place.error)[0]


# --- rotation, capture, syslog ------------------------------------------------------------------------------


def test_reopen_follows_a_rotation_for_our_files_and_for_configured_ones(
    set_up: SetUp, place: Place, served: Served
) -> None:
    logs = set_up(ini=own(place, "error", level="INFO"), accesslog=str(place.access))
    assert logs.access is not None
    logs.error.info("before")
    logs.access.write(served)
    for path in (place.own, place.access):
        path.rename(path.with_suffix(".1"))
    logs.reopen()
    logs.error.info("after")
    logs.access.write(served)
    os.write(logs.error_fd, b"a traceback from C\n")
    assert lines(place.own) == ["gunicorn.error|after", "a traceback from C"]
    assert lines(place.own.with_suffix(".1")) == ["gunicorn.error|before"]
    assert len(lines(place.access)) == len(lines(place.access.with_suffix(".1"))) == 1


def test_reopen_never_empties_a_file_that_was_to_be_written_anew(set_up: SetUp, place: Place) -> None:
    logs = set_up(ini=own(place, "error", level="INFO").replace('own.log", "a"', 'own.log", "w"'))
    logs.error.info("one")
    logs.reopen()
    logs.error.info("two")
    assert lines(place.own) == ["gunicorn.error|one", "gunicorn.error|two"]


def test_chown_gives_our_files_away_and_those_that_replace_them(set_up: SetUp, place: Place) -> None:
    logs = set_up(errorlog=str(place.error))
    if os.getuid() != 0:
        logs.chown(os.getuid(), -1)
        return
    logs.chown(12345, -1)
    assert place.error.stat().st_uid == 12345
    place.error.unlink()
    logs.reopen()
    assert place.error.stat().st_uid == 12345


def test_error_fd_is_the_file_of_the_error_log(set_up: SetUp, place: Place) -> None:
    logs = set_up(errorlog=str(place.error))
    os.write(logs.error_fd, b"from C\n")
    assert lines(place.error) == ["from C"]


def test_descriptor_of_a_lazy_writer_without_fileno(tmp_path: Path) -> None:
    class LazyWriter:
        def open(self) -> object:
            return file

    with open(tmp_path / "lazy.log", "w") as file:
        assert descriptor_of(LazyWriter()) == file.fileno()
        assert descriptor_of(file) == file.fileno()
    assert descriptor_of(None) is None
    assert descriptor_of(object()) is None


CAPTURE = """
import os, sys
from paste_unicorn.ops.logs import setup
from paste_unicorn.settings.table.logs import LogSettings
settings = LogSettings(errorlog=sys.argv[1], capture_output=True)
logs = setup(settings, ini_path=None, ini_has_loggers=False, stderr_fd=None)
print("print")
os.system("echo subprocess; echo its error >&2")
os.rename(sys.argv[1], sys.argv[1] + ".1")
logs.reopen()
print("print after reopening")
os.dup2(os.open("/dev/full", os.O_WRONLY), logs.error_fd)
logs.error.info("lost")
"""


def test_capture_output_takes_what_the_application_and_its_children_print(place: Place) -> None:
    command = [sys.executable, "-c", CAPTURE, str(place.error)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    assert lines(place.error.with_suffix(".log.1")) == ["print", "subprocess", "its error"]
    assert lines(place.error) == ["print after reopening"]
    assert done.stdout == ""
    assert "No space left on device" in done.stderr  # complaints go where standard error went before


def test_capture_output_without_a_file_to_capture_into_is_said(set_up: SetUp, place: Place) -> None:
    set_up(ini=own(place, "error"), errorlog=str(place.error), capture_output=True)
    assert "capture_output has no effect" in lines(place.own)[-1]


def test_syslog_takes_both_logs_unless_told_otherwise(
    set_up: SetUp, place: Place, served: Served, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / "log"))
        daemon.settimeout(5)
        common = {"syslog": True, "syslog_addr": f"unix://{tmp_path}/log", "errorlog": str(place.error)}
        logs = set_up(ini="", syslog_facility="local0", access_log_format="{s}", **common)
        logs.error.error("a sentence\nof two lines")
        assert logs.access is not None
        logs.access.write(served)
        pid = os.getpid()
        assert [daemon.recv(999).decode() for _ in range(3)] == [
            f"<131>gunicorn.site.error[{pid}]: a sentence",
            f"<131>gunicorn.site.error[{pid}]:     of two lines",
            f"<134>gunicorn.site.access[{pid}]: 200",
        ]
        assert len(lines(place.error)) == 2
        logs.close()
        assert set_up(disable_redirect_access_to_syslog=True, **common).access is None
        logs = set_up(errorlog=f"syslog:unix://{tmp_path}/log", syslog_prefix="shop")
        logs.error.info("alone")
        assert daemon.recv(999).decode() == f"<14>gunicorn.shop.error[{pid}]: alone"


def test_a_full_disk_under_the_logs_neither_raises_nor_waits(set_up: SetUp, place: Place, served: Served) -> None:
    with place.console.open("ab") as console:
        logs = set_up(errorlog="/dev/full", accesslog="/dev/full", stderr_fd=console.fileno())
        assert logs.access is not None
        begun = time.monotonic()
        for _ in range(100):
            logs.error.error("lost")
            logs.access.write(served)
        assert time.monotonic() - begun < 10
    assert len(lines(place.console)) == 1
    assert "No space left on device" in lines(place.console)[0]
