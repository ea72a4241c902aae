"""Tables of `reliability.py` about ours alone, without a steady load: how soon all is gone when the arbiter is killed,
and how soon a change is live under a reloader.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from contenders import COMMON
from outcome import in_ms
from proctree import on_cpus
from support.changing import APP, Code
from support.client import Client
from support.server import Server, serve, wait_for
from venvs import OURS, OURS_GREEN

KILLS = 10
GONE_S = 0.1  # promised: all processes gone, and the port free
WHAT_THEY_DO = ("hold", "spin", "sleep")  # who computes in C takes no other request, and who computes hardly one
CHANGES = 5
LIVE_S = {"paster": 2.0, "pserve": 3.0, "gearbox": 3.0}  # promised; hupper waits for a second by itself
HANGS_S = 20.0
LOOK_S = 0.005  # between two attempts to connect


@dataclass(frozen=True)
class Row:
    """A line of the table; what was promised and not kept."""

    cells: tuple[str, ...]
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Alone:
    """A table: `rows` gets the programs of its environment, and the server's processor."""

    name: str
    title: str
    heads: tuple[str, ...]
    venv: str
    requirements: tuple[str, ...]
    rows: Callable[[Path, int], Iterator[Row]]


def _arbiter_killed(binaries: Path, cpu: int) -> Iterator[Row]:
    for worker_class in ("sync", "threads", "gevent", "eventlet"):
        ends = [_kill_the_arbiter(worker_class, binaries, cpu) for _ in range(KILLS)]
        gone_s, free_s = (max(times) for times in zip(*ends, strict=True))
        broken = [f"{what} {in_ms(s)} after it" for what, s in (("gone", gone_s), ("free", free_s)) if s > GONE_S]
        yield Row((worker_class, str(KILLS), f"{gone_s * 1000:.1f}", f"{free_s * 1000:.1f}"), broken)


def _kill_the_arbiter(worker_class: str, binaries: Path, cpu: int) -> tuple[float, float]:
    """After how many seconds the last process was gone, and the port could be listened on."""
    settings = {**COMMON, "workers": "4", "worker_class": worker_class}
    app = "paste.app_factory = support.supervised:make_app"
    with contextlib.ExitStack() as stack:
        with on_cpus({cpu}):
            server = stack.enter_context(serve(settings=settings, app=app, programs=binaries))
        server.wait_for_log("[INFO] Serving ")
        for name in WHAT_THEY_DO:
            begun = server.directory / name
            client = stack.enter_context(server.connect())
            client.send(f"GET /{name}?s=60&touch={begun} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            wait_for(begun.exists, f"a worker to {name}")
        ends = select.poll()
        left = set()
        for process in server.processes():
            left.add(fd := os.pidfd_open(process.pid))
            stack.callback(os.close, fd)
            ends.register(fd, select.POLLIN)
        killed = time.monotonic()
        os.kill(server.pid, signal.SIGKILL)
        while left:
            ended = {fd for fd, _ in ends.poll(HANGS_S * 1000)}
            if not ended:
                raise RuntimeError(f"{len(left)} processes live on")
            for fd in ended:
                ends.unregister(fd)
            left -= ended
        gone = time.monotonic()
        _listen(server.port)
        free = time.monotonic()
        server.popen.wait()
    return gone - killed, free - killed


def _listen(port: int) -> None:
    """As soon as the next server could."""
    until = time.monotonic() + HANGS_S
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:
            try:
                again.bind(("127.0.0.1", port))
                again.listen()
                return
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.001)


def _changed(binaries: Path, cpu: int) -> Iterator[Row]:
    for runner, promised_s in LIVE_S.items():
        for what in ("a module", "the ini"):
            changes = list(_change(runner, what, binaries, cpu))
            live_s = max(change.live_s for change in changes)
            refused = sorted(change.refused_s for change in changes)
            times = (f"{live_s:.2f}", f"{promised_s:g}", f"{refused[0]:.2f} to {refused[-1]:.2f}")
            cells = (runner, what, str(CHANGES), *times, str(sum(change.cut for change in changes)))
            broken = [f"{runner}: {what} was live only after {in_ms(live_s)}"] if live_s > promised_s else []
            yield Row(cells, broken)


@dataclass
class _Change:
    """What somebody saw who connects all the time from the change on until it is live."""

    live_s: float = 0.0
    refused_s: float = 0.0  # from the first connection that was refused to the next that was not
    cut: int = 0  # accepted, and not answered


def _change(runner: str, what: str, binaries: Path, cpu: int) -> Iterator[_Change]:
    with tempfile.TemporaryDirectory(prefix="reloaded-") as folder, contextlib.ExitStack() as stack:
        code = Code(Path(folder).resolve())
        with on_cpus({cpu}):
            server = stack.enter_context(
                serve(settings=COMMON, app=APP, runner=runner, args=["--reload"], env=code.environ, programs=binaries)
            )
        for number in range(CHANGES):
            # A reloader sees a file's first time at its next look: paster looks once a second, hupper first lists the
            # modules and then looks, once a second each.
            wait_for(lambda: len(server.titled("unicorn: worker")) == 2, "two workers")
            time.sleep(3.0 + number / CHANGES)  # at another moment of its second each time
            old = {str(process.pid) for process in server.titled("unicorn: worker")}
            if what == "a module":
                code.write(version := f"v{number + 2}")
                yield _watch(server, lambda body, version=version: body[0] == version)  # type: ignore[misc]
            else:
                server.ini.write_text(server.ini.read_text() + f"# {number}\n")
                yield _watch(server, lambda body, old=old: body[1] not in old)  # type: ignore[misc]
        server.signal(signal.SIGINT if runner == "paster" else signal.SIGTERM)
        server.wait()
        wait_for(lambda: not server.processes(), "all to be gone")  # paster's monitor does not wait for its server


def _watch(server: Server, is_new: Callable[[list[str]], bool]) -> _Change:
    began = time.monotonic()
    change = _Change()
    since = None
    while (now := time.monotonic()) < began + HANGS_S:
        try:
            client = Client(server.address, HANGS_S)
        except ConnectionRefusedError:
            since = since or now
            time.sleep(LOOK_S)
            continue
        if since is not None:
            change.refused_s, since = max(change.refused_s, now - since), None
        try:
            with client:
                client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                body = client.read_answer().body.decode().split()
        except (AssertionError, OSError):
            change.cut += 1
        else:
            if is_new(body):
                change.live_s = time.monotonic() - began
                return change
        time.sleep(LOOK_S)
    raise RuntimeError(f"nothing new after {HANGS_S:g} s\n{server.report()}")


ALONE = (
    Alone(
        "arbiter",
        "SIGKILL of the arbiter, while one worker sleeps, one computes, and one is in C and keeps the interpreter",
        ("workers", "kills", "all processes gone after at most, ms", "port free after at most, ms"),
        "ours-green",
        OURS_GREEN,
        _arbiter_killed,
    ),
    Alone(
        "reload",
        "a changed file under `--reload`",
        ("runner", "changed", "times", "live after at most, s", "promised, s", "connections refused for, s", "cut"),
        "ours-runners",
        (*OURS, "pyramid>=2.0", "hupper>=1.12", "gearbox>=0.3"),
        _changed,
    ),
)
