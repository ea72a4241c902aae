#!/usr/bin/env python3
"""Measures what a request costs, here and elsewhere; prints one Markdown table for `docs/performance.md`.

One worker of each server is pinned to one processor, wrk (32 connections, one thread) to another. wrk is the
limit for the fastest servers, so the figure to judge by is the CPU time per request of the server's whole
process tree; the requests per second and the 99th percentile of the latency stand beside it. Three loads:

hot    each request has the same five browser-like fields, on kept connections
cold   on kept connections too, but each request has an X-Request-ID and a Cookie never seen before
close  as hot, but each request has a connection of its own

Below the table stands what was promised of one server beside another that is measured too (`PROMISES`), in CPU time a
request on a kept connection: the median of the ratios within the rounds.

With --against COMMIT only ours is measured, or the one of ours that is named (as ours-gevent), beside itself at that
commit (a git working tree of it), the order of the two reversed in each second round; what is printed below is the
median of the ratios within the rounds.

All servers run at the same time, idle but for the one that is asked; rounds go through all of them in turn,
so that a disturbance of the machine hits everyone; medians are printed. Needs Linux and wrk; some rows need a
C compiler and libev's headers.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import re
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

from hello import BODY
from proctree import cpu_s, machine_line, on_cpus, start, stop
from servers import PROMISES, SERVERS, Server
from venvs import REPOSITORY, CannotInstall, default_cache, version_of, working_tree

HERE = Path(__file__).resolve().parent
CONNECTIONS = 32
FIELDS = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br, zstd",
)
LOADS = ("hot", "cold", "close")


@dataclass(frozen=True)
class Sample:
    """One run of wrk against one server."""

    cpu_us: float  # CPU time a request, in microseconds
    rate: float  # requests a second
    p99_ms: float
    failed: int  # socket errors, and answers other than 2xx and 3xx


@dataclass
class Candidate:
    """A server in this run: its process while it lives, its samples, and what has to be said about it."""

    server: Server
    version: str = ""
    process: subprocess.Popen[bytes] | None = None
    port: int = 0
    failure: str = ""
    kept: bool = True  # whether it keeps connections at all
    samples: dict[str, list[Sample]] = field(default_factory=lambda: {load: [] for load in LOADS})


def free_port() -> int:
    """A TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_it_answers(candidate: Candidate, log: Path, timeout_s: float = 15) -> str:
    """Ask until the answer is right; the reason why it isn't, "" when it is."""
    assert candidate.process is not None
    until = time.monotonic() + timeout_s
    problem = ""
    while time.monotonic() < until:
        if candidate.process.poll() is not None:
            said = log.read_text(errors="replace").strip().splitlines() or ["nothing"]
            return f"exit code {candidate.process.returncode}, said: {said[-1][:120]}"
        connection = http.client.HTTPConnection("127.0.0.1", candidate.port, timeout=2)
        try:
            connection.request("GET", "/", headers={"Connection": "keep-alive"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status == 200 and body == BODY:
                candidate.kept = not answer.will_close
                return ""
            problem = f"answered {answer.status} {body[:40]!r}"
        except (OSError, http.client.HTTPException) as error:
            problem = f"no answer: {error!r}"
        finally:
            connection.close()
        time.sleep(0.05)
    return problem


def launch(candidate: Candidate, cache: Path, scratch: Path, cpu: int) -> None:
    """Install and start it; what goes wrong becomes its `failure`."""
    server = candidate.server
    workdir = scratch / server.name
    workdir.mkdir()
    log = workdir / "output.log"
    candidate.port = free_port()
    try:
        binaries = server.prepare(cache)
        command = server.command(binaries, candidate.port, workdir)
    except CannotInstall as problem:
        candidate.failure = f"can't be installed: {problem}"
        return
    if server.distribution:
        candidate.version = version_of(binaries, server.distribution)
    paths = os.pathsep.join(map(str, filter(None, (server.tree, HERE))))
    environ = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", "VIRTUAL_ENV": ""}
    with on_cpus({cpu}):
        candidate.process = start(command, cwd=workdir, environ=environ, log=log)
    if problem_text := wait_until_it_answers(candidate, log):
        candidate.failure = f"can't be started: {problem_text}"
        stop(candidate.process)
        candidate.process = None


def wrk(load: str, port: int, seconds: int, token: int) -> str:
    """Run one load to its end, give wrk's output."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "--timeout", "5s"]
    for line in (*FIELDS, f"Connection: {'close' if load == 'close' else 'keep-alive'}"):
        command += ["-H", line]
    if load == "cold":
        command += ["-s", str(HERE / "cold.lua")]
    command.append(f"http://127.0.0.1:{port}/")
    if load == "cold":
        command += ["--", str(token)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    if done.returncode:
        raise RuntimeError(f"wrk: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def milliseconds(text: str) -> float:
    """A latency as wrk prints it, "950.00us", in milliseconds."""
    for unit, factor in (("us", 0.001), ("ms", 1.0), ("s", 1000.0), ("m", 60_000.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)


def measure(candidate: Candidate, load: str, seconds: int, cpu: int) -> None:
    """One sample of this load, the first one after a warm-up."""
    assert candidate.process is not None
    with on_cpus({cpu}):
        if not candidate.samples[load]:  # the warm-up
            wrk(load, candidate.port, 1, time.time_ns() % 2**31)
        before = cpu_s(candidate.process.pid)
        output = wrk(load, candidate.port, seconds, time.time_ns() % 2**31)
        used_s = cpu_s(candidate.process.pid) - before
    requests, elapsed = re.search(r"(\d+) requests in ([\d.]+\w+),", output).groups()  # type: ignore[union-attr]
    p99 = re.search(r"99%\s+([\d.]+\w+)", output)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    failed = sum(map(int, errors.groups())) if errors else 0
    failed += int(refused[1]) if refused else 0
    if not int(requests):
        raise RuntimeError(f"no request of load {load} was answered ({failed} failed)")
    candidate.samples[load].append(
        Sample(
            cpu_us=used_s * 1e6 / int(requests),
            rate=int(requests) * 1000 / milliseconds(elapsed),
            p99_ms=milliseconds(p99[1]) if p99 else float("nan"),
            failed=failed,
        )
    )


def table_row(candidate: Candidate, loads: Sequence[str]) -> str:
    """The candidate's line of the Markdown table."""
    cells = [f"{candidate.server.name} {candidate.version}".strip()]
    remarks = [candidate.server.note] if candidate.server.note else []
    if not candidate.kept:
        remarks.append("never keeps a connection")
    for load in loads:
        samples = candidate.samples[load]
        if not samples:
            cells += ["-", "-", "-"]
            continue
        cells.append(f"**{statistics.median(sample.cpu_us for sample in samples):.1f}**")
        cells.append(f"{statistics.median(sample.rate for sample in samples):,.0f}")
        cells.append(f"{statistics.median(sample.p99_ms for sample in samples):.2f}")
        if failed := sum(sample.failed for sample in samples):
            remarks.append(f"{load}: {failed} failed")
    if candidate.failure:
        remarks.append(candidate.failure.replace("|", "/"))
    return f"| {' | '.join([*cells, '; '.join(remarks)])} |"


def print_table(candidates: Sequence[Candidate], options: argparse.Namespace) -> None:
    """The table, the machine, the command."""
    heads = [f"{load} {what}" for load in options.loads for what in ("µs CPU", "req/s", "p99 ms")]
    print(f"| server | {' | '.join(heads)} | remarks |")
    print(f"| --- |{' ---: |' * len(heads)} --- |")
    for candidate in candidates:
        print(table_row(candidate, options.loads))
    version = subprocess.run(["wrk", "-v"], capture_output=True, text=True).stdout.split(" [")[0]
    print(
        f"\nMachine: {machine_line()}; {version}. Medians of {options.rounds} rounds of {options.seconds} s, "
        f"{date.today().isoformat()}.\n\nCommand: `{shlex.join(['python', *sys.argv])}`"
    )


def print_promises(candidates: Sequence[Candidate], loads: Sequence[str]) -> None:
    """What was promised of those that were measured, and whether it was kept."""
    by_name = {candidate.server.name: candidate for candidate in candidates if not candidate.failure}
    for name, other, at_most in PROMISES:
        if name in by_name and other in by_name:
            for load in [load for load in loads if load != "close"]:
                pairs = zip(by_name[name].samples[load], by_name[other].samples[load], strict=True)
                ratio = statistics.median(ours.cpu_us / theirs.cpu_us for ours, theirs in pairs)
                verdict = "kept" if ratio <= at_most else "**not kept**"
                print(f"\n{load}: {name} takes {ratio:.3f} of {other} (at most {at_most:g}): {verdict}")


def print_ratios(ours: Candidate, before: Candidate, loads: Sequence[str]) -> None:
    """How much more CPU time a request takes, round by round."""
    for load in loads:
        pairs = zip(ours.samples[load], before.samples[load], strict=True)
        changes = sorted((now.cpu_us / then.cpu_us - 1) * 100 for now, then in pairs)
        quarter = len(changes) // 4
        print(
            f"\n{load}: {statistics.median(changes):+.1f} % CPU time a request against {before.version} "
            f"(half of the rounds between {changes[quarter]:+.1f} % and {changes[-1 - quarter]:+.1f} %)"
        )


def parse_options() -> argparse.Namespace:
    """The command line."""
    names = [server.name for server in SERVERS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"which (default: all): {', '.join(names)}")
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=LOADS)
    parser.add_argument("--seconds", type=int, default=2, help="length of one run, whole seconds (default 2)")
    parser.add_argument("--rounds", type=int, default=3, help="runs per server and load (default 3)")
    parser.add_argument("--cpus", default="0,1", help="server's and wrk's processor (default 0,1)")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where environments are kept (%(default)s)")
    parser.add_argument("--against", metavar="COMMIT", help="ours alone, beside itself at this commit")
    options = parser.parse_args()
    if unknown := sorted(set(options.servers) - set(names)):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(names)}")
    if options.against and (len(options.servers) > 1 or not all(name.startswith("ours") for name in options.servers)):
        parser.error("--against measures one of ours")
    if not shutil.which("wrk"):
        parser.error("wrk is not installed (Debian: apt-get install wrk)")
    return options


