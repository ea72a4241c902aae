"""One worker more, one fewer."""

from __future__ import annotations

from dataclasses import replace

from ..actions import Action, AnnounceWorkers, Say, SignalWorker
from ..events import SignalArrived
from ..state import Arbiter, SlotPhase
from .boot import announce
from .replace import fill


def one_more(state: Arbiter, event: SignalArrived, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """One worker more."""
    if state.wanted >= state.policy.most_workers:
        return state, (Say("warning", f"Got TTIN: {state.wanted} workers are the most that there can be"),)
    before = state.wanted
    state, actions = fill(replace(state, wanted=before + 1), now)
    return state, (
        Say("info", f"Got TTIN: {state.wanted} workers now"),
        AnnounceWorkers(state.wanted, before),
        *actions,
    )


def one_fewer(state: Arbiter, event: SignalArrived, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """One worker fewer: the oldest retires; the last one stays."""
    if state.wanted <= 1:
        return state, (Say("warning", "Got TTOU: there is one worker only, and it stays"),)
    before = state.wanted
    state = replace(state, wanted=before - 1)
    actions: list[Action] = [
        Say("info", f"Got TTOU: {state.wanted} workers now"),
        AnnounceWorkers(state.wanted, before),
    ]
    candidates = sorted(state.in_phase(SlotPhase.STARTING, SlotPhase.READY), key=lambda slot: slot.age)
    if candidates and len(state.filled()) > state.wanted:
        oldest = candidates[0]
        state = state.with_slot(oldest.entering(SlotPhase.RETIRING, now))
        actions.append(SignalWorker(oldest.pid, "TERM"))
    state, announced = announce(state)
    return state, (*actions, *announced)
