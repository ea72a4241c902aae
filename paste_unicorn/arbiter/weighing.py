"""How much memory each worker has, where there is a limit (`max_worker_memory`)."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..ops.memory import MEASURES, resident_bytes
from .state import Arbiter, SlotPhase

WEIGH_S = 5.0  # between two looks at one worker: to ask costs milliseconds for each gigabyte
_TURNS = 8  # so that many looks for all of them


class Weighing:
    """Owned by the arbiter's main thread."""

    def __init__(self, log: Callable[[], logging.Logger]) -> None:
        self._log = log  # the one that is in force
        self._weighed: dict[int, float] = {}  # pid to monotonic seconds
        self._complained = False

    def weigh(self, state: Arbiter, now: float) -> dict[int, int]:
        """Bytes, by slot, of the ready workers whose generation has a limit and whose turn it is."""
        limited = [slot for slot in state.in_phase(SlotPhase.READY) if state.policy_of(slot).most_memory]
        self._weighed = {slot.pid: self._weighed.get(slot.pid, float("-inf")) for slot in limited}
        due = [slot for slot in limited if now - self._weighed[slot.pid] >= WEIGH_S]
        due.sort(key=lambda slot: self._weighed[slot.pid])
        weights: dict[int, int | None] = {}
        hidden = False
        for slot in due[: -(-len(limited) // _TURNS)]:
            self._weighed[slot.pid] = now
            weight = MEASURES[state.policy_of(slot).memory_kind](slot.pid)
            weights[slot.number] = weight
            hidden = hidden or (weight is None and bool(resident_bytes(slot.pid)))
        if hidden and not self._complained:
            self._complained = True
            self._log().warning(
                "max_worker_memory has no effect: the kernel does not tell us how much memory workers have. It tells "
                "root with CAP_SYS_PTRACE, or the workers' own user: start the server as that user, in place of `user`"
            )
        return {slot: size for slot, size in weights.items() if size is not None}
