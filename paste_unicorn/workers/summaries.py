"""What hooks around a request get to see of it: plain values, with nothing behind them that a hook could change."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..wsgi.environ import Environ


class RequestSummary(NamedTuple):
    """What the hooks `pre_request` and `post_request` get to see of a request."""

    method: str
    uri: str
    path: str
    query: str
    version: str
    headers: tuple[tuple[str, str], ...]


class ResponseSummary(NamedTuple):
    """What the hook `post_request` gets to see of an answer."""

    status: str
    status_code: int
    headers: tuple[tuple[str, str], ...]
    sent: int  # bytes of the body


class RequestHooks(NamedTuple):
    """Hooks around each request, ready to be called: they never raise."""

    before: Callable[[RequestSummary], None] | None
    after: Callable[[RequestSummary, Environ, ResponseSummary], None] | None
