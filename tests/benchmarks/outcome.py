"""What came of a scenario of `reliability.py`: what the traffic counted, what else is to be said, what was promised."""

from __future__ import annotations

from dataclasses import dataclass, field

from support.client import Client
from support.traffic import NOTHING, Report

IDLE = 100


@dataclass
class Result:
    """One row."""

    report: Report
    remarks: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def promise(self, kept: bool, what: str) -> None:
        """Something that must be so."""
        if not kept:
            self.broken.append(what)

    def promise_nothing_lost(self) -> None:
        lost = {name: counts.losses for name, counts in self.report.loads.items() if counts.losses != NOTHING}
        self.promise(not lost, f"lost: {lost}")

    def remark_idle(self, count: int) -> None:
        """How many of the idle connections worked at the end, after the one request with which each began."""
        working = self.report["idle"].answered - count
        self.remarks.append(f"idle connections that work at the end: {working:,} of {count:,}")
        self.promise(working == count, f"{working} of {count} idle connections work at the end")


def in_ms(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds * 1000:.0f} ms"


def is_answered(client: Client) -> bool:
    """Whether its request gets an answer."""
    try:
        return client.read_answer().status == 200
    except (AssertionError, OSError):
        return False