def main() -> None:
    """Start all, measure in rounds, stop all, print."""
    # So that what was started is ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse_options()
    server_cpu, wrk_cpu = map(int, options.cpus.split(","))
    with contextlib.ExitStack() as stack:
        if options.against:
            (ours,) = [server for server in SERVERS if server.name == (options.servers or ["ours"])[0]]
            tree = stack.enter_context(working_tree(options.against))
            candidates = [
                Candidate(replace(ours, tree=REPOSITORY)),
                Candidate(replace(ours, name="before", venv=ours.venv or ours.name, tree=tree)),
            ]
        else:
            chosen = options.servers or [server.name for server in SERVERS]
            candidates = [Candidate(server) for server in SERVERS if server.name in chosen]
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="speed-")))
        try:
            for candidate in candidates:
                launch(candidate, options.cache.resolve(), scratch, server_cpu)
            for number in range(options.rounds):
                print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
                for load in options.loads:
                    for candidate in candidates if number % 2 == 0 else reversed(candidates):
                        if candidate.process is None or candidate.failure:
                            continue
                        try:
                            measure(candidate, load, options.seconds, wrk_cpu)
                        except (RuntimeError, subprocess.TimeoutExpired) as problem:
                            candidate.failure = str(problem)
        finally:
            for candidate in candidates:
                if candidate.process is not None:
                    stop(candidate.process)
    if options.against:
        candidates[1].version = options.against
    print_table(candidates, options)
    print_promises(candidates, options.loads)
    if options.against and not any(candidate.failure for candidate in candidates):
        print_ratios(*candidates, options.loads)


if __name__ == "__main__":
    main()
