"""What can happen, a line each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from .state import Plan


class Signal(Enum):
    """A signal that the arbiter was sent; INT and WINCH mean different things by where they came from."""

    HUP = "HUP"
    TERM = "TERM"
    QUIT = "QUIT"
    TYPED_INT = "INT from a terminal"
    INT = "INT otherwise"
    TTIN = "TTIN"
    TTOU = "TTOU"
    USR1 = "USR1"
    USR2 = "USR2"
    WINCH = "WINCH"
    RESIZED = "WINCH from a terminal"


@dataclass(frozen=True)
class SignalArrived:
    signal: Signal


@dataclass(frozen=True)
class TemplateStarted:
    generation: int
    pid: int


@dataclass(frozen=True)
class TemplateLoaded:
    """The application is there; `plan` is what the settings say that it read."""

    generation: int
    plan: Plan


@dataclass(frozen=True)
class TemplateFailed:
    """It could not load the application, could not be started, or its addresses can't be listened on; where it
    exists it will exit by itself.
    """

    generation: int
    reason: str


@dataclass(frozen=True)
class GenerationEquipped:
    """The listeners of this generation are open, and its template has them."""

    generation: int


@dataclass(frozen=True)
class WorkerForked:
    slot: int
    generation: int
    pid: int


@dataclass(frozen=True)
class ForkFailed:
    slot: int
    reason: str


@dataclass(frozen=True)
class WorkerReady:
    slot: int
    generation: int
    pid: int


@dataclass(frozen=True)
class WorkerTired:
    """It has served long enough, says the worker: it should be replaced."""

    slot: int
    pid: int
    why: str


@dataclass(frozen=True)
class ProcessExited:
    """A child of ours or of a template was reaped; `how` in words, `by_itself` if no signal from outside did
    it, `has_worked` if it was a worker that had been given requests, `killed_by` the signal's name, `reason` the
    traceback of a worker that could not begin.
    """

    pid: int
    how: str
    clean: bool
    by_itself: bool
    has_worked: bool = False
    killed_by: str = ""
    reason: str = ""


@dataclass(frozen=True)
class SuccessorStarted:
    pid: int


@dataclass(frozen=True)
class SuccessorReady:
    """All its workers are ready: both arbiters serve."""

    pid: int


@dataclass(frozen=True)
class SuccessorFailed:
    """It could not be started."""

    reason: str


@dataclass(frozen=True)
class FilesImported:
    paths: tuple[str, ...]


@dataclass(frozen=True)
class PredecessorGone:
    """The arbiter that started this one has ended: this one is in charge."""


@dataclass(frozen=True)
class TimePassed:
    """A deadline may be over; `alive_at` is when each ready slot's worker last made progress, `memory` how many bytes
    it has, where there is a limit.
    """

    alive_at: Mapping[int, float]
    memory: Mapping[int, int] = field(default_factory=dict)


Event: TypeAlias = (
    SignalArrived | TemplateStarted | TemplateLoaded | TemplateFailed | GenerationEquipped | WorkerForked | ForkFailed
    | WorkerReady | WorkerTired | ProcessExited | FilesImported | SuccessorStarted | SuccessorReady | SuccessorFailed
    | PredecessorGone | TimePassed
)  # fmt: skip
