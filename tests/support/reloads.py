"""A site whose code, dependencies and ini a test changes while it is served, and what it says of itself.

The application is `support.supervised`, made by a module in a folder of the test's own: so it can be changed, broken,
and told to hold something. `/loaded` tells which code of which module answers, and with what it was loaded.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from support.server import Server, serve, wait_for

MODULE = "site_of_the_test"
APP = f"paste.app_factory = {MODULE}:make_app"
CODE = """\
import sys
import stock_of_the_test
from support import supervised

CODE = "first"

def make_app(global_conf, **local_conf):
    app = supervised.make_app(global_conf, **local_conf)
    green = sorted({"gevent", "eventlet"} & set(sys.modules))
    app.loaded |= {"code": CODE, "stock": stock_of_the_test.STOCK, "green": green}
    return app
"""
STOCK = 'STOCK = "first"\n'
INI = """\
[DEFAULT]
colour = blue

[server:main]
use = egg:gunicorn#main
bind = 127.0.0.1:{port}
workers = 2
{settings}
[app:main]
paste.app_factory = site_of_the_test:make_app
{app}
"""


class Site:
    """A running server, and the files that it was started from."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.code = folder / f"{MODULE}.py"
        self.stock = folder / "stock_of_the_test.py"
        self.pid = arbiter_pid(server)

    # -- changing ----------------------------------------------------------------------------------------------------

    def change(self, path: Path, old: str, new: str) -> None:
        """Replace text in a file, in one step: a load at this moment sees the one or the other."""
        text = path.read_text()
        assert old in text, f"{old!r} is not in {path}"
        fresh = path.with_name(f"{path.name}.new")
        fresh.write_text(text.replace(old, new))
        fresh.replace(path)

    def set(self, *lines: str, drop: str = "") -> None:
        """Put lines into [server:main], without those that begin with `drop` or with the name of one of them."""
        names = {line.partition("=")[0].strip() for line in lines} | ({drop} if drop else set())
        kept = [
            line for line in self.server.ini.read_text().splitlines() if line.partition("=")[0].strip() not in names
        ]
        at = kept.index("use = egg:gunicorn#main") + 1
        self.server.ini.write_text("\n".join([*kept[:at], *lines, *kept[at:], ""]))

    def log(self) -> str:
        return self.server.log_text()

    # -- reloading ---------------------------------------------------------------------------------------------------

    def hup(self, number: signal.Signals = signal.SIGHUP) -> int:
        """Send HUP, or another signal, to the arbiter; where the log ends now."""
        start = len(self.log())
        os.kill(self.pid, number)
        return start

    def reload(self, timeout_s: float = 20.0) -> str:
        """HUP, and wait until the new generation serves alone; what the log says of it."""
        start = self.hup()
        return self.wait_for_reload(start, timeout_s)

    def wait_for_reload(self, start: int, timeout_s: float = 20.0) -> str:
        """Wait until a generation that began behind this place of the log serves alone."""
        wait_for(lambda: _SERVES.search(self.log()[start:]) or _FAILED in self.log()[start:], "a reload", timeout_s)
        assert _FAILED not in self.log()[start:], self.log()
        serving = int(_SERVES.findall(self.log()[start:])[-1])
        wait_for(lambda: all(one >= serving for one in self._templates()), "the template before to be gone", timeout_s)
        return self.log()[start:]

    def fail(self, timeout_s: float = 20.0) -> str:
        """HUP, and wait until the reload has failed; what the log says of it."""
        start = self.hup()
        said = self.server.wait_for_log(_FAILED, timeout_s, start)
        assert not _SERVES.search(said), said
        return said

    # -- looking -----------------------------------------------------------------------------------------------------

    def loaded(self) -> dict[str, Any]:
        """What the generation that answers was loaded from."""
        found: dict[str, Any] = json.loads(self.server.get("/loaded").body)
        return found

    def process(self) -> dict[str, Any]:
        """Environment, directory, mask, module path of a worker."""
        found: dict[str, Any] = json.loads(self.server.get("/process").body)
        return found

    def workers(self, generation: int | None = None) -> list[int]:
        """Pids, of all generations or of one."""
        found = self.server.titled("unicorn: worker")
        return [one.pid for one in found if generation is None or one.title.endswith(f" g{generation}")]

    def pids(self) -> list[int]:
        """Arbiter, templates, workers."""
        return [process.pid for process in self.server.titled("unicorn:")]

    def arbiters(self) -> list[int]:
        return [process.pid for process in self.server.titled("unicorn: arbiter")]

    def templates(self) -> list[int]:
        return [process.pid for process in self.server.titled("unicorn: template")]

    def _templates(self) -> list[int]:
        """Generations of those of this arbiter; 0 for one that is about to end, and has lost its title."""
        titles = [one.title for one in self.server.titled("unicorn: template") if one.parent == self.pid]
        return [int(title.rpartition(" g")[2]) if " g" in title else 0 for title in titles]


_SERVES = re.compile(r"Generation (\d+) serves \(")
_FAILED = "The reload failed: "


def arbiter_pid(server: Server) -> int:
    """Of the arbiter, when it has workers."""
    wait_for(lambda: server.titled("unicorn: worker"), "workers")
    (arbiter,) = server.titled("unicorn: arbiter")
    return arbiter.pid


@contextlib.contextmanager
def site(
    folder: Path,
    *settings: str,
    app: Sequence[str] = (),
    code: str = CODE,
    ini: str = INI,
    env: dict[str, str] | None = None,
    wait_for_log: bool = True,
    **options: Any,
) -> Iterator[Site]:
    """Serve a site whose modules are in `folder`; `settings` and `app` are lines of the ini, `options` `serve`'s."""
    (folder / f"{MODULE}.py").write_text(code)
    (folder / "stock_of_the_test.py").write_text(STOCK)
    text = ini.replace("{settings}", "\n".join(settings)).replace("{app}", "\n".join(app))
    with serve(text, env={**environ(folder), **(env or {})}, **options) as server:
        if wait_for_log and not options.get("daemon"):
            server.wait_for_log("[INFO] Serving ")
        yield Site(server, folder)


def environ(folder: Path) -> dict[str, str]:
    """So that the modules in this folder can be imported."""
    paths = [str(folder), str(Path(__file__).resolve().parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    # A module that changes twice in a second, and keeps its size, would be taken for its own old bytecode.
    return {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def errors(log: str) -> list[str]:
    """The entries of level ERROR, each with its further lines, which are indented."""
    return [
        entry.rstrip() for entry in re.findall(r"(?m)^\[[^]]+\] \[\d+\] \[(?:ERROR|CRITICAL)\] .*\n(?:    .*\n)*", log)
    ]
