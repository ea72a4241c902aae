#!/usr/bin/env python3
"""Measures streams of very many bytes, here and elsewhere; prints a Markdown table for each kind.

upload     a chunked request body, which the application reads in pieces of 64 KiB
generator  an answer of unknown length, of pieces of 64 KiB
file       an answer from a file, through `wsgi.file_wrapper`; nginx sends the same file

One worker of each server is pinned to one processor, the client to another; one stream at a time, each server in its
turn, and that for some rounds. What stands in the table: MB a second (of 10^6 bytes), as the client sees them, and MB a
second of CPU time of the server's process tree, both medians; and by how much the tree's memory (the sum of the
proportional set sizes, looked at ten times a second) was greater at any time than before, the most of all rounds. Each
server has had a smaller stream of each kind before that. Needs Linux; nginx for its row.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from proctree import cpu_s, machine_line, on_cpus, pss_kib, start, stop
from venvs import GUNICORN, OURS, OURS_GREEN, CannotInstall, default_cache, environment, version_of

HERE = Path(__file__).resolve().parent
KINDS = ("upload", "generator", "file")
PIECE = 65536
WARM_UP = 64 << 20  # bytes of a stream before
HEAD = "{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\r\n"

OUR_INI = """\
[server:main]
use = egg:gunicorn#main
bind = 127.0.0.1:{port}
workers = 1
worker_class = {worker_class}
loglevel = warning

