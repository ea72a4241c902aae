"""A worker that has answered enough requests says so, for applications that leak (`max_requests`).

It goes on serving: the arbiter makes its replacement first, and then tells it to go.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from .exchange import Exchange

if TYPE_CHECKING:
    from ..http.parser import Head
    from ..settings.resolve import Settings
    from ..wsgi.gateway import Response
    from .connection import Connection


class CountedExchange(Exchange):
    """Counts what the application answered. A class of its own, so that nobody counts where there is no limit."""

    def __init__(self, *given: Any, limit: int, say_tired: Callable[[str], None]) -> None:
        super().__init__(*given)
        self._limit = limit
        self._numbers = itertools.count(1)  # one for all threads
        self._say_tired = say_tired

    def run(self, connection: Connection, head: Head, body: IO[bytes], keep: bool, length: int = -1) -> Response:
        response = super().run(connection, head, body, keep, length)
        if next(self._numbers) == self._limit:
            self._say_tired(f"it has answered {self._limit} requests (max_requests)")
        return response


def make_exchange(settings: Settings, say_tired: Callable[[str], None], *given: Any) -> Exchange:
    """An `Exchange` of what is given, which counts if there is a limit."""
    limit = request_limit(settings)
    return CountedExchange(*given, limit=limit, say_tired=say_tired) if limit else Exchange(*given)


def request_limit(settings: Settings) -> int:
    """After how many requests this worker is tired; 0 is never. Not all workers at once: each draws its own jitter."""
    limit, jitter = settings.processes.max_requests, settings.processes.max_requests_jitter
    # Not `random.randint`: workers of an application that has seeded it would all draw the same.
    return limit + random.SystemRandom().randint(0, jitter) if limit else 0
