"""The servers that `reliability.py` sets side by side: the same application, settings and signals, two workers each.

An `Instance` is one that runs; what scenarios do with it works for all, from outside: signals to the process that the
pid file names, a configuration file that is rewritten, and the kernel's word for who waits at the listening socket.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from proctree import on_cpus, start
from venvs import GUNICORN, OURS, environment

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.changing import APP, MODULE, Code
from support.listeners import listening
from support.processes import MARK, belonging, is_alive, send_signal, wait_until_gone

COMMON = {"workers": "2", "keepalive": "75", "graceful_timeout": "30", "loglevel": "info"}
HOME = Path(__file__).resolve().parents[2]


def _write_ini(folder: Path, settings: Mapping[str, str]) -> None:
    lines = "\n".join(f"{name} = {value}" for name, value in settings.items())
    text = f"[server:main]\nuse = egg:gunicorn#main\n{lines}\n\n[app:main]\n{APP}\n"
    (folder / "site.ini").write_text(text)


def _write_conf(folder: Path, settings: Mapping[str, str]) -> None:
    def literal(value: str) -> str:
        return value if value.isdigit() else repr(value)

    (folder / "gunicorn.conf.py").write_text("".join(f"{name} = {literal(v)}\n" for name, v in settings.items()))


@dataclass(frozen=True)
class Contender:
    """One row a scenario."""

    name: str
    requirements: tuple[str, ...]
    venv: str
    write: Callable[[Path, Mapping[str, str]], None]
    command: tuple[str, ...]
    settings: Mapping[str, str]
    is_ours: bool = False

    def prepare(self, cache: Path) -> Path:
        """The `bin` folder of its environment; raises CannotInstall."""
        return environment(cache, self.venv, self.requirements)


def _gunicorn(worker_class: str, **settings: str) -> Contender:
    return Contender(
        f"gunicorn {worker_class}",
        (*GUNICORN, "gevent"),
        "gunicorn-gevent",
        _write_conf,
        ("gunicorn", f"{MODULE}:app"),
        {"worker_class": worker_class, **settings},
    )


CONTENDERS = (
    Contender("ours sync", OURS, "ours", _write_ini, ("paster", "serve", "site.ini"), {}, is_ours=True),
    _gunicorn("gthread", threads="4"),
    _gunicorn("gevent"),
)


class Instance:
    """A contender that runs, in a folder and a session of its own, on one processor."""

    def __init__(self, contender: Contender, binaries: Path, folder: Path, cpu: int, settings: Mapping[str, str]):
        self.contender = contender
        self.binaries = binaries
        self.folder = folder
        self.port = free_port()
        self.address = ("127.0.0.1", self.port)
        self.mark = uuid.uuid4().hex
        self.code = Code(folder)
        self.pid_file = folder / "server.pid"
        self.log = folder / "output.log"
        bind = {"bind": f"127.0.0.1:{self.port}", "pidfile": str(self.pid_file)}
        self.settings = {**COMMON, **bind, **contender.settings, **settings}
        self.contender.write(folder, self.settings)
        with on_cpus({cpu}):
            self.process: subprocess.Popen[bytes] = start(
                self.command(), cwd=folder, environ=self.environ(), log=self.log
            )
        until = time.monotonic() + 20.0
        while len(self.ready()) < 2:
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{contender.name} did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def command(self, *arguments: str) -> list[str]:
        """Its command line."""
        program, *rest = self.contender.command
        return [str(self.binaries / program), *rest, *arguments]

    def environ(self) -> dict[str, str]:
        """Its environment; $HOME too is its own, since some servers keep a socket there."""
        paths = [str(self.folder), *([str(HOME)] if self.contender.is_ours else [])]
        return {
            **os.environ,
            **self.code.environ,
            "PYTHONPATH": os.pathsep.join(paths),
            "HOME": str(self.folder),
            MARK: self.mark,
        }

    @property
    def pid(self) -> int:
        """Of the arbiter in charge."""
        try:
            return int(self.pid_file.read_text())
        except (OSError, ValueError):
            return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        """To the arbiter in charge."""
        send_signal(self.pid, number)

    def set(self, **settings: str) -> None:
        """Rewrite the configuration."""
        self.settings.update(settings)
        self.contender.write(self.folder, self.settings)

    def processes(self) -> list[int]:
        """All that live; looks at the whole process table."""
        return [process.pid for process in belonging(self.process.pid, self.mark, self.folder)]

    def template(self) -> int:
        """Ours alone has one."""
        found = belonging(self.process.pid, self.mark, self.folder)
        (process,) = [process for process in found if process.title.startswith("unicorn: template")]
        return process.pid

    def ready(self) -> list[int]:
        """The workers that wait for connections now."""
        return listening(self.port, _descendants(self.pid))

    def wait_for_new(self, before: list[int], count: int = 2, timeout_s: float = 10.0) -> float | None:
        """When so many workers were ready that were not there before; None: in the time given they never were."""
        until = time.monotonic() + timeout_s
        while (now := time.monotonic()) < until:
            if len(set(self.ready()) - set(before)) >= count:
                return now
            time.sleep(0.003)
        return None

    def stop(self) -> None:
        """All that is left of it."""
        self.signal(signal.SIGQUIT)
        left = wait_until_gone(self.processes(), 3.0)
        for pid in left:
            send_signal(pid, signal.SIGKILL)
        self.process.wait()

    def wait_for_end(self, timeout_s: float = 60.0) -> int | None:
        """The exit code of the process that was started; None when it doesn't end."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def wait_for_another(self, before: int, timeout_s: float = 40.0) -> bool:
        """Until the arbiter that was there before has gone, and the pid file names another one."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if not is_alive(before) and self.pid != before and is_alive(self.pid):
                return True
            time.sleep(0.02)
        return False


def _descendants(root: int) -> list[int]:
    """The process and all that come from it, by the kernel's lists of children: cheap enough to ask all the time."""
    found = [root]
    for pid in found:  # grows while it is walked
        try:
            found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        except OSError:
            continue
    return found


def free_port() -> int:
    """A TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
