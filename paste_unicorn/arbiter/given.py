"""What the arbiter is given by whoever starts it, beside the settings; and what follows from both for its decisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..scoreboard import SLOTS
from .state import Plan, Policy

if TYPE_CHECKING:
    from ..settings.resolve import Settings

# Under a reloader a stop must be over within a second: hupper kills after that.
RELOADER_STOP_S = 0.5
QUIT_S = 1.0


@dataclass(frozen=True)
class Runner:
    """What the arbiter needs of the runner."""

    watch_files: Callable[[tuple[str, ...]], None] | None  # tells its reloader; None without one
    release: Callable[[], None]  # in template 1: lets go of descriptors that are the runner's
    opened: tuple[int, ...]  # descriptors that loading the application opened
    no_upgrade: str = ""  # why its parent must not see this process end for a successor
    pid_files: tuple[str, ...] = ()  # that the runner wrote
    keep_pid_files: Callable[[], None] = lambda: None  # at its end the runner leaves them alone
    is_monitored: bool = False  # somebody starts us again when we end


def plan_of(settings: Settings, runner: Runner, *, can_load_again: bool) -> Plan:
    """What these settings want, in these circumstances."""
    processes = settings.processes
    graceful_s = processes.graceful_timeout_s
    watched = runner.watch_files is not None
    retire_first = processes.reload_mode == "retire_first"
    no_upgrade = runner.no_upgrade
    if not can_load_again:
        no_upgrade = "it is not known where the application came from; restart the server instead"
    elif retire_first and not no_upgrade:
        no_upgrade = "with reload_mode = retire_first nothing can be loaded beside what serves; restart instead"
    policy = Policy(
        timeout_s=processes.timeout_s,
        graceful_s=graceful_s,
        stop_s=min(graceful_s, RELOADER_STOP_S) if watched else graceful_s,
        quick_s=RELOADER_STOP_S if watched else QUIT_S,
        boot_timeout_s=processes.boot_timeout_s,
        can_load_again=can_load_again,
        most_workers=SLOTS // 2 - 24,  # another generation needs as many beside them
        retire_first=retire_first,
        lifetime_s=processes.max_worker_lifetime_s,
        lifetime_jitter_s=processes.max_worker_lifetime_jitter_s,
        most_memory=processes.max_worker_memory,
        memory_kind=processes.max_worker_memory_kind,
        upgrade_at_once=processes.upgrade == "auto",
        no_upgrade=no_upgrade,
    )
    return Plan(processes.workers, policy)
