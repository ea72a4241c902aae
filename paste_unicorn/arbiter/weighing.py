"""How much memory each worker has, where there is a limit (`max_worker_memory`)."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..ops.memory import MEASURES, resident_bytes
from .state import Arbiter, SlotPhase

WEIGH_S = 5.0  # to ask costs milliseconds for each gigabyte


class Weighing:
    """Owned by the arbiter's main thread."""

    def __init__(self, log: Callable[[], logging.Logger]) -> None:
        self._log = log  # the one that is in force
        self._next = 0.0  # monotonic seconds
        self._complained = False

    def weigh(self, state: Arbiter, now: float) -> dict[int, int]:
        """Bytes, by slot, of the ready workers whose generation has a limit; nothing when it is not yet time."""
        limited = [slot for slot in state.in_phase(SlotPhase.READY) if state.policy_of(slot).most_memory]
        if not limited or now < self._next:
            return {}
        self._next = now + WEIGH_S
        weights = {slot.number: MEASURES[state.policy_of(slot).memory_kind](slot.pid) for slot in limited}
        hidden = [slot for slot in limited if weights[slot.number] is None and resident_bytes(slot.pid)]
        if hidden and not self._complained:
            self._complained = True
            self._log().warning(
                "max_worker_memory has no effect: the kernel does not tell us how much memory workers have. It tells "
                "root with CAP_SYS_PTRACE, or the workers' own user: start the server as that user, in place of `user`"
            )
        return {slot: size for slot, size in weights.items() if size is not None}
