"""What concerns files and no worker's life: logs that were rotated, modules that a reloader should watch."""

from __future__ import annotations

from dataclasses import replace

from ..actions import Action, ReopenLogs, Say, SignalWorker, WatchFiles
from ..events import FilesImported, SignalArrived
from ..state import Arbiter, SlotPhase


def reopen_logs(state: Arbiter, event: SignalArrived, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Reopens the log files, here, in the templates and in the workers."""
    # The arbiter first: workers may not be allowed to make the files.
    workers = tuple(SignalWorker(slot.pid, "USR1") for slot in state.slots if slot.pid)
    # Who is being born may have been forked with the old files, and not be known yet, or not heed signals.
    for slot in state.in_phase(SlotPhase.ORDERED, SlotPhase.STARTING):
        state = state.with_slot(replace(slot, has_old_logs=True))
    return state, (ReopenLogs(), *workers, Say("info", "Reopened the log files (USR1)"))


def watch(state: Arbiter, event: FilesImported, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Tells the runner's reloader of files that only a worker imported."""
    return state, (WatchFiles(event.paths),)
