"""A stop while no worker is there: what the kernel has accepted is answered by workers that come, or are forked for it.

They are told nothing: who is told to go before it is ready goes at once. They see that the server stops when they have
begun to answer, and go by themselves.
"""

from __future__ import annotations

from dataclasses import replace

from ..actions import Action, Say
from ..state import Arbiter, Generation, Phase, Slot, SlotPhase, StopStage, TemplatePhase

_BEING_BORN = frozenset({SlotPhase.ORDERED, SlotPhase.STARTING, SlotPhase.ABORTING})


def would_desert(state: Arbiter) -> bool:
    """Whether nobody could answer if the server stopped now. A start that is broken off has promised nothing."""
    return state.phase is Phase.SERVING and not state.shares_sockets and not state.in_phase(SlotPhase.READY)


def is_deserted(state: Arbiter) -> bool:
    """Whether the server stops, and nobody has answered yet."""
    return state.stop is not None and state.stop.is_deserted


def not_deserted(state: Arbiter) -> Arbiter:
    """Somebody has come."""
    return replace(state, stop=replace(state.stop, is_deserted=False)) if state.stop is not None else state


def source_of_workers(state: Arbiter) -> Generation | None:
    """The generation whose template can fork them: at once, or when it has loaded and has its listeners. None where the
    time is over, or workers die at birth.
    """
    if state.stop is None or state.stop.stage is not StopStage.ASKED or state.births.failures:
        return None
    able = [one for one in state.generations if one.template is TemplatePhase.READY and one.is_equipped]
    coming = state.coming
    if able or coming is None or coming.template not in {TemplatePhase.LOADING, TemplatePhase.READY}:
        return able[-1] if able else None
    return coming


def gone(state: Arbiter, slot: Slot, now: float) -> Arbiter:
    """Without this one. If it was to answer, and has gone before it could, others would do the same."""
    state = state.without_slot(slot.number)
    if is_deserted(state) and slot.phase in _BEING_BORN:
        return replace(state, births=state.births.after_failure(now))
    return state


def give_up(state: Arbiter) -> tuple[Arbiter, tuple[Action, ...]]:
    """Says so, where nobody has come."""
    if not is_deserted(state):
        return state, ()
    sentence = "There is no worker: connections that the kernel has accepted meanwhile end without an answer"
    return not_deserted(state), (Say("warning", sentence),)
