"""What must follow from an event at once: a signal is obeyed, a death reported, a wish remembered."""

from __future__ import annotations

from paste_unicorn.arbiter import actions as do
from paste_unicorn.arbiter import events as on
from paste_unicorn.arbiter.actions import Action
from paste_unicorn.arbiter.events import Event, Signal
from paste_unicorn.arbiter.state import Arbiter, Phase, SlotPhase

from .books import RUNNING, STOPS, Broken


def check_duties(before: Arbiter, event: Event, actions: tuple[Action, ...], after: Arbiter) -> None:
    """Raises Broken."""
    match event:
        case on.SignalArrived(signal):
            _obeyed(before, signal, actions, after)
        case on.ProcessExited(pid):
            slot = before.slot_of_pid(pid)
            cleared = any(isinstance(one, do.ClearSlot) and one.pid == pid for one in actions)
            if slot is not None and not cleared:
                raise Broken("reports the dead", f"worker {slot.number} (pid {pid}) has gone, and its row stays")
            _hopeless(before, pid, after)
        case on.WorkerTired(number, pid) if before.phase in RUNNING:
            slot, now = before.slot(number), after.slot(number)
            counts = slot is not None and slot.pid == pid and slot.phase is SlotPhase.READY
            if counts and (now is None or not (now.tired or now.phase is SlotPhase.RETIRING)):
                raise Broken("does what it is told", f"{now} is not to be replaced")
        case on.SuccessorReady() if before.phase in RUNNING and before.successor is not None:
            if (before.stop_wanted or before.policy.upgrade_at_once) and after.phase is not Phase.STOPPING:
                raise Broken("does what it is told", "it goes on serving beside a new arbiter that should take over")
        case on.TemplateFailed(number) if before.phase is Phase.STARTING and before.serving is None:
            coming = before.coming
            if coming is not None and coming.number == number == 1 and after.phase is not Phase.QUITTING:
                raise Broken("a start that fails ends", f"generation 1 could not be loaded; {after.phase.value}")
    _successor_stays(before, event, after)
    _predecessor_stays(before, event, actions, after)


def _hopeless(before: Arbiter, pid: int, after: Arbiter) -> None:
    """The first template has gone without having forked anybody, and can't be loaded again, or need not be."""
    coming = before.coming
    if before.phase is not Phase.STARTING or coming is None or coming.why or coming.pid != pid:
        return
    alone = not before.has_predecessor and (before.policy.can_load_again or any(slot.pid for slot in before.slots))
    if not alone and after.phase is not Phase.QUITTING:
        raise Broken("a start that fails ends", f"nobody will serve, or somebody else; {after.phase.value}")


def _obeyed(before: Arbiter, signal: Signal, actions: tuple[Action, ...], after: Arbiter) -> None:
    running, serves = before.phase in RUNNING, before.phase is Phase.SERVING
    at_work = [one.wanted for one in before.generations if one.standing.value != "retiring"]
    rests = not any(at_work)
    done = True
    match signal:
        case Signal.TTIN if running:
            done = after.wanted == (1 if rests else before.wanted + 1)
        case Signal.TTOU if running:
            done = after.wanted == (before.wanted if rests else max(before.wanted - 1, 1))
        case Signal.WINCH if serves:
            done = not any(one.wanted for one in after.generations if one.standing.value != "retiring")
        case Signal.USR1 if before.phase is not Phase.QUITTING:
            done = do.ReopenLogs() in actions
        case Signal.USR2:
            may = serves and not before.policy.no_upgrade and before.successor is None and not before.has_predecessor
            done = (do.StartSuccessor() in actions) is may
        case Signal.HUP if running and before.policy.can_load_again:
            done = bool(after.reload_wanted) or any(isinstance(one, do.StartTemplate) for one in actions)
        case Signal.QUIT | Signal.TYPED_INT:
            done = after.phase is Phase.QUITTING
        case _ if signal in STOPS and running:
            waits = before.successor is not None and not before.successor.is_ready and not before.stop_wanted
            done = bool(after.stop_wanted) if waits else after.phase is Phase.STOPPING
    if not done:
        raise Broken("does what it is told", f"{signal.value} while {before.phase.value}, then: {after}")


def _successor_stays(before: Arbiter, event: Event, after: Arbiter) -> None:
    was = before.successor
    if was is None or after.successor is not None:
        return
    match event:
        case on.SuccessorFailed():
            return
        case on.ProcessExited(pid) if pid == was.pid:
            return
    raise Broken("one successor", f"{was} is forgotten at {event}")


def _predecessor_stays(before: Arbiter, event: Event, actions: tuple[Action, ...], after: Arbiter) -> None:
    gone = isinstance(event, on.PredecessorGone)
    if before.has_predecessor and after.has_predecessor is gone:
        raise Broken("one successor", f"the arbiter before: {gone}, {after.has_predecessor}")
    if gone and before.has_predecessor and before.phase in RUNNING and do.TakeOver() not in actions:
        raise Broken("one successor", "the arbiter before has gone, and this one has not taken over")
