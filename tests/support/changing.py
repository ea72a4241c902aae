"""An application whose code is changed while it is served: it says its version and its process, and can sleep.

`Code` writes it into a folder that the server imports from. The same file is a `paste.app_factory` (`make_app`) and
a plain WSGI callable (`app`), for servers that take one of these.
"""

from __future__ import annotations

import os
from pathlib import Path

SOURCE = '''\
"""Says its version and its process; `/sleep?0.5` after that many seconds."""

import os
import time

VERSION = "{version}"


def app(environ, start_response):
    if environ["PATH_INFO"] == "/sleep":
        time.sleep(float(environ["QUERY_STRING"]))
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
