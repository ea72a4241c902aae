"""What can be done, a line each; `perform.py` has a short function for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias


@dataclass(frozen=True)
class StartTemplate:
    """Generation 1 is forked from the arbiter, in which the runner loaded the application; later ones are
    exec'ed.
    """

    generation: int


@dataclass(frozen=True)
class EquipGeneration:
    """Open the listeners that its settings name and that are not open yet, and give them all to its template."""

    generation: int


@dataclass(frozen=True)
class AdoptGeneration:
    """It serves from now on: its settings become the arbiter's, listeners that it doesn't have take no more
    connections.
    """

    generation: int


@dataclass(frozen=True)
class ForgetGeneration:
    """It failed: close what was opened for it alone."""

    generation: int


@dataclass(frozen=True)
class LetGo:
    """Close what loading the application opened in this process: a lock is held by whoever has its file open."""


@dataclass(frozen=True)
class EndTemplate:
    generation: int


@dataclass(frozen=True)
class KillTemplate:
    """ABRT where it should say first what it hangs in (by the signal that `ops.backtraces` names)."""

    generation: int
    pid: int
    signal: Literal["KILL", "ABRT"] = "KILL"


@dataclass(frozen=True)
class ForkWorker:
    generation: int
    slot: int
    age: int


@dataclass(frozen=True)
class SignalWorker:
    """With its `slot`, a TERM says in the scoreboard too that the worker goes while the server goes on. ABRT: see
    `KillTemplate`.
    """

    pid: int
    signal: Literal["TERM", "QUIT", "ABRT", "KILL", "USR1"]
    slot: int = field(default=0, compare=False)


@dataclass(frozen=True)
class ReportRunning:
    """Log what the slot's worker is doing, before it is killed."""

    slot: int
    pid: int


@dataclass(frozen=True)
class ClearSlot:
    """The worker has been reaped. If its end was not what it was told, `report` what it was doing; `killed_by` is the
    name of the signal that ended it then. If it was `told_to_go`, what it did since belongs into the next summary.
    """

    slot: int
    pid: int
    age: int
    report: bool = False
    killed_by: str = ""
    told_to_go: bool = True


@dataclass(frozen=True)
class StopListening:
    """No new connections; those that the kernel has accepted stay in the queue, for workers to drain."""


@dataclass(frozen=True)
class ShareListening:
    """Another arbiter goes on with our sockets: no new connections where it doesn't listen."""


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
class AnnounceReload:
    """A generation is about to be loaded because somebody asked for it."""


@dataclass(frozen=True)
class StartSuccessor:
    """A new arbiter beside this one, on the same sockets."""


@dataclass(frozen=True)
class KillSuccessor:
    pid: int


@dataclass(frozen=True)
class TakeOver:
    """This arbiter is in charge: pid files name it."""


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
class Conclude:
    """The one summary line of a reload, when nothing older than this generation is left."""

    generation: int
    why: str
    took_s: float
    workers: int


@dataclass(frozen=True)
class Leave:
    """The one summary line, then the end of the arbiter."""

    reason: str
    took_s: float
    killed: int
    succeeded: bool = False  # somebody goes on with our sockets
    code: int = 0


Action: TypeAlias = (
    StartTemplate | EquipGeneration | AdoptGeneration | ForgetGeneration | LetGo | EndTemplate | KillTemplate
    | ForkWorker | SignalWorker | ReportRunning | ClearSlot | StopListening | ShareListening | AnnounceServing
    | AnnounceWorkers | AnnounceReload | StartSuccessor | KillSuccessor | TakeOver | ReopenLogs | WatchFiles | Say
    | Conclude | Leave
)  # fmt: skip
