"""A HUP, and what becomes of a generation that doesn't come up."""

from __future__ import annotations

import re
from dataclasses import replace

from ..actions import Action, ForgetGeneration, KillTemplate, Say
from ..events import SignalArrived
from ..state import Arbiter, Generation, Phase, SlotPhase, Standing, TemplatePhase
from .balance import adopt, retire
from .stop import give_up

HUP = "HUP"

_WORDS_OF_EXCLUSION = re.compile(r"\bf?lock|Lock|temporarily unavailable|EAGAIN|already in use")
_RETIRE_FIRST = (
    "If the application holds something exclusive (a lock file, a port), it can't be loaded beside itself: "
    "set reload_mode = retire_first and restart"
)


def reload(state: Arbiter, event: SignalArrived, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Loads code and settings again in a new generation, which takes over when its workers are ready; whatever fails,
    what serves goes on as it was. If one is coming already, once more after that.
    """
    if not state.policy.can_load_again:
        return state, (
            Say("error", "Got HUP: it is not known where the application came from; restart the server instead"),
        )
    said: tuple[Action, ...] = ()
    if state.coming is not None:
        said = (Say("info", f"Got HUP: another reload follows generation {state.coming.number}"),)
    # What failed before need not fail again: nothing waits for its time.
    births, loads = state.births.after_success(), state.loads.after_success()
    return replace(state, reload_wanted=HUP, asked_for=None, births=births, loads=loads), said


def reload_while_starting(state: Arbiter, event: SignalArrived, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Loads code and settings again after the start; at once, and in its stead, if the start has trouble."""
    coming = state.coming
    in_trouble = state.births.failures or state.loads.failures
    given_way: tuple[Action, ...] = ()
    if coming is not None and in_trouble and state.policy.can_load_again:
        state, given_way = give_way(state, coming, now)
    state, said = reload(state, event, now)
    return state, (*given_way, *said)


def give_way(state: Arbiter, coming: Generation, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """A generation that can't be completed makes way for the next one; until that comes it serves with the workers that
    it has, if nobody else does.
    """
    if state.serving is None and has_workers(state, coming):
        return adopt(state, coming)
    return _drop(state, coming, now)


def comes_beside(state: Arbiter, generation: Generation) -> bool:
    """Whether somebody serves while this one comes up: then it may simply fail."""
    return generation.standing is Standing.COMING and (state.serving is not None or state.has_predecessor)


def has_workers(state: Arbiter, generation: Generation) -> bool:
    return bool(state.in_phase(SlotPhase.STARTING, SlotPhase.READY, of=generation.number))


def _drop(state: Arbiter, generation: Generation, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """It will not serve, and what it has got goes."""
    state, told = retire(state, generation, now)
    actions: list[Action] = [ForgetGeneration(generation.number), *told]
    if generation.template is TemplatePhase.LOADING and generation.pid:
        state = state.with_generation(
            replace(generation, standing=Standing.RETIRING, template=TemplatePhase.ENDING, since=now)
        )
        actions.append(KillTemplate(generation.number, generation.pid))
    return state, tuple(actions)


def fail(
    state: Arbiter, generation: Generation, what: str, reason: str, now: float
) -> tuple[Arbiter, tuple[Action, ...]]:
    """Drops a generation that was coming; the one that serves never noticed."""
    serving = state.serving
    state, actions = _drop(state, generation, now)
    subject = f"generation {generation.number} {what}"
    text = f"\n{reason.rstrip()}" if reason else ""
    exclusion = f". {_RETIRE_FIRST}" if _may_hold_something(generation, what, reason) else ""
    if serving is not None and serving.template is not TemplatePhase.GONE:
        said = f"The reload failed: {subject}; generation {serving.number} goes on serving as it was{text}"
        return state, (Say("error", f"{said}\nCorrect it and send HUP again{exclusion}"), *actions)
    hopeless = reason or state.has_predecessor or not state.policy.can_load_again
    if state.phase is Phase.STARTING and not generation.why and hopeless:
        advice = ""
        if state.has_predecessor:
            advice = f"\nThe arbiter before goes on serving; correct it and send USR2 again{exclusion}"
        state, ended = give_up(state, "the application could not be loaded", now)
        return state, (Say("error", f"The start failed: {subject}{text}{advice}"), *actions, *ended)
    state = replace(state, loads=state.loads.after_failure(now))
    others = "; the workers that are there go on" if serving is not None else ""
    wait_s = state.loads.not_before - now
    said = f"Generation {generation.number} {what}{others}; the next try is in {wait_s:.1f} s{text}"
    if reason:
        said += f"\nCorrect it; HUP tries at once{exclusion}"
    return state, (Say("error", said), *actions)


def _may_hold_something(generation: Generation, what: str, reason: str) -> bool:
    """Whether it failed as an application does that is loaded beside itself, and can't be."""
    if generation.policy.retire_first:
        return False
    last_line = reason.rstrip().rpartition("\n")[2]
    excluded = generation.template is TemplatePhase.LOADING and _WORDS_OF_EXCLUSION.search(last_line)
    return bool(excluded) or "boot_timeout" in what
