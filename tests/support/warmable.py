"""An application whose first request is the expensive one, and that tells of the requests of its warm-up."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

Environ = dict[str, Any]


def make_app(global_conf: dict[str, str], **local_conf: str) -> Warmable:
    """`paste.app_factory`; `fail_if = PATH`: the page /fails answers 500 while that file exists."""
    return Warmable(local_conf.get("fail_if", ""))


class Warmable:
    """A method a path; what requests of a warm-up were told stays, and is inherited by workers."""

    def __init__(self, fail_if: str) -> None:
        self.fail_if = fail_if
        self.warmed: list[dict[str, str]] = []  # the environ of each request of the warm-up
        self.closed = 0

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("paste_unicorn.warmup"):
            self.warmed.append(plain(environ))
        name = environ["PATH_INFO"].strip("/")
        status, text = getattr(self, f"do_{name or 'import'}")(environ)
        start_response(status, [("Content-Type", "text/plain")])
        return self.body(text)

    def body(self, text: str) -> Iterator[bytes]:
        """In pieces; what is behind the last one runs only if somebody iterates to the end."""
        try:
            yield text.encode()
            yield b"\n"
        finally:
            self.closed += 1

    def do_import(self, environ: Environ) -> tuple[str, str]:
        """Who imported the module, and who answers."""
        from support.lazily_imported import PID

        return "200 OK", json.dumps({"imported_by": PID, "pid": os.getpid()})

    def do_warmed(self, environ: Environ) -> tuple[str, str]:
        return "200 OK", json.dumps({"environs": self.warmed, "closed": self.closed, "here": plain(environ)})

    def do_fails(self, environ: Environ) -> tuple[str, str]:
        return ("500 Out Of Order" if os.path.exists(self.fail_if) else "200 OK"), "maybe"

    def do_raises(self, environ: Environ) -> tuple[str, str]:
        raise RuntimeError("this page is out of order")

    def do_refuses(self, environ: Environ) -> tuple[str, str]:
        return "400 Bad Request", "who are you?"

    def do_hangs(self, environ: Environ) -> tuple[str, str]:
        while os.path.exists(self.fail_if):
            time.sleep(0.05)
        return "200 OK", "at last"

    def do_sleeps(self, environ: Environ) -> tuple[str, str]:
        """Waits for itself, for a thread and for a subprocess."""
        time.sleep(0.05)
        thread = threading.Thread(target=time.sleep, args=(0.05,))
        thread.start()
        thread.join()
        return "200 OK", subprocess.run(["echo", "slept"], check=True, capture_output=True, text=True).stdout.strip()

    def do_writes(self, environ: Environ) -> tuple[str, str]:
        """A cache of its own; who it belongs to."""
        path = Path(environ["QUERY_STRING"])
        path.touch()
        return "200 OK", str(path.stat().st_uid)

    def do_thread(self, environ: Environ) -> tuple[str, str]:
        threading.Thread(target=threading.Event().wait, name="refresher", daemon=True).start()
        return "200 OK", "started"

    def do_fork(self, environ: Environ) -> tuple[str, str]:
        """A child that forgets to end."""
        os.fork()
        return "200 OK", "forked"


def plain(environ: Environ) -> dict[str, str]:
    """As text; of objects only the type, since no two processes have the same."""
    return {
        key: str(value) if isinstance(value, str | bool | tuple | int) else type(value).__name__
        for key, value in environ.items()
    }


def pre_fork(server: Any, worker: Any) -> None:
    """A hook that waits for a subprocess."""
    subprocess.run(["true"], check=True)
