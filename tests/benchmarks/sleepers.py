#!/usr/bin/env python3
"""Measures what a client costs that waits, here and elsewhere; prints a Markdown table. It waits for news (long
polling), or, with --idle, for nothing: it keeps its connection.

One worker of each server, one after the other. CLIENTS connections are opened from several loopback addresses, each
sends a request that the application answers only when it is told to. What the server's process tree takes then
(/proc/PID/smaps_rollup, Pss), less what it took before with one such client, is divided by their number. Then one more
request tells them all: the time until the last of them has its answer. That is done again, on the same connections.

With --idle each has its answer before memory is measured, and then all ask once more, until the last has its answer.
Needs Linux, and as many open files as there are clients.
"""

from __future__ import annotations

import argparse
import os
import resource
import select
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from proctree import cpu_s, machine_line, on_cpus, pss_kib, start, stop
from servers import THREADS
from venvs import GUNICORN, GUNICORN_GREEN, OURS, OURS_GREEN, CannotInstall, default_cache, environment, version_of

HERE = Path(__file__).resolve().parent
PER_ADDRESS = 5000  # clients from one loopback address: a client's port is used once for each
REQUEST = b"GET /%b HTTP/1.1\r\nHost: localhost\r\nUser-Agent: sleepers\r\nAccept: */*\r\n\r\n"
AT_A_TIME = 1000  # clients that come before the server has answered all of them
TURNS = 3
AT_MOST = 0.7  # of the memory of gunicorn's gevent worker, for a client that waits for news

OUR_INI = """\
[server:main]
use = egg:gunicorn#main
bind = 127.0.0.1:{port}
workers = 1
worker_class = {worker_class}
{threads}worker_connections = {room}
timeout = 600
keepalive = 600
loglevel = warning

[app:main]
paste.app_factory = waiting_room:app_factory
"""


@dataclass
class Side:
    """One server, and what was measured of it."""

    name: str
    requirements: tuple[str, ...]
    venv: str
    worker_class: str
    is_ours: bool = True
    per_client: list[float] = field(default_factory=list)  # KiB
    total: list[float] = field(default_factory=list)  # MiB
    last_s: list[float] = field(default_factory=list)  # from the word to the last answer
    cpu_us: list[float] = field(default_factory=list)  # of the server, a client and broadcast

    def command(self, binaries: Path, port: int, room: int, scratch: Path) -> list[str]:
        has_threads = self.worker_class in ("threads", "gthread")
        if not self.is_ours:
            line = (
                f"--bind 127.0.0.1:{port} --workers 1 --worker-class {self.worker_class} --worker-connections {room} "
                f"--timeout 600 --keep-alive 600 --log-level warning {f'--threads {THREADS} ' * has_threads}"
                "waiting_room:app"
            )
            return [str(binaries / "gunicorn"), *line.split()]
        ini = scratch / f"{self.name}.ini"
        ini.write_text(
            OUR_INI.format(
                port=port, worker_class=self.worker_class, room=room, threads=f"threads = {THREADS}\n" * has_threads
            )
        )
        return [str(binaries / "paster"), "serve", str(ini)]


def sides(idle: bool) -> list[Side]:
    """Who can keep so many waiting."""
    if idle:
        return [
            Side("ours-sync", OURS, "ours", "sync"),
            Side("ours-threads", OURS, "ours", "threads"),
            Side("ours-gevent", OURS_GREEN, "ours-green", "gevent"),
            Side("ours-eventlet", OURS_GREEN, "ours-green", "eventlet"),
            Side("gunicorn-gthread", GUNICORN, "gunicorn", "gthread", is_ours=False),
            Side("gunicorn-gevent", GUNICORN_GREEN, "gunicorn-green", "gevent", is_ours=False),
        ]
    return [
        Side("ours-gevent", OURS_GREEN, "ours-green", "gevent"),
        Side("ours-eventlet", OURS_GREEN, "ours-green", "eventlet"),
        Side("gunicorn-gevent", GUNICORN_GREEN, "gunicorn-green", "gevent", is_ours=False),
    ]


class Crowd:
    """Clients that wait. Each has had an answer before: who comes faster than the server accepts waits for seconds."""

    def __init__(self, port: int, number: int) -> None:
        self._poll = select.epoll()
        self._socks: dict[int, socket.socket] = {}
        for first in range(0, number, AT_A_TIME):
            fresh = [self._connect(port, index) for index in range(first, min(number, first + AT_A_TIME))]
            self._send(fresh, b"")
            self._receive(fresh, 60)

    def _connect(self, port: int, index: int) -> int:
        sock = socket.socket()
        sock.bind((f"127.0.0.{2 + index // PER_ADDRESS}", 0))
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        fd = sock.fileno()
        self._socks[fd] = sock
        self._poll.register(fd, select.EPOLLIN)
        return fd

    def ask(self, what: bytes = b"wait") -> None:
        """Each sends its request."""
        self._send(self._socks, what)

    def all_answers(self, timeout_s: float) -> None:
        """Return when each has its answer."""
        self._receive(self._socks, timeout_s)

    def _send(self, fds: Iterable[int], what: bytes) -> None:
        for fd in fds:
            self._socks[fd].send(REQUEST % what)

    def _receive(self, fds: Iterable[int], timeout_s: float) -> None:
        left = dict.fromkeys(fds, b"")
        until = time.monotonic() + timeout_s
        while left:
            if time.monotonic() > until:
                raise RuntimeError(f"{len(left)} clients have no answer after {timeout_s:g} s")
            for fd, _ in self._poll.poll(1.0):
                data = self._socks[fd].recv(4096)
                if not data:
                    raise RuntimeError("a connection was closed")
                left[fd] += data
                if left[fd].endswith(b"told\n"):
                    if b" 200 " not in left[fd][:20]:
                        raise RuntimeError(repr(left[fd][:200]))
                    del left[fd]

    def close(self) -> None:
        self._poll.close()
        for sock in self._socks.values():
            sock.close()


