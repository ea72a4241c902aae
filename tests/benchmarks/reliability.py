#!/usr/bin/env python3
"""Counts what reloads, upgrades, stops and kills cost the clients, here and elsewhere; prints one Markdown table for
`docs/reliability.md`, and ends with exit code 1 when a promise of ours was not kept.

Two workers of each server on one processor, the clients on another: 8 kept connections with a request every 10 ms
each, 4 clients with a connection a request every 10 ms each, and where it says so 100 idle connections
(`keepalive = 75`) that are used at the end. The servers take turns, scenario by scenario, each started anew. Two
scenarios are about ours alone and have tables of their own: `arbiter` and `reload` (`alone.py`). Needs Linux.
"""

from __future__ import annotations

import argparse
import resource
import shlex
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from alone import ALONE, Alone
from contenders import CONTENDERS, Contender, Instance
from outcome import Result
from proctree import machine_line, on_cpus
from scenarios import SCENARIOS, Scenario
from venvs import CannotInstall, default_cache, environment, version_of

HEADS = ("server", "sent", "answered", "failed", "refused", "closed", "p50 ms", "p99 ms", "max ms", "beside that")


def run(contender: Contender, scenario: Scenario, binaries: Path, options: argparse.Namespace) -> Result:
    """One scenario on a server of its own."""
    server_cpu, clients_cpu = map(int, options.cpus.split(","))
    with tempfile.TemporaryDirectory(prefix="reliability-") as folder, on_cpus({clients_cpu}):
        instance = Instance(contender, binaries, Path(folder).resolve(), server_cpu, scenario.settings)
        try:
            result = scenario.run(instance, options.seconds)
        finally:
            instance.stop()
            if options.logs:
                print(instance.log.read_text(), file=sys.stderr)
    return result


def row(contender: Contender, version: str, result: Result) -> str:
    """The line of the table."""
    loads = result.report.loads.values()
    spread = result.report.steady
    failures: dict[str, int] = {}
    for counts in loads:
        for reason, number in counts.failed.items():
            failures[reason] = failures.get(reason, 0) + number
    cells = [
        f"{contender.name} {version}",
        f"{sum(counts.sent for counts in loads):,}",
        f"{sum(counts.answered for counts in loads):,}",
        f"**{sum(failures.values()):,}**",
        f"{sum(counts.refused for counts in loads):,}",
        f"**{sum(counts.closed for counts in loads):,}**",
        *(f"{seconds * 1000:.1f}" for seconds in (spread.p50_s, spread.p99_s, spread.max_s)),
        "; ".join([*result.remarks, *(f"{number:,} times {reason}" for reason, number in sorted(failures.items()))]),
    ]
    return f"| {' | '.join(cells)} |"


def parse_options() -> argparse.Namespace:
    """The command line."""
    names = [contender.name.split()[-1] for contender in CONTENDERS]
    scenarios = [*(scenario.name for scenario in SCENARIOS), *(table.name for table in ALONE)]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"which (default: all): {', '.join(names)}")
    parser.add_argument("--scenarios", nargs="+", metavar="NAME", default=scenarios, help=", ".join(scenarios))
    parser.add_argument("--seconds", type=int, default=30, help="of reloads; kills and recycling take two thirds")
    parser.add_argument("--cpus", default="0,1", help="the servers' and the clients' processor (default 0,1)")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="where environments are kept (%(default)s)")
    parser.add_argument("--logs", action="store_true", help="print what each server said, on stderr")
    options = parser.parse_args()
    if unknown := sorted({*options.servers} - {*names} | {*options.scenarios} - {*scenarios}):
        parser.error(f"unknown: {', '.join(unknown)}")
    options.servers = options.servers or names
    return options


def main() -> int:
    """All scenarios, the servers taking turns in each; the table; how many promises were broken."""
    # So that what was started is ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = parse_options()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    chosen = [contender for contender in CONTENDERS if contender.name.split()[-1] in options.servers]
    try:
        binaries = {contender.name: contender.prepare(options.cache.resolve()) for contender in chosen}
        tables = [table for table in ALONE if table.name in options.scenarios and any(one.is_ours for one in chosen)]
        programs = [environment(options.cache.resolve(), table.venv, table.requirements) for table in tables]
    except CannotInstall as problem:
        print(f"can't be installed: {problem}", file=sys.stderr)
        return 2
    broken: list[str] = []
    for scenario in SCENARIOS:
        if scenario.name in options.scenarios:
            broken += run_all(scenario, chosen, binaries, options)
    for table, folder in zip(tables, programs, strict=True):
        broken += run_alone(table, folder, options)
    print(f"\nMachine: {machine_line()}. {date.today().isoformat()}.\n\nCommand: `{shlex.join(['python', *sys.argv])}`")
    for line in broken:
        print(f"not kept: {line}", file=sys.stderr)
    return int(bool(broken))


def run_all(
    scenario: Scenario, chosen: Sequence[Contender], binaries: dict[str, Path], options: argparse.Namespace
) -> list[str]:
    """The rows of a scenario; gives the promises of ours that were not kept."""
    broken: list[str] = []
    print(f"\n**{scenario.title}**\n\n| {' | '.join(HEADS)} |\n| --- |{' ---: |' * 8} --- |", flush=True)
    for contender in chosen:
        if scenario.ours_only and not contender.is_ours:
            continue
        version = version_of(binaries[contender.name], "gunicorn")
        try:
            result = run(contender, scenario, binaries[contender.name], options)
        except (AssertionError, OSError, RuntimeError) as problem:
            traceback.print_exc()
            print(f"| {contender.name} {version} |{' - |' * 8} could not be measured: {problem!r:.200} |", flush=True)
            broken += [f"{scenario.title}: {problem!r:.200}"] if contender.is_ours else []
            continue
        print(row(contender, version, result), flush=True)
        if contender.is_ours:
            broken += [f"{scenario.title}: {what}" for what in result.broken]
    return broken


def run_alone(table: Alone, binaries: Path, options: argparse.Namespace) -> list[str]:
    """The rows of a table about ours alone; gives the promises that were not kept."""
    broken: list[str] = []
    server_cpu, clients_cpu = map(int, options.cpus.split(","))
    rule = f"| --- |{' ---: |' * (len(table.heads) - 1)}"
    print(f"\n**{table.title}**\n\n| {' | '.join(table.heads)} |\n{rule}", flush=True)
    try:
        with on_cpus({clients_cpu}):
            for row in table.rows(binaries, server_cpu):
                print(f"| {' | '.join(row.cells)} |", flush=True)
                broken += [f"{table.title}: {what}" for what in row.broken]
    except (AssertionError, OSError, RuntimeError) as problem:
        traceback.print_exc()
        broken.append(f"{table.title}: could not be measured: {problem!r:.200}")
    return broken


if __name__ == "__main__":
    raise SystemExit(main())
