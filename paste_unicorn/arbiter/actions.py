"""What can be done, a line each; `perform.py` has a short function for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True)
class StartTemplate:
    """Generation 1 is forked from the arbiter, in which the runner loaded the application; later ones are
    exec'ed.
    """

    generation: int


@dataclass(frozen=True)
class EndTemplate:
    generation: int


@dataclass(frozen=True)
class KillTemplate:
    generation: int
    pid: int


@dataclass(frozen=True)
class ForkWorker:
    generation: int
    slot: int
    age: int


@dataclass(frozen=True)
class SignalWorker:
    pid: int
    signal: Literal["TERM", "QUIT", "ABRT", "KILL", "USR1"]


@dataclass(frozen=True)
class ReportRunning:
    """Log what the slot's worker is doing, before it is killed."""

    slot: int
    pid: int


@dataclass(frozen=True)
class ClearSlot:
    """The worker has been reaped and reported."""

    slot: int
    pid: int
    age: int


@dataclass(frozen=True)
class StopListening:
    """No new connections; those that the kernel has accepted stay in the queue, for workers to drain."""


@dataclass(frozen=True)
class AnnounceServing:
    """All workers are ready for the first time."""

    workers: int


@dataclass(frozen=True)
class AnnounceWorkers:
    """Another number of workers is wanted; `before` is None at the start."""

    workers: int
    before: int | None


@dataclass(frozen=True)
class ReopenLogs:
    """In the arbiter and in all templates; workers get a signal."""


@dataclass(frozen=True)
class WatchFiles:
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Say:
    level: Literal["debug", "info", "warning", "error"]
    sentence: str


@dataclass(frozen=True)
class Leave:
    """The one summary line, then the end of the arbiter."""

    reason: str
    took_s: float
    killed: int


Action: TypeAlias = (
    StartTemplate | EndTemplate | KillTemplate | ForkWorker | SignalWorker | ReportRunning | ClearSlot | StopListening
    | AnnounceServing | AnnounceWorkers | ReopenLogs | WatchFiles | Say | Leave
)  # fmt: skip
