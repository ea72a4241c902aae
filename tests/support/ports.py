"""TCP ports for servers under test. Two that run at the same time, whoever started them, never get the same one.

To look for a free port and let go of it is not enough: a server needs half a second until it binds, and when another
one was given the port meanwhile, the test talks to a server that is not its own.

So a process claims ports by the block: it binds the first of them, which the kernel gives to one process only and takes
back when that ends, and hands out the others one after the other.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator

_FIRST, _END = 10240, 32000  # outside the range from which the kernel gives ports to clients
_BLOCK = 32

_claims: list[socket.socket] = []  # kept open until this process ends


def free_port() -> int:
    """A TCP port that is free now, and that nobody else who asks here will be given."""
    return next(_ports)


def _free_ports() -> Iterator[int]:
    blocks = list(range(_FIRST, _END, _BLOCK))
    random.SystemRandom().shuffle(blocks)
    for first in blocks:
        claim = _bound(first)
        if claim is not None:
            _claims.append(claim)
            yield from filter(_is_free, range(first + 1, first + _BLOCK))
    raise AssertionError(f"no free port was found from {_FIRST} to {_END}")


_ports = _free_ports()


def _bound(port: int) -> socket.socket | None:
    sock = socket.socket()
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.close()
        return None
    return sock


def _is_free(port: int) -> bool:
    sock = _bound(port)
    if sock is not None:
        sock.close()
    return sock is not None
