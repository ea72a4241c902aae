"""The one socket pair through which all workers of all generations pass connections on.

The arbiter keeps both ends, so that what is queued survives the death of all workers. SOCK_SEQPACKET: a message is
whole or not there at all (a stream would cut it), and the end of the other side shows.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class HandoffPair:
    """Both ends, non-blocking, with the default send buffer on purpose: it queues some 280 connections. In a larger
    one live clients would wait behind thousands of idle ones.
    """

    into: socket.socket  # whoever puts a connection in owns it no longer
    out_of: socket.socket  # whoever takes it out owns it

    @classmethod
    def create(cls) -> HandoffPair:
        """A new pair, for the arbiter."""
        return cls._of(*socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))

    @classmethod
    def from_fds(cls, into: int, out_of: int) -> HandoffPair:
        """The pair that another process created."""
        return cls._of(socket.socket(fileno=into), socket.socket(fileno=out_of))

    @classmethod
    def _of(cls, into: socket.socket, out_of: socket.socket) -> HandoffPair:
        for end in (into, out_of):
            end.setblocking(False)
            end.set_inheritable(False)
        return cls(into, out_of)

    def filenos(self) -> tuple[int, int]:
        return self.into.fileno(), self.out_of.fileno()
