"""USR2: a new arbiter beside this one, on the same sockets; it takes over when this one is told to stop."""

from __future__ import annotations

from dataclasses import replace

from ..actions import Action, Say, StartSuccessor, TakeOver
from ..events import PredecessorGone, ProcessExited, SignalArrived, SuccessorFailed, SuccessorReady, SuccessorStarted
from ..state import Arbiter, Successor
from .stop import stop


def upgrade(state: Arbiter, event: SignalArrived, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Starts a new arbiter beside this one, or says why not; both serve until this one is told to stop."""
    if state.policy.no_upgrade:
        return state, (Say("error", f"Got USR2: {state.policy.no_upgrade}"),)
    if state.has_predecessor:
        return state, (Say("error", "Got USR2: the arbiter before is still there; end that one first (TERM)"),)
    if state.successor is not None:
        return state, (Say("warning", f"Got USR2: a new arbiter is there already (pid {state.successor.pid})"),)
    return replace(state, successor=Successor(now)), (
        Say("info", "Got USR2: starting a new arbiter beside this one"),
        StartSuccessor(),
    )


def not_yet(state: Arbiter, event: SignalArrived, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Says that this has to wait until the server has started."""
    return state, (Say("warning", f"Got {event.signal.value}: nothing is done, the server is still starting"),)


def started(state: Arbiter, event: SuccessorStarted, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Remembers its pid."""
    if state.successor is None:
        return state, ()
    return replace(state, successor=replace(state.successor, pid=event.pid)), ()


def ready(state: Arbiter, event: SuccessorReady, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Says so; stops this arbiter, if a stop was asked for meanwhile or `upgrade` is `auto`."""
    if state.successor is None:
        return state, ()
    state = replace(state, successor=replace(state.successor, is_ready=True))
    reason = state.stop_wanted or ("upgrade = auto" if state.policy.upgrade_at_once else "")
    said = Say("info", f"The new arbiter (pid {event.pid}) serves" + ("" if reason else "; TERM ends this one"))
    if not reason:
        return state, (said,)
    state, actions = stop(state, reason, now)
    return state, (said, *actions)


def failed(state: Arbiter, event: SuccessorFailed, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Says so and goes on serving; stops for good, if a stop was asked for meanwhile."""
    return _without(state, "could not be started", f"\n{event.reason.rstrip()}", now)


def successor_exited(state: Arbiter, event: ProcessExited, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """The same for one that has ended."""
    if event.clean and state.successor is not None and state.successor.is_ready and not state.stop_wanted:
        said = f"The new arbiter (pid {event.pid}) {event.how}; this one goes on serving"
        return replace(state, successor=None), (Say("info", said),)
    return _without(state, f"(pid {event.pid}) {event.how}", "", now)


def in_charge(state: Arbiter, event: PredecessorGone, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """The arbiter before has gone: this one has the pid files, and the sockets to itself."""
    return replace(state, has_predecessor=False), (
        TakeOver(),
        Say("info", "The arbiter before has ended; this one is in charge"),
    )


def _without(state: Arbiter, what: str, reason: str, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    waiting, serves = state.stop_wanted, state.successor is not None and state.successor.is_ready
    state = replace(state, successor=None, stop_wanted="")
    if waiting:
        state, actions = stop(state, waiting, now)
        return state, (Say("error", f"The new arbiter {what}{reason}"), *actions)
    said = f"The new arbiter {what}; this one goes on serving{reason}"
    if not serves:
        said = f"The upgrade failed: {said[0].lower()}{said[1:]}\nCorrect it and send USR2 again"
    return state, (Say("error", said),)
