"""What happens when: one table, event by phase, and the pure function that looks into it.

A rule is given what the arbiter knows, the event, and the time; it gives what the arbiter knows then, and what is to
be done. `docs/signals.md` is this table printed; a test compares them.
"""
# ruff: noqa: E501 - the table is read across

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from .actions import Action
from .events import (
    Event,
    FilesImported,
    ForkFailed,
    GenerationEquipped,
    PredecessorGone,
    ProcessExited,
    Signal,
    SignalArrived,
    SuccessorFailed,
    SuccessorReady,
    SuccessorStarted,
    TemplateFailed,
    TemplateLoaded,
    TemplateStarted,
    TimePassed,
    WorkerForked,
    WorkerReady,
    WorkerTired,
)  # fmt: skip
from .rules import boot, files, overdue, reload, replace, resize, stop, upgrade
from .rules.balance import balance
from .state import Arbiter, Phase

Rule: TypeAlias = Callable[[Arbiter, Any, float], tuple[Arbiter, tuple[Action, ...]]]


def nothing(state: Arbiter, event: Event, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Nothing."""
    return state, ()


PHASES = (Phase.STARTING, Phase.SERVING, Phase.STOPPING, Phase.QUITTING)

# fmt: off
TABLE: dict[Signal | type, tuple[Rule, Rule, Rule, Rule]] = {
    #                    STARTING                    SERVING                   STOPPING                  QUITTING
    Signal.HUP:         (reload.reload,              reload.reload,            nothing,                  nothing),
    Signal.TERM:        (stop.gracefully,            stop.gracefully,          nothing,                  nothing),
    Signal.QUIT:        (stop.at_once,               stop.at_once,             stop.at_once,             nothing),
    Signal.TYPED_INT:   (stop.at_once,               stop.at_once,             stop.at_once,             nothing),
    Signal.INT:         (stop.gracefully,            stop.gracefully,          nothing,                  nothing),
    Signal.TTIN:        (resize.one_more,            resize.one_more,          nothing,                  nothing),
    Signal.TTOU:        (resize.one_fewer,           resize.one_fewer,         nothing,                  nothing),
    Signal.USR1:        (files.reopen_logs,          files.reopen_logs,        files.reopen_logs,        nothing),
    Signal.USR2:        (upgrade.not_yet,            upgrade.upgrade,          nothing,                  nothing),
    Signal.WINCH:       (upgrade.not_yet,            resize.rest,              nothing,                  nothing),
    Signal.RESIZED:     (nothing,                    nothing,                  nothing,                  nothing),
    TemplateStarted:    (boot.template_started,      boot.template_started,    boot.template_started,    boot.template_started),
    TemplateLoaded:     (boot.template_loaded,       boot.template_loaded,     boot.loaded_late,         nothing),
    TemplateFailed:     (boot.template_failed,       boot.template_failed,     stop.without_template,    stop.without_template),
    GenerationEquipped: (boot.generation_equipped,   boot.generation_equipped, stop.equipped_late,       nothing),
    WorkerForked:       (boot.worker_forked,         boot.worker_forked,       stop.born_too_late,       stop.born_too_late),
    ForkFailed:         (boot.fork_failed,           boot.fork_failed,         stop.count_out,           stop.count_out),
    WorkerReady:        (boot.worker_ready,          boot.worker_ready,        stop.born_too_late,       stop.born_too_late),
    WorkerTired:        (replace.tired,              replace.tired,            nothing,                  nothing),
    ProcessExited:      (replace.replace_dead,       replace.replace_dead,     stop.count_out,           stop.count_out),
    FilesImported:      (files.watch,                files.watch,              nothing,                  nothing),
    SuccessorStarted:   (upgrade.started,            upgrade.started,          upgrade.started,          upgrade.started),
    SuccessorReady:     (upgrade.ready,              upgrade.ready,            nothing,                  nothing),
    SuccessorFailed:    (upgrade.failed,             upgrade.failed,           stop.without_successor,   stop.without_successor),
    PredecessorGone:    (upgrade.in_charge,          upgrade.in_charge,        stop.without_predecessor, stop.without_predecessor),
    TimePassed:         (overdue.end_overdue,        overdue.end_overdue,      stop.end_overdue,         stop.end_overdue),
}
# fmt: on


def decide(state: Arbiter, event: Event, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """What the arbiter knows after this event, and what it does: the rule first, then what follows from it. Pure."""
    row = TABLE[event.signal if isinstance(event, SignalArrived) else type(event)]
    state, actions = row[PHASES.index(state.phase)](state, event, now)
    state, following = balance(state.tidied(), now)
    return state.tidied(), (*actions, *following)
