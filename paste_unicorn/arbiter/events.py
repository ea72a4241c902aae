"""What can happen, a line each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias


class Signal(Enum):
    """A signal that the arbiter was sent; INT means different things by where it came from."""

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


@dataclass(frozen=True)
class SignalArrived:
    signal: Signal


@dataclass(frozen=True)
class TemplateStarted:
    generation: int
    pid: int


@dataclass(frozen=True)
class TemplateLoaded:
    generation: int


@dataclass(frozen=True)
class TemplateFailed:
    """It could not load the application, or could not be started; where it exists it will exit by itself."""

    generation: int
    reason: str


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
class ProcessExited:
    """A child of ours or of a template was reaped; `how` in words, `by_itself` if no signal from outside did
    it.
    """

    pid: int
    how: str
    clean: bool
    by_itself: bool


@dataclass(frozen=True)
class FilesImported:
    paths: tuple[str, ...]


@dataclass(frozen=True)
class TimePassed:
    """A deadline may be over; `alive_at` is when each ready slot's worker last made progress."""

    alive_at: Mapping[int, float]


Event: TypeAlias = (
    SignalArrived | TemplateStarted | TemplateLoaded | TemplateFailed | WorkerForked | ForkFailed | WorkerReady
    | ProcessExited | FilesImported | TimePassed
)  # fmt: skip
