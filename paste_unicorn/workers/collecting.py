"""How often a worker looks for garbage in cycles; its rule: nothing of this costs an application that makes none."""

from __future__ import annotations

import gc

# What interpreters start with (3.10 to 3.12, 3.13). Anything else was chosen by the application, and stays.
_DEFAULTS = {(700, 10, 10), (2000, 10, 10)}
# Full collections are rare by default because they visit the whole application. Here it is frozen: a full collection
# visits only what this worker made itself, so it may come seven times as often. Four workers of a quickstarted
# TurboGears took 187 instead of 201 MiB after 200 requests, for the same CPU time: garbage that waits is memory of
# the worker's own.
_OFTEN = (700, 3, 3)


def collect_often() -> None:
    """In a worker, before its hooks, which may set other thresholds."""
    if gc.get_threshold() in _DEFAULTS:
        gc.set_threshold(*_OFTEN)
