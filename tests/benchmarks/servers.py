"""The servers that `speed.py` measures: what to install for each, how to start it; a row each.

All get one worker, no access log, and otherwise what they do by default.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from venvs import GUNICORN, GUNICORN_GREEN, OURS, OURS_GREEN, CannotInstall, environment

HERE = Path(__file__).resolve().parent

THREADS = 8  # of a worker, where it has several

OUR_INI = """\
[server:main]
use = egg:gunicorn#main
host = 127.0.0.1
port = {port}
workers = 1
{workers}
loglevel = warning

[app:main]
paste.app_factory = hello:app_factory
"""


def _python(code: str) -> Callable[[Path, int, Path], list[str]]:
    """A command that runs `code` in the server's environment; in it {port} is the port, `app` is ours."""

    def command(binaries: Path, port: int, workdir: Path) -> list[str]:
        return [str(binaries / "python"), "-c", "from hello import app; " + code.format(port=port)]

    return command


def _program(line: str) -> Callable[[Path, int, Path], list[str]]:
    """A command line of the server's own program."""

    def command(binaries: Path, port: int, workdir: Path) -> list[str]:
        name, *arguments = line.format(port=port).split()
        return [str(binaries / name), *arguments]

    return command


def _ours(*workers: str) -> Callable[[Path, int, Path], list[str]]:
    """Ours with these lines about its workers."""

    def command(binaries: Path, port: int, workdir: Path) -> list[str]:
        ini = workdir / "speed.ini"
        ini.write_text(OUR_INI.format(port=port, workers="\n".join(workers)))
        return [str(binaries / "paster"), "serve", str(ini)]

    return command


def _floor(binaries: Path, port: int, workdir: Path) -> list[str]:
    program = workdir / "floor"
    compiler = ["cc", "-O2", "-o", str(program), str(HERE / "floor.c")]
    try:
        done = subprocess.run(compiler, capture_output=True, text=True)
    except FileNotFoundError:
        raise CannotInstall("no C compiler (cc)") from None
    if done.returncode:
        raise CannotInstall(f"cc: {done.stderr.strip().splitlines()[-1]}")
    return [str(program), str(port)]


@dataclass(frozen=True)
class Server:
    """One row: `command(bin folder of its environment, port, scratch folder)` gives the command line."""

    name: str
    command: Callable[[Path, int, Path], list[str]]
    requirements: tuple[str, ...] = ()
    distribution: str = ""  # whose version stands in the table
    venv: str = ""  # two rows may share one environment; default: the row's name
    note: str = ""  # what a reader must know to read the figures
    tree: Path | None = None  # whose packages it imports before those that are installed

    def prepare(self, cache: Path) -> Path:
        """Its environment's `bin` folder; raises CannotInstall."""
        if not self.requirements:
            return Path("/nonexistent")
        return environment(cache, self.venv or self.name, self.requirements)


def _peer(name: str, command: Callable[[Path, int, Path], list[str]]) -> Server:
    return Server(name, command, (name,), name)


_GUNICORN = "--bind 127.0.0.1:{port} --workers 1 --log-level warning hello:app"

SERVERS = (
    Server("floor", _floor),
    Server("ours", _ours("worker_class = sync"), OURS, "gunicorn"),
    Server("ours-threads", _ours("worker_class = threads", f"threads = {THREADS}"), OURS, "gunicorn", "ours"),
    Server("ours-gevent", _ours("worker_class = gevent"), OURS_GREEN, "gunicorn", "ours-green"),
    Server("ours-eventlet", _ours("worker_class = eventlet"), OURS_GREEN, "gunicorn", "ours-green"),
    _peer("freastal", _python("import freastal; freastal.serve(app, '127.0.0.1', {port})")),
    # It imports pkg_resources.
    Server(
        "fastwsgi",
        _python("import fastwsgi; fastwsgi.run(app, '127.0.0.1', {port})"),
        ("fastwsgi", "setuptools<80.9"),
        "fastwsgi",
    ),
    _peer("bjoern", _python("import bjoern; bjoern.run(app, '127.0.0.1', {port})")),
    _peer(
        "granian",
        _program("granian --interface wsgi --host 127.0.0.1 --port {port} --workers 1 --no-log hello:app"),
    ),
    # As by default, without keep-alive: with it, 32 connections starve each other on one worker.
    _peer("pyruvate", _python("import pyruvate; pyruvate.serve(app, '127.0.0.1:{port}', 1)")),
    Server(
        "uwsgi",
        _program("uwsgi --http11-socket 127.0.0.1:{port} --processes 1 --module hello:app --disable-logging"),
        ("uwsgi",),
        "uwsgi",
        note="one connection at a time, the others wait",
    ),
    _peer("waitress", _program("waitress-serve --listen 127.0.0.1:{port} hello:app")),
    Server("gunicorn", _program("gunicorn " + _GUNICORN), GUNICORN, "gunicorn"),
    Server(
        "gunicorn-gthread",
        _program(f"gunicorn --worker-class gthread --threads {THREADS} " + _GUNICORN),
        GUNICORN,
        "gunicorn",
        "gunicorn",
    ),
    Server(
        "gunicorn-gevent",
        _program("gunicorn --worker-class gevent " + _GUNICORN),
        GUNICORN_GREEN,
        "gunicorn",
        "gunicorn-green",
    ),
)

# How much CPU time of a hello request on a kept connection one may take at most of another's, in the same run.
PROMISES = (
    ("ours-threads", "gunicorn-gthread", 1 / 8),
    ("ours-gevent", "gunicorn-gevent", 1 / 8),
    ("ours-eventlet", "ours-gevent", 2.0),
)