[app:main]
paste.app_factory = streaming_app:app_factory
"""

NGINX_CONF = """\
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ }}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; location / {{ root {folder}; }} }}
}}
"""


def _ours(worker_class: str) -> Callable[[Path, int, Path], list[str]]:
    def command(binaries: Path, port: int, scratch: Path) -> list[str]:
        ini = scratch / f"{worker_class}.ini"
        ini.write_text(OUR_INI.format(port=port, worker_class=worker_class))
        return [str(binaries / "paster"), "serve", str(ini)]

    return command


def _program(line: str) -> Callable[[Path, int, Path], list[str]]:
    def command(binaries: Path, port: int, scratch: Path) -> list[str]:
        name, *arguments = line.format(port=port).split()
        return [str(binaries / name), *arguments]

    return command


def _nginx(binaries: Path, port: int, scratch: Path) -> list[str]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise CannotInstall("there is no nginx")
    conf = scratch / "nginx.conf"
    conf.write_text(NGINX_CONF.format(folder=scratch, port=port, user="user root;" if os.geteuid() == 0 else ""))
    return [program, "-e", "stderr", "-c", str(conf)]


@dataclass
class Sample:
    """One stream."""

    rate: float  # MB a second
    cpu_rate: float  # MB a second of CPU time
    growth: float  # MiB


@dataclass
class Side:
    """One server, and what was measured of it."""

    name: str
    command: Callable[[Path, int, Path], list[str]]
    requirements: tuple[str, ...] = ()
    venv: str = ""
    kinds: tuple[str, ...] = KINDS
    distribution: str = "gunicorn"
    version: str = ""
    failure: str = ""
    samples: dict[str, list[Sample]] = field(default_factory=lambda: {kind: [] for kind in KINDS})


_GUNICORN = "gunicorn --bind 127.0.0.1:{port} --workers 1 --timeout 600 --log-level warning streaming_app:app"


def sides() -> list[Side]:
    return [
        Side("ours", _ours("sync"), OURS, "ours"),
        Side("ours-threads", _ours("threads"), OURS, "ours"),
        Side("ours-gevent", _ours("gevent"), OURS_GREEN, "ours-green"),
        Side("ours-eventlet", _ours("eventlet"), OURS_GREEN, "ours-green"),
        Side("gunicorn", _program(_GUNICORN), GUNICORN, "gunicorn"),
        Side("gunicorn-gthread", _program(_GUNICORN + " --threads 4"), GUNICORN, "gunicorn"),
        Side(
            "waitress",
            _program("waitress-serve --listen 127.0.0.1:{port} --max-request-body-size 99999999999 streaming_app:app"),
            ("waitress",), "waitress", distribution="waitress",
        ),
        Side("nginx", _nginx, kinds=("file",)),
    ]  # fmt: skip


class Running:
    """A server that was started."""

    def __init__(self, side: Side, cache: Path, scratch: Path, cpu: int) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        binaries = environment(cache, side.venv, side.requirements) if side.requirements else Path()
        if side.requirements:
            side.version = version_of(binaries, side.distribution)
        folder = scratch / side.name
        folder.mkdir()
        (folder / "file").symlink_to(scratch / "file")
        environ = {
            **os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1", "VIRTUAL_ENV": "",
            "STREAM_FILE": str(scratch / "file"), "TMPDIR": str(folder),
        }  # fmt: skip
        with on_cpus({cpu}):
            command = side.command(binaries, self.port, folder)
            self.process: subprocess.Popen[bytes] = start(command, cwd=folder, environ=environ, log=folder / "log")
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
                return
            except OSError:
                if time.monotonic() > until or self.process.poll() is not None:
                    said = (folder / "log").read_text(errors="replace").strip().splitlines() or ["nothing"]
                    stop(self.process)
                    raise RuntimeError(f"does not start; it said: {said[-1][:200]}") from None
                time.sleep(0.05)


def stream(kind: str, port: int, size: int) -> None:
    """One stream, to its end. Raises RuntimeError where the answer is not as it should be."""
    with socket.create_connection(("127.0.0.1", port), timeout=600) as sock:
        if kind != "upload":
            sock.sendall(HEAD.format(f"GET /{kind}?{size}", "").encode())
            received = _read_all(sock)
            if not received[0].startswith(b"HTTP/1.1 200 ") or received[1] < size:
                raise RuntimeError(f"{received[1]} bytes came, after {received[0][:200]!r}")
            return
        sock.sendall(HEAD.format("POST /", "Transfer-Encoding: chunked\r\n").encode())
        some = b"%x\r\n%b\r\n" % (PIECE, b"x" * PIECE) * 16
        for _ in range(size // (16 * PIECE)):
            sock.sendall(some)
        sock.sendall(b"0\r\n\r\n")
        start_of_it, _ = _read_all(sock)
        if b"\r\n\r\n%d\n" % size not in start_of_it:
            raise RuntimeError(f"it answered {start_of_it[:300]!r}")


def _read_all(sock: socket.socket) -> tuple[bytes, int]:
    """The beginning of what comes, and how many bytes that was to the end."""
    buffer = bytearray(1 << 20)
    total, beginning = 0, b""
    while count := sock.recv_into(buffer):
        if total < 4096:
            beginning += buffer[: min(count, 4096)]
        total += count
    return beginning, total


@contextmanager
def memory_watched(pid: int) -> Iterator[list[int]]:
    """What the tree took, in KiB: before, and ten times a second while the `with` lasts."""
    seen = [pss_kib(pid)]
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.1):
            seen.append(pss_kib(pid))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


def measure(kind: str, running: Running, size: int) -> Sample:
    """One stream."""
    pid = running.process.pid
    with memory_watched(pid) as seen:
        used, began = cpu_s(pid), time.monotonic()
        stream(kind, running.port, size)
        took_s, cpu = time.monotonic() - began, cpu_s(pid) - used
    return Sample(size / 1e6 / took_s, size / 1e6 / max(cpu, 0.01), (max(seen) - seen[0]) / 1024)


def measure_all(chosen: list[Side], kinds: Sequence[str], options: argparse.Namespace, cpu: int) -> None:
    """Start all, and let each have its turn; what goes wrong becomes the `failure` of one."""
    with tempfile.TemporaryDirectory(prefix="streams-") as folder, ExitStack() as stack:
        scratch = Path(folder)
        scratch.chmod(0o755)
        size = options.size << 20
        with (scratch / "file").open("wb") as file:
            file.truncate(size)
        running: dict[str, Running] = {}

        def attempt(side: Side, step: Callable[[], None]) -> None:
            try:
                step()
            except (CannotInstall, RuntimeError, OSError) as problem:
                side.failure = str(problem)

        def launch(side: Side) -> None:
            one = running[side.name] = Running(side, options.cache.resolve(), scratch, cpu)
            stack.callback(stop, one.process)
            for kind in set(side.kinds) & set(kinds):
                stream(kind, one.port, WARM_UP)

        for side in chosen:
            print(f"starting {side.name}", file=sys.stderr)
            attempt(side, lambda side=side: launch(side))  # type: ignore[misc]
        for number in range(options.rounds):
            for kind in kinds:
                for side in [one for one in chosen if kind in one.kinds and not one.failure]:
                    print(f"round {number + 1} of {options.rounds}, {kind}: {side.name}", file=sys.stderr)
                    attempt(
                        side,
                        lambda side=side, kind=kind: side.samples[kind].append(  # type: ignore[misc]
                            measure(kind, running[side.name], size)
                        ),
                    )


def table(kind: str, chosen: list[Side]) -> str:
    lines = [f"| {kind} | MB/s | MB/s of CPU time | memory, MiB | |", "| --- | ---: | ---: | ---: | --- |"]
    for side in chosen:
        samples, cells = side.samples[kind], ["-"] * 3
        if samples:
            rate, cpu_rate = (statistics.median(getattr(one, name) for one in samples) for name in ("rate", "cpu_rate"))
            cells = [f"**{rate:,.0f}**", f"{cpu_rate:,.0f}", f"+{max(one.growth for one in samples):.1f}"]
        if kind in side.kinds:
            lines.append(f"| {f'{side.name} {side.version}'.strip()} | {' | '.join(cells)} | {side.failure} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    names = [side.name for side in sides()]
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"which (default: all): {', '.join(names)}")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="which streams (default: all)")
    parser.add_argument("--size", type=int, default=2048, help="of a stream, in MiB (default 2048)")
    parser.add_argument("--rounds", type=int, default=3, help="streams of each kind and server (default 3)")
    parser.add_argument("--cpus", default="0,1", help="servers' and client's processor (default 0,1)")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where environments are kept (%(default)s)")
    options = parser.parse_args(arguments)
    if unknown := set(options.servers) - set(names):
        parser.error(f"no such server: {', '.join(sorted(unknown))}")
    chosen = [side for side in sides() if not options.servers or side.name in options.servers]
    server_cpu, client_cpu = map(int, options.cpus.split(","))
    with on_cpus({client_cpu}):
        measure_all(chosen, options.kinds, options, server_cpu)
    print("\n\n".join(table(kind, chosen) for kind in options.kinds))
    print(
        f"\nMachine: {machine_line()}. Streams of {options.size:,} MiB, {options.rounds} rounds, "
        f"{date.today().isoformat()}.\n\nCommand: `{shlex.join(['python', *sys.argv])}`"
    )


if __name__ == "__main__":
    main()
