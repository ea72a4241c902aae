"""What should have happened by now: a stuck worker, a template that does not load, a retirement that takes
too long.
"""

from __future__ import annotations

from dataclasses import replace

from ..actions import Action, KillSuccessor, KillTemplate, Say, SignalWorker
from ..events import TimePassed
from ..state import Arbiter, Generation, Policy, Slot, SlotPhase, Standing, TemplatePhase
from .reload import comes_beside, fail
from .replace import forgive
from .stuck import ABORT_S, RECHECK_S, TELL_S, end_overdue_workers

_LOOK_S = 0.5
ENDING_S = 5.0  # a template that was told to go is gone at once, unless somebody has stopped it
GOLDEN_RATIO = 0.6180339887498949


def next_look(state: Arbiter, last: float) -> float:
    """When to look again at what may be overdue, in monotonic seconds: at the next deadline, and twice a
    second.
    """
    deadlines = [last + _LOOK_S]
    deadlines += [backoff.not_before for backoff in (state.births, state.loads) if backoff.not_before > last]
    told_at = 0.0  # all tracebacks that were asked for
    for slot in state.slots:
        if slot.phase is SlotPhase.ABORTING:
            deadlines.append(slot.since + ABORT_S)
            told_at = max(told_at, slot.since + TELL_S)
    for slot in state.in_phase(SlotPhase.READY):
        if slot.suspicion is not None:
            deadlines.append(max(slot.suspicion.since + RECHECK_S, told_at))
    if state.stop is not None:
        deadlines.append(state.stop.deadline)
    return min(deadlines) + 0.001  # behind it, not on it


def end_overdue(state: Arbiter, event: TimePassed, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Ends what is overdue, its tracebacks first; replaces workers that are too old or too large; orders again what
    was waiting for its time.
    """
    state, given_up = _give_up_unready(state, now)
    state, ended = end_overdue_workers(state, event, now)
    actions = [*given_up, *ended]
    for generation in state.templates_alive():
        state, done = _look_at_template(state, generation, now)
        actions += done
    state = _tire(state, event, now)
    successor = state.successor
    if successor is not None and successor.pid and not successor.is_ready:
        # It opens its logs, then its template has boot_timeout, and so have its workers.
        allowed_s = 2 * state.policy.boot_timeout_s + 5.0
        if now - successor.since > allowed_s:
            state = replace(state, successor=replace(successor, since=now))
            sentence = f"The new arbiter (pid {successor.pid}) is not ready after {allowed_s:g} s; it is killed"
            actions += [Say("error", sentence), KillSuccessor(successor.pid)]
    return forgive(state, now), tuple(actions)


def _give_up_unready(state: Arbiter, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """A generation that comes beside another one, whose workers don't get ready."""
    coming = state.coming
    if coming is None or not comes_beside(state, coming):
        return state, ()
    limit_s = coming.policy.boot_timeout_s
    late = [slot for slot in state.in_phase(SlotPhase.STARTING, of=coming.number) if now - slot.since > limit_s]
    if not late:
        return state, ()
    # One tells in what it hangs. Several at once would write across each other's lines, and it is the same anyhow.
    signals = [SignalWorker(late[0].pid, "ABRT", late[0].number)]
    state = state.with_slot(late[0].entering(SlotPhase.ABORTING, now))
    for slot in late[1:]:
        signals.append(SignalWorker(slot.pid, "KILL", slot.number))
        state = state.with_slot(slot.entering(SlotPhase.KILLED, now))
    what = f"has a worker that was not ready within boot_timeout ({limit_s:g} s), and its tracebacks follow"
    state, failed = fail(state, coming, what, "", now)
    return state, (*failed, *signals)


def _look_at_template(state: Arbiter, generation: Generation, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    limit_s = generation.policy.boot_timeout_s
    in_phase_s = now - generation.since
    if not generation.pid:
        return state, ()
    kill = KillTemplate(generation.number, generation.pid)
    if generation.template is TemplatePhase.ENDING and in_phase_s > ENDING_S:
        return state.with_generation(replace(generation, since=now)), (kill,)
    late = in_phase_s > limit_s
    ordered = state.in_phase(SlotPhase.ORDERED, of=generation.number)
    hung = late and any(now - slot.since > limit_s for slot in ordered)
    if (late and generation.template is TemplatePhase.LOADING) or (hung and comes_beside(state, generation)):
        what = "has not forked a worker" if hung else "has not loaded"
        # Whoever does not die of this is killed like one that was told to go.
        ending = replace(generation, template=TemplatePhase.ENDING, since=now)
        state = state.with_generation(ending)
        abort = KillTemplate(generation.number, generation.pid, "ABRT")
        if generation.standing is not Standing.COMING:
            return state, (abort,)
        what = f"{what} within boot_timeout ({limit_s:g} s), and its tracebacks follow"
        state, failed = fail(state, ending, what, "", now)
        return state, (*failed, abort)
    if generation.standing is Standing.RETIRING and in_phase_s > ENDING_S:
        # It is still good for one thing, to report that its killed workers have gone. If it is dead they become ours.
        silent = any(now - slot.since > ENDING_S for slot in state.in_phase(SlotPhase.KILLED, of=generation.number))
        return state.with_generation(replace(generation, since=now)) if silent else state, (kill,) if silent else ()
    if not hung:
        return state, ()
    sentence = (
        f"The template of generation {generation.number} (pid {generation.pid}) has not forked a worker within "
        f"boot_timeout ({limit_s:g} s); it is killed"
    )
    ending = replace(generation, template=TemplatePhase.ENDING, since=now)
    return state.with_generation(ending), (Say("error", sentence), kill)


def _tire(state: Arbiter, event: TimePassed, now: float) -> Arbiter:
    for slot in state.in_phase(SlotPhase.READY):
        if slot.tired or slot.ready_since is None:
            continue
        policy = state.policy_of(slot)
        why = ""
        if policy.lifetime_s and now - slot.ready_since > _lifetime_s(policy, slot):
            why = f"it is {now - slot.ready_since:.0f} s old (max_worker_lifetime)"
        elif policy.most_memory and event.memory.get(slot.number, 0) > policy.most_memory:
            megabytes = event.memory[slot.number] / 2**20
            why = f"it has {megabytes:.1f} MiB of memory (max_worker_memory)"
        if why:
            state = state.with_slot(replace(slot, tired=why))
    return state


def _lifetime_s(policy: Policy, slot: Slot) -> float:
    """Spread by the worker's age number, as evenly as numbers can be: nothing here is left to chance."""
    return policy.lifetime_s + policy.lifetime_jitter_s * (slot.age * GOLDEN_RATIO % 1.0)
