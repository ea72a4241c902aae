#!/usr/bin/env python3
"""Measures what a real application costs in memory, here and under the well-known gunicorn; prints a table.

Both run the same quickstarted TurboGears project (its database set up) under `paster serve` with four
workers, each in an environment of its own. After 200 requests, eight at a time so that every worker gets
some, the figure is the sum of the proportional set sizes (/proc/PID/smaps_rollup) of the whole process tree:
the arbiter, the template if there is one, and the workers. Needs Linux.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import os
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

from proctree import machine_line, pss_kib, start, stop, tree
from venvs import GUNICORN, OURS, CannotInstall, default_cache, environment, run_in, version_of

TURBOGEARS = ("TurboGears2", "gearbox", "tg.devtools")
# Installed under one name, told apart by the environment.
SIDES = {"ours": OURS, "gunicorn": GUNICORN}
CLIENTS = 8
REQUESTS = 200
# A redirect, a page out of the database, a form, a static file.
PAGES = ("/", "/demo", "/login", "/css/style.css")

# The project's own ini stays untouched; it debugs and logs each request by default, on both sides alike.
OVERLAY = """\
[server:main]
use = egg:gunicorn#main
host = 127.0.0.1
port = {port}
workers = {workers}

[app:main]
use = config:{project}/development.ini
"""


def quickstart(cache: Path, side: str) -> tuple[Path, Path]:
    """An environment with one of the servers and TurboGears, and a project in it: (bin folder, project).

    Raises CannotInstall.
    """
    binaries = environment(cache, f"turbogears-{side}", (*SIDES[side], *TURBOGEARS))
    home = binaries.parent
    project = home / "wiki"
    done = home / "wiki-is-set-up"
    if not done.exists():
        run_in(binaries, "gearbox", "quickstart", "-s", "-a", "wiki", cwd=home)
        # The quickstart's alembic stands only in that extra, and setup-app needs it.
        run_in(binaries, "pip", "install", "--quiet", "-e", ".[development]", cwd=project)
        run_in(binaries, "gearbox", "setup-app", "-c", "development.ini", cwd=project)
        done.touch()
    return binaries, project


def wait_until_it_accepts(process: subprocess.Popen[bytes], port: int, log: Path, timeout_s: float = 30) -> None:
    """Return when the port takes connections; raise CannotInstall with the log's end when it never does."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    said = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
    raise CannotInstall(f"does not start; it said: {said[-1][:200]}")


def ask(port: int, count: int) -> None:
    """`count` pages, each on a connection of its own; an answer other than 200 or a redirect is an error."""
    for path in itertools.islice(itertools.cycle(PAGES), count):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status not in (200, 302):
            raise RuntimeError(f"{path} answered {answer.status}")


def measure(cache: Path, side: str, workers: int, scratch: Path) -> tuple[float, int]:
    """Start, ask, measure, stop: (MiB, number of processes). Raises CannotInstall."""
    binaries, project = quickstart(cache, side)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ini = scratch / f"{side}.ini"
    ini.write_text(OVERLAY.format(port=port, workers=workers, project=project))
    log = scratch / f"{side}.log"
    command = [str(binaries / "paster"), "serve", str(ini)]
    process = start(command, cwd=scratch, environ=dict(os.environ), log=log)
    try:
        wait_until_it_accepts(process, port, log)
        with ThreadPoolExecutor(CLIENTS) as pool:
            for result in [pool.submit(ask, port, REQUESTS // CLIENTS) for _ in range(CLIENTS)]:
                result.result()
        time.sleep(1)
        return pss_kib(process.pid) / 1024, len(tree(process.pid))
    finally:
        stop(process)


def print_table(results: dict[str, tuple[list[float], int]], failures: dict[str, str], cache: Path) -> None:
    """The table, and the ratio where both sides were measured."""
    print("| server | processes | memory, MiB | |\n| --- | ---: | ---: | --- |")
    for side, (sizes, processes) in results.items():
        version = version_of(cache / "venvs" / f"turbogears-{side}" / "bin", "gunicorn")
        span = f"{min(sizes):.0f} to {max(sizes):.0f}"
        print(f"| {side} {version} | {processes} | **{statistics.median(sizes):.0f}** | {span} |")
    for side, reason in failures.items():
        print(f"| {side} | - | - | {reason.replace('|', '/')} |")
    if len(results) == len(SIDES):
        ratio = statistics.median(results["ours"][0]) / statistics.median(results["gunicorn"][0])
        print(f"\nOurs takes **{ratio:.2f}** of theirs.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both sides in turn and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3, help="starts of each (default 3)")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where environments are kept (%(default)s)")
    options = parser.parse_args(arguments)
    cache = options.cache.resolve()
    results: dict[str, tuple[list[float], int]] = {}
    failures: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="memory-") as scratch:
        for _ in range(options.rounds):
            for side in [side for side in SIDES if side not in failures]:
                try:
                    size, processes = measure(cache, side, options.workers, Path(scratch))
                except (CannotInstall, RuntimeError, OSError, http.client.HTTPException) as problem:
                    failures[side] = str(problem) or repr(problem)
                    results.pop(side, None)
                else:
                    results[side] = ([*results.get(side, ([], 0))[0], size], processes)
    print_table(results, failures, cache)
    print(
        f"\nMachine: {machine_line()}. {options.workers} workers, {REQUESTS} requests, "
        f"medians of {options.rounds} starts, {date.today().isoformat()}.\n\n"
        f"Command: `{shlex.join(['python', *sys.argv])}`"
    )


if __name__ == "__main__":
    main()
