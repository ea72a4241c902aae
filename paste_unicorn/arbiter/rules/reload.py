"""A HUP, and what becomes of a generation that doesn't come up."""

from __future__ import annotations

import re
from dataclasses import replace

from ..actions import Action, Say
from ..events import SignalArrived
from ..state import Arbiter, Generation, Phase, Standing, TemplatePhase
from .balance import drop, give_way
from .stop import give_up

HUP = "HUP"

_WORDS_OF_EXCLUSION = re.compile(r"(?<![/\w])f?lock|Lock|temporarily unavailable|EAGAIN|already in use")
_SPEAKS_OF_CODE = re.compile(r"(Attribute|Import|Indentation|Key|ModuleNotFound|Name|Syntax|Type)Error\b")
_RETIRE_FIRST = (
    "If the application holds something exclusive (a lock file, a port), it can't be loaded beside itself: "
    "set reload_mode = retire_first and restart"
)


def reload(state: Arbiter, event: SignalArrived, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Loads code and settings again in a new generation, which takes over when its workers are ready; whatever fails,
    what serves goes on as it was. If one is coming already, once more after that; in its stead, if it has trouble and
    nobody else serves.
    """
    if not state.policy.can_load_again:
        return state, (
            Say("error", "Got HUP: it is not known where the application came from; restart the server instead"),
        )
    coming = state.coming
    in_trouble = state.births.failures or state.loads.failures
    done: tuple[Action, ...] = ()
    if coming is not None and in_trouble and (state.serving is None or state.phase is Phase.STARTING):
        state, done = give_way(state, coming, now)
    elif coming is not None:
        done = (Say("info", f"Got HUP: another reload follows generation {coming.number}"),)
    # What failed before need not fail again: nothing waits for its time.
    births, loads = state.births.after_success(), state.loads.after_success()
    state = replace(state, births=births, killed_newborns=0, loads=loads)
    return replace(state, reload_wanted=HUP, asked_for=None), done


def comes_beside(state: Arbiter, generation: Generation) -> bool:
    """Whether somebody serves while this one comes up: then it may simply fail."""
    return generation.standing is Standing.COMING and (state.serving is not None or state.has_predecessor)


def fail(
    state: Arbiter, generation: Generation, what: str, reason: str, now: float
) -> tuple[Arbiter, tuple[Action, ...]]:
    """Drops a generation that was coming; the one that serves never noticed."""
    serving = state.serving
    state, actions = drop(state, generation, now)
    subject = f"generation {generation.number} {what}"
    text = f"\n{reason.rstrip()}" if reason else ""
    exclusion = f". {_RETIRE_FIRST}" if _may_hold_something(generation, what, reason) else ""
    if serving is not None and serving.template is not TemplatePhase.GONE:
        said = f"The reload failed: {subject}; generation {serving.number} goes on serving as it was{text}"
        return state, (Say("error", f"{said}\nCorrect it and send HUP again{exclusion}"), *actions)
    hopeless = reason or state.has_predecessor or not state.policy.can_load_again
    if state.phase is Phase.STARTING and not generation.why and hopeless:
        advice = f"\n{_RETIRE_FIRST}" if exclusion else ""
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
    is_excluded = generation.template is TemplatePhase.LOADING and any(
        _WORDS_OF_EXCLUSION.search(line) for line in _messages(reason)
    )
    return is_excluded or "boot_timeout" in what


def _messages(reason: str) -> list[str]:
    """Of each exception in a traceback, what it says: it may have been caused by another one, or take several lines.

    Files and code are indented. An exception that quotes code says nothing of what somebody holds.
    """
    return [line for line in reason.splitlines() if line[:1].strip() and not _SPEAKS_OF_CODE.match(line)]
