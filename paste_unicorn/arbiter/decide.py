"""What happens when: one table, event by phase, and the pure function that looks into it.

A rule is given what the arbiter knows, the event, and the time; it gives what the arbiter knows then, and what is to be
done. `docs/signals.md` is this table printed; a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from .actions import Action
from .events import (
    Event, FilesImported, ForkFailed, ProcessExited, Signal, SignalArrived, TemplateFailed, TemplateLoaded,
    TemplateStarted, TimePassed, WorkerForked, WorkerReady,
)  # fmt: skip
from .rules.boot import (
    announce_when_complete, fork_failed, template_failed, template_loaded, template_started, worker_forked, worker_ready,
)  # fmt: skip
from .rules.logs import reopen_logs, watch_files
from .rules.overdue import end_what_is_overdue
from .rules.replace import replace_the_dead
from .rules.resize import one_fewer, one_more
from .rules.stop import (
    count_the_dead, end_if_overdue_while_stopping, forked_too_late, quit_at_once, stop_gracefully,
)  # fmt: skip
from .rules.later import not_there_yet
from .state import Arbiter, Phase

Rule: TypeAlias = Callable[[Arbiter, Any, float], tuple[Arbiter, tuple[Action, ...]]]


def nothing(state: Arbiter, event: Event, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Nothing."""
    return state, ()


PHASES = (Phase.STARTING, Phase.SERVING, Phase.STOPPING, Phase.QUITTING)

# fmt: off
TABLE: dict[Signal | type, tuple[Rule, Rule, Rule, Rule]] = {
    #                 STARTING                SERVING              STOPPING                       QUITTING
    Signal.HUP:       (not_there_yet,         not_there_yet,       nothing,                       nothing),
    Signal.TERM:      (stop_gracefully,       stop_gracefully,     nothing,                       nothing),
    Signal.QUIT:      (quit_at_once,          quit_at_once,        quit_at_once,                  nothing),
    Signal.TYPED_INT: (quit_at_once,          quit_at_once,        quit_at_once,                  nothing),
    Signal.INT:       (stop_gracefully,       stop_gracefully,     nothing,                       nothing),
    Signal.TTIN:      (one_more,              one_more,            nothing,                       nothing),
    Signal.TTOU:      (one_fewer,             one_fewer,           nothing,                       nothing),
    Signal.USR1:      (reopen_logs,           reopen_logs,         reopen_logs,                   nothing),
    Signal.USR2:      (not_there_yet,         not_there_yet,       nothing,                       nothing),
    Signal.WINCH:     (not_there_yet,         not_there_yet,       nothing,                       nothing),
    TemplateStarted:  (template_started,      template_started,    template_started,              template_started),
    TemplateLoaded:   (template_loaded,       template_loaded,     nothing,                       nothing),
    TemplateFailed:   (template_failed,       template_failed,     nothing,                       nothing),
    WorkerForked:     (worker_forked,         worker_forked,       forked_too_late,               forked_too_late),
    ForkFailed:       (fork_failed,           fork_failed,         count_the_dead,                count_the_dead),
    WorkerReady:      (announce_when_complete, worker_ready,       forked_too_late,               forked_too_late),
    ProcessExited:    (replace_the_dead,      replace_the_dead,    count_the_dead,                count_the_dead),
    FilesImported:    (watch_files,           watch_files,         nothing,                       nothing),
    TimePassed:       (end_what_is_overdue,   end_what_is_overdue, end_if_overdue_while_stopping, end_if_overdue_while_stopping),
}
# fmt: on


def decide(state: Arbiter, event: Event, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """What the arbiter knows after this event, and what it does. Pure."""
    row = TABLE[event.signal if isinstance(event, SignalArrived) else type(event)]
    state, actions = row[PHASES.index(state.phase)](state, event, now)
    return state.tidied(), actions
