"""A listening socket as all processes see it."""

from __future__ import annotations

import socket
from dataclasses import dataclass


@dataclass(frozen=True)
class Listener:
    """`address` is for people ("127.0.0.1:8080", "unix:/run/site.sock"); the names are SERVER_NAME and
    SERVER_PORT.
    """

    sock: socket.socket
    address: str
    family: int
    server_name: str
    server_port: str
    is_unix: bool
