"""Signals that belong to later capabilities: never the default action, which kills."""

from __future__ import annotations

from ..actions import Action, Say
from ..events import SignalArrived
from ..state import Arbiter

_MEANING = {
    "HUP": "reloading is not there yet; restart the server to load changed code or settings",
    "USR2": "starting a new arbiter beside this one is not there yet; restart the server instead",
    "WINCH": "retiring all workers is not there yet; nothing was changed",
}


def not_there_yet(state: Arbiter, event: SignalArrived, now: float) -> tuple[Arbiter, tuple[Action, ...]]:
    """Says in the log that this is not there yet; changes nothing."""
    name = event.signal.value
    return state, (Say("warning", f"Got {name}: {_MEANING[name]}"),)