def tell(port: int) -> None:
    """One more client says the word."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        sock.sendall(REQUEST % b"tell")
        sock.recv(4096)


def at_rest(pid: int) -> None:
    """Return when the server has nothing more to do: what was sent has been read."""
    used = -1.0
    while used != (used := cpu_s(pid)):
        time.sleep(0.5)


def settle(crowd: Crowd, pid: int, idle: bool) -> None:
    """Return when all of them wait."""
    if idle:
        crowd.ask(b"")
        crowd.all_answers(120)
    else:
        crowd.ask()
    at_rest(pid)


def measure(side: Side, cache: Path, clients: int, idle: bool, cpus: tuple[int, int]) -> str:
    """One start, its figures noted; the server's version."""
    binaries = environment(cache, side.venv, side.requirements)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory(prefix="sleepers-") as folder:
        scratch = Path(folder)
        environ = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1", "VIRTUAL_ENV": ""}
        with on_cpus({cpus[0]}):
            process = start(
                side.command(binaries, port, clients + 100, scratch), cwd=scratch, environ=environ,
                log=scratch / "log",
            )  # fmt: skip
        try:
            first = wait_for_server(process, port, scratch / "log")
            settle(first, process.pid, idle)
            before = pss_kib(process.pid)
            crowd = Crowd(port, clients)
            settle(crowd, process.pid, idle)
            after = pss_kib(process.pid)
            side.per_client.append((after - before) / clients)
            side.total.append(after / 1024)
            for turn in range(TURNS):
                if turn:
                    settle(crowd, process.pid, idle)
                used, began = cpu_s(process.pid), time.monotonic()
                if idle:
                    crowd.ask(b"")
                else:
                    tell(port)
                crowd.all_answers(120)
                side.last_s.append(time.monotonic() - began)
                side.cpu_us.append((cpu_s(process.pid) - used) * 1e6 / clients)
            crowd.close()
            first.close()
        finally:
            stop(process)
    return version_of(binaries, "gunicorn")


def print_ratio(chosen: Sequence[Side]) -> None:
    """Ours on Gevent beside theirs: what was promised, and whether it was kept."""
    by_name = {side.name: side for side in chosen if side.per_client}
    if {"ours-gevent", "gunicorn-gevent"} <= by_name.keys():
        ours, theirs = (statistics.median(by_name[f"{name}-gevent"].per_client) for name in ("ours", "gunicorn"))
        verdict = "kept" if ours < AT_MOST * theirs else "**not kept**"
        print(f"\nours-gevent takes {ours / theirs:.3f} of gunicorn-gevent a client (less than {AT_MOST}): {verdict}")


def wait_for_server(process: subprocess.Popen[bytes], port: int, log: Path) -> Crowd:
    """A client of a server that has started."""
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        try:
            return Crowd(port, 1)
        except OSError:
            time.sleep(0.05)
    said = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
    raise RuntimeError(f"does not start; it said: {said[-1][:200]}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each in turn and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    names = [side.name for idle in (False, True) for side in sides(idle)]
    parser.add_argument("--idle", action="store_true", help="they keep a connection, and wait for nothing")
    parser.add_argument(
        "servers", nargs="*", metavar="SERVER", help=f"which (default: all): {', '.join(dict.fromkeys(names))}"
    )
    parser.add_argument("--clients", type=int, default=10_000, help="how many wait (default 10,000)")
    parser.add_argument("--rounds", type=int, default=3, help="starts of each (default 3)")
    parser.add_argument("--cpus", default="0,1", help="server's and clients' processor (default 0,1)")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where environments are kept (%(default)s)")
    options = parser.parse_args(arguments)
    chosen = [side for side in sides(options.idle) if not options.servers or side.name in options.servers]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, options.clients + 500), hard))
    server_cpu, client_cpu = map(int, options.cpus.split(","))
    versions: dict[str, str] = {}
    failures: dict[str, str] = {}
    with on_cpus({client_cpu}):
        for number in range(options.rounds):
            for side in [one for one in chosen if one.name not in failures]:
                print(f"round {number + 1} of {options.rounds}: {side.name}", file=sys.stderr)
                try:
                    versions[side.name] = measure(
                        side, options.cache.resolve(), options.clients, options.idle, (server_cpu, client_cpu)
                    )
                except (CannotInstall, RuntimeError, OSError) as problem:
                    failures[side.name] = str(problem)
    what = "all ask again" if options.idle else "broadcast"
    print(f"| server | KiB a client | MiB in all | {what}, s to the last | µs CPU a client | |")
    print("| --- | ---: | ---: | ---: | ---: | --- |")
    for side in chosen:
        cells = ["-"] * 4
        if side.name not in failures:
            cells = [
                f"**{statistics.median(side.per_client):.2f}**",
                f"{statistics.median(side.total):.0f}",
                f"{statistics.median(side.last_s):.2f}",
                f"{statistics.median(side.cpu_us):.0f}",
            ]
        row = [f"{side.name} {versions.get(side.name, '')}".strip(), *cells, failures.get(side.name, "")]
        print(f"| {' | '.join(row)} |")
    if not options.idle:
        print_ratio(chosen)
    print(
        f"\nMachine: {machine_line()}. {options.clients:,} clients, medians of {options.rounds} starts, "
        f"{date.today().isoformat()}.\n\nCommand: `{shlex.join(['python', *sys.argv])}`"
    )


if __name__ == "__main__":
    main()
