"""What the kernel allows, looked at by the arbiter: at the start, and whenever other settings come into force.

One warning for each limit that falls short of these settings, and none for those that don't. Nothing here decides about
processes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..ops.kernel import read_kernel, read_text
from ..ops.limits import SHORT, Situation, serving
from ..ops.memory import resident_bytes
from ..ops.overflow import Listening, Records, judge, sentence
from ..ops.queues import listen_overflows, queue_of
from ..process.identity import allow_files
from ..settings.needs import needs_of

if TYPE_CHECKING:
    from ..process.listener import Listener
    from ..settings.resolve import Settings
    from .listeners import OpenListeners


class KernelLimits:
    """Owned by the arbiter's main thread."""

    def __init__(self, log: Callable[[], logging.Logger]) -> None:
        self._log = log  # the one that is in force
        self._said: frozenset[str] = frozenset()  # what falls short, at the last look
        self._records = Records()  # of queues that overflow

    def compare(self, settings: Settings, listeners: OpenListeners, has_application: bool) -> None:
        """Raise what we may raise ourselves; say what falls short, unless the last look has found the same.

        `has_application`: whether this process has loaded it, so that its memory tells what it needs.
        """
        kernel, needs = read_kernel(), needs_of(settings)
        allow_files(needs.files if kernel.files is None else min(needs.files, kernel.files))
        taken, address = self._taken(listeners.ours)
        situation = Situation(
            pid=os.getpid(),
            taken=taken,
            address=address,
            application=resident_bytes() if has_application else None,
        )
        short = [str(limit) for limit in serving(kernel, needs, situation) if limit.verdict == SHORT]
        for line in short:
            if line not in self._said:
                self._log().warning("%s", line)
        self._said = frozenset(short)

    def watch_queues(self, listeners: OpenListeners, backlog: int, now: float) -> None:
        """Say which listener's queue has overflowed since the last look. A tenth of a millisecond."""
        ours, seen = listeners.ours, []
        for listener in listeners.all:
            queue = queue_of(listener.sock)
            if queue is not None:
                seen.append(Listening(listener.address, listener.is_unix, listener in ours, queue))
        # Last: whatever a listener has dropped by now is counted by then.
        overflows = listen_overflows(read_text("/proc/self/net/netstat"))
        self._records, told = judge(self._records, overflows, tuple(seen), now)
        if told:
            kernel = read_kernel()
            for overflow in told:
                self._log().warning("%s", sentence(overflow, kernel, backlog, os.getpid()))

    def _taken(self, listeners: Iterable[Listener]) -> tuple[int | None, str]:
        """The shortest queue that the kernel gave to one of these."""
        queues = ((queue_of(listener.sock), listener.address) for listener in listeners)
        return min(((queue.most, address) for queue, address in queues if queue is not None), default=(None, ""))
