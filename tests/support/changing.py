"""An application whose code is changed while it is served: it says its version and its process, and takes its time.

`Code` writes it into a folder that the server imports from. The same file is a `paste.app_factory` (`make_app`) and
a plain WSGI callable (`app`), for servers that take one of these. `changing_site` serves it.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from support.server import Server, serve, wait_for

SOURCE = '''\
"""Says its version and its process; `/sleep?0.5` and `/spin?0.5` after that many seconds.

`/wait?PATH` makes PATH.begun, and waits for PATH.
"""

import os
import time

VERSION = "{version}"


def app(environ, start_response):
    if environ["PATH_INFO"] == "/sleep":
        time.sleep(float(environ["QUERY_STRING"]))
    if environ["PATH_INFO"] == "/wait":
        open(environ["QUERY_STRING"] + ".begun", "w").close()
        while not os.path.exists(environ["QUERY_STRING"]):
            time.sleep(0.01)
    if environ["PATH_INFO"] == "/spin":
        until = time.monotonic() + float(environ["QUERY_STRING"])
        while time.monotonic() < until:
            pass
    if environ["PATH_INFO"] == "/warm" and {fails_to_warm}:
        raise RuntimeError("this version can't be warmed up")
    body = f"{{VERSION}} {{os.getpid()}}\\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def make_app(global_conf, **local_conf):
    return app
'''
MODULE = "changing_application"
APP = f"paste.app_factory = {MODULE}:make_app"
PATIENT = {"keepalive": "600", "post_fork": f"{__name__}.is_patient"}  # for a site whose processes may stand still


class Code:
    """The application's file, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / f"{MODULE}.py"
        # A file that changes twice in a second, and keeps its size, would be taken for its own old bytecode.
        paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.environ = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
        self.write("v1")

    def write(self, version: str, fails_to_warm: bool = False) -> None:
        """The next load finds this version."""
        self._replace(SOURCE.format(version=version, fails_to_warm=fails_to_warm))

    def break_it(self) -> None:
        """The next load finds a syntax error."""
        self._replace("def app(environ, start_response:\n")

    def _replace(self, text: str) -> None:
        # In one step: a load at this moment sees the one or the other.
        new = self.path.with_suffix(".new")
        new.write_text(text)
        new.replace(self.path)


class Site:
    """A server of a `Code`, and what the tests of a reload do with it."""

    def __init__(self, server: Server, code: Code) -> None:
        self.server = server
        self.code = code

    def workers(self, generation: int | None = None) -> list[int]:
        """Pids, of all generations or of one."""
        found = self.server.titled("unicorn: worker")
        return [process.pid for process in found if generation is None or process.title.endswith(f" g{generation}")]

    def template(self, generation: int) -> int:
        (process,) = [one for one in self.server.titled("unicorn: template") if one.title.endswith(f" g{generation}")]
        return process.pid

    def set(self, **settings: str) -> None:
        """Change lines of the ini, or add them: the next load finds these."""
        lines = self.server.ini.read_text().splitlines()
        for name, value in settings.items():
            lines = [line for line in lines if not line.startswith(f"{name} =")]
            lines.insert(lines.index("[server:main]") + 1, f"{name} = {value}")
        self.server.ini.write_text("\n".join(lines) + "\n")

    def reload(self, version: str, generation: int) -> None:
        """New code, HUP, and wait until nothing is left of what served before."""
        self.code.write(version)
        self.server.signal(signal.SIGHUP)
        self.wait_for_generation(generation)

    def wait_for_generation(self, generation: int, timeout_s: float = 30.0) -> None:
        self.server.wait_for_log(f"Generation {generation} serves (", timeout_s)
        wait_for(lambda: self.workers() == self.workers(generation), "workers of one generation alone", timeout_s)


def is_patient(server: Any, worker: Any) -> None:
    """A `post_fork`: a worker that leaves waits for long until somebody takes its connections: all may stand still."""
    from paste_unicorn.workers import leaving

    leaving.PATIENCE_S = 20.0


def new_arbiter(log: str) -> int:
    """The pid of the last one that came beside another. Its title is no sign: what an arbiter has just forked has that
    too.
    """
    return int(re.findall(r"The new arbiter \(pid (\d+)\) serves; TERM ends this one", log)[-1])


@contextlib.contextmanager
def changing_site(folder: Path, worker_class: str, args: Sequence[str] = (), **settings: str) -> Iterator[Site]:
    """Two workers, `keepalive = 75`; `folder` holds the code."""
    code = Code(folder)
    rows = {"workers": "2", "worker_class": worker_class, "keepalive": "75", **settings}
    with serve(settings=rows, app=APP, env=code.environ, args=args) as server:
        server.wait_for_log("[INFO] Serving ")
        yield Site(server, code)
