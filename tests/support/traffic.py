"""A steady load on a server while something is done to it, counted: the program that shows that nothing is lost.

    with Traffic(server.address, STEADY) as traffic:
        server.signal(signal.SIGHUP)
        ...
    counts = traffic.finish()["kept"]
    assert (counts.failed, counts.closed) == ({}, 0)

The clients live in a process of their own (`traffic_loop.py`; what counts as what: `traffic_client.py`). All times are
those of the monotonic clock, which all processes share.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

TESTS = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Load:
    """Clients of one kind; `every_s` is the rhythm of each. None: connected and used once, then idle, used again at
    the end.
    """

    name: str
    clients: int
    every_s: float | None = 0.010
    kept: bool = True  # else a connection a request
    target: str = "/"
    sources: int = 1  # loopback addresses to connect from
    timeout_s: float = 30.0


KEPT = Load("kept", 8)
NEW = Load("new", 4, kept=False)
STEADY = (KEPT, NEW)  # 1,200 requests a second


def idle(clients: int, sources: int = 1) -> Load:
    """Connections that are open and not used until the end."""
    return Load("idle", clients, every_s=None, sources=sources)


@dataclass(frozen=True)
class Event:
    """A request that failed, or a connection that the server ended."""

    at: float
    what: str  # "failed: …", "refused: …" or "closed: …"
    body: str  # the last one that came on this connection, "" if none did
    began: float  # of the request under way, or the last one
    connected_at: float
    answered: int  # requests on this connection
    port: int


@dataclass(frozen=True)
class Counts:
    """What happened to one load so far. sent = answered + refused + failed, but for what is under way."""

    sent: int
    answered: int
    refused: int  # the kernel took no connection
    closed: int  # kept connections that the server ended
    failed: dict[str, int]  # reason: how often
    p50_s: float
    p99_s: float
    max_s: float
    slowest_at: float
    bodies: dict[str, tuple[int, float, float]]  # body: how often, when first, when last
    events: list[Event]

    @property
    def losses(self) -> tuple[dict[str, int], int, int]:
        """What a promise is about: failed, refused, closed. Nothing lost is `NOTHING`."""
        return self.failed, self.refused, self.closed


NOTHING: tuple[dict[str, int], int, int] = ({}, 0, 0)


@dataclass(frozen=True)
class Spread:
    """Of durations in seconds."""

    p50_s: float
    p99_s: float
    max_s: float


@dataclass(frozen=True)
class Report:
    """All loads."""

    loads: dict[str, Counts]
    steady: Spread  # latencies of all that have a rhythm
    late: Spread  # how late the clients themselves were: a busy machine, not the server

    def __getitem__(self, name: str) -> Counts:
        return self.loads[name]

    @property
    def answered(self) -> int:
        return sum(counts.answered for counts in self.loads.values())

    @property
    def losses(self) -> dict[str, tuple[dict[str, int], int, int]]:
        """Of the loads that lost something; empty is what is wanted."""
        return {name: counts.losses for name, counts in self.loads.items() if counts.losses != NOTHING}

    @property
    def versions(self) -> list[str]:
        """The first words of the bodies that came, in the order in which they came."""
        found = {body.partition(" ")[0] for counts in self.loads.values() for body in counts.bodies}
        return sorted(found, key=lambda version: self.first_seen(f"{version} ") or 0.0)

    def first_seen(self, start: str) -> float | None:
        """When a body that starts so came first."""
        return min((first for _, (_, first, _) in self._bodies(start)), default=None)

    def last_seen(self, start: str) -> float | None:
        """When a body that starts so came last."""
        return max((last for _, (_, _, last) in self._bodies(start)), default=None)

    def _bodies(self, start: str) -> list[tuple[str, tuple[int, float, float]]]:
        return [
            (body, seen)
            for counts in self.loads.values()
            for body, seen in counts.bodies.items()
            if body.startswith(start)
        ]


class Traffic:
    """Runs the clients: all are connected when it was made. `finish` ends them and says what happened."""

    def __init__(self, address: tuple[str, int] | str, loads: Iterable[Load], before: Iterable[str] = ()) -> None:
        """`before`: put before the command line, `("taskset", "-c", "1")`."""
        given = json.dumps({"address": address, "loads": [asdict(load) for load in loads]})
        self.popen = subprocess.Popen(
            [*before, sys.executable, "-m", "support.traffic_loop", given],
            env={**os.environ, "PYTHONPATH": str(TESTS)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._read()

    def __enter__(self) -> Traffic:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.popen.poll() is None and error is not None:
            self.popen.kill()
        elif self.popen.poll() is None:
            self.finish()
        self.popen.wait()

    def counts(self) -> Report:
        """What happened so far."""
        self._say(b"c")
        return self._read()

    def some_more(self, requests: int, timeout_s: float = 30.0) -> Report:
        """Wait until so many more are answered; what happened until then."""
        report = self.counts()
        wanted, deadline = report.answered + requests, time.monotonic() + timeout_s
        while report.answered < wanted:
            if time.monotonic() > deadline:
                raise AssertionError(f"{wanted - report.answered} of {requests} answers missing after {timeout_s:g} s")
            time.sleep(0.01)
            report = self.counts()
        return report

    def finish(self) -> Report:
        """What is under way is waited for, idle connections are used; then all ends."""
        self._say(b"f")
        report = self._read()
        self.popen.wait()
        return report

    def _say(self, command: bytes) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(command)
        self.popen.stdin.flush()

    def _read(self) -> Report:
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        if not line:
            raise AssertionError(f"the clients ended with exit code {self.popen.wait()}")
        given = json.loads(line)
        return Report(
            {name: _counts(values) for name, values in given["loads"].items()},
            Spread(**given["steady"]),
            Spread(**given["late"]),
        )


def _counts(values: dict[str, Any]) -> Counts:
    bodies = {body: (int(seen[0]), seen[1], seen[2]) for body, seen in values.pop("bodies").items()}
    events = [Event(**event) for event in values.pop("events")]
    return Counts(bodies=bodies, events=events, **values)
