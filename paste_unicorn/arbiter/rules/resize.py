"""One worker more, one fewer, none."""

from __future__ import annotations

from dataclasses import replace

from ..actions import Action, AnnounceWorkers, Say
from ..events import SignalArrived
from ..state import Arbiter, Standing


def one_more(state: Arbiter, event: SignalArrived, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """One worker more; after WINCH, one."""
    if _rests(state):
        return _change(state, "TTIN", 1)
    if state.wanted >= state.policy.most_workers:
        return state, (Say("warning", f"Got TTIN: {state.wanted} workers are the most that there can be"),)
    return _change(state, "TTIN", state.wanted + 1)


def one_fewer(state: Arbiter, event: SignalArrived, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """One worker fewer: one that is tired retires, or the oldest; the last one stays."""
    if _rests(state):
        return state, (Say("warning", "Got TTOU: all workers have retired already (WINCH)"),)
    if state.wanted <= 1:
        return state, (Say("warning", "Got TTOU: there is one worker only, and it stays"),)
    resting = tuple(one for one in state.generations if one.wanted == 0)
    state, said = _change(state, "TTOU", state.wanted - 1)
    for one in resting:  # until the next generation comes; one worker fewer wakes nobody
        state = state.with_generation(one)
    return state, said


def _change(state: Arbiter, signal: str, wanted: int) -> tuple[Arbiter, tuple[Action, ...]]:
    before = state.wanted
    state = replace(_wanting(state, wanted), wanted=wanted)
    return state, (
        Say("info", f"Got {signal}: {wanted} {'worker' if wanted == 1 else 'workers'} now"),
        AnnounceWorkers(wanted, before),
    )


def rest(state: Arbiter, event: SignalArrived, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """All workers retire, the arbiter stays; HUP or TTIN brings workers back."""
    return _wanting(state, 0), (Say("info", "Got WINCH: all workers retire; HUP brings them back"),)


def _rests(state: Arbiter) -> bool:
    return all(one.wanted == 0 for one in state.generations if one.standing is not Standing.RETIRING)


def _wanting(state: Arbiter, wanted: int) -> Arbiter:
    state = replace(state, asked_for=wanted)
    for generation in state.generations:
        if generation.standing is not Standing.RETIRING:
            state = state.with_generation(replace(generation, wanted=wanted))
    return state
