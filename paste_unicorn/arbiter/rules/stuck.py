"""Workers that make no progress, or take too long to come or to go: their tracebacks first, then the end."""

from __future__ import annotations

from dataclasses import replace

from ..actions import Action, ReportRunning, Say, SignalWorker
from ..events import TimePassed
from ..state import Arbiter, Slot, SlotPhase, Suspicion

ABORT_S = 1.0  # between the tracebacks and the KILL
TELL_S = 0.4  # how long one may take to write them before the next one is asked: those of two would come mixed
RECHECK_S = 0.5  # a worker that seems overdue gets another look: on a busy machine its heartbeat may be on its way


def end_overdue_workers(state: Arbiter, event: TimePassed, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    actions: list[Action] = []
    for slot in state.slots:
        changed, done = _look_at(state, slot, event.alive_at.get(slot.number), now)
        state = state.with_slot(changed) if changed is not slot else state
        actions += done
    return state, tuple(actions)


def _look_at(state: Arbiter, slot: Slot, alive_at: float | None, now: float) -> tuple[Slot, tuple[Action, ...]]:
    policy = state.policy_of(slot)
    age_s = now - slot.since
    if slot.phase is SlotPhase.STARTING and age_s > policy.boot_timeout_s:
        return _abort(state, slot, f"is not ready after boot_timeout ({policy.boot_timeout_s:g} s)", now)
    if slot.phase is SlotPhase.READY and policy.timeout_s:
        if alive_at is None or now - max(alive_at, slot.since) <= policy.timeout_s:
            return (replace(slot, suspicion=None) if slot.suspicion is not None else slot), ()
        if slot.suspicion is None or slot.suspicion.alive_at != alive_at:
            return replace(slot, suspicion=Suspicion(alive_at, now)), ()
        if now - slot.suspicion.since < RECHECK_S:
            return slot, ()
        return _abort(state, slot, f"has made no progress within timeout ({policy.timeout_s:g} s)", now)
    if slot.phase is SlotPhase.ABORTING and age_s > ABORT_S:
        return slot.entering(SlotPhase.KILLED, now), (SignalWorker(slot.pid, "KILL"),)
    if slot.phase is SlotPhase.RETIRING and age_s > policy.graceful_s:
        return kill_late(slot, "has not retired within graceful_timeout", policy.graceful_s > 0, now)
    return slot, ()


def kill_late(slot: Slot, why: str, had_time: bool, now: float) -> tuple[Slot, tuple[Action, ...]]:
    """Who was given no time to end has missed nothing; what it is running is reported all the same."""
    return slot.entering(SlotPhase.KILLED, now), (
        Say("warning" if had_time else "debug", f"Worker {slot.number} (pid {slot.pid}) {why}; it is killed"),
        ReportRunning(slot.number, slot.pid),
        SignalWorker(slot.pid, "KILL"),
    )


def _abort(state: Arbiter, slot: Slot, why: str, now: float) -> tuple[Slot, tuple[Action, ...]]:
    if any(one.phase is SlotPhase.ABORTING and now - one.since < TELL_S for one in state.slots):
        return slot, ()  # its turn comes
    worker = f"Worker {slot.number} (pid {slot.pid})"
    return slot.entering(SlotPhase.ABORTING, now), (
        Say("error", f"{worker} {why}; it is killed and replaced"),
        ReportRunning(slot.number, slot.pid),
        # The last line before what the C code of faulthandler writes: it has no word of its own.
        Say("error", f"{worker} has not crashed: these are the tracebacks of its threads, innermost frames first"),
        SignalWorker(slot.pid, "ABRT"),
    )
