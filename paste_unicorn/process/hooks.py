"""Server hooks: the small objects that they are given, and the call that can't hurt whoever makes it."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..settings.cfg import Cfg
from ..settings.hooks import HookError, load
from .listener import Listener

if TYPE_CHECKING:
    from ..settings.resolve import Settings

_NAMES = (
    "on_starting", "on_reload", "when_ready", "pre_fork", "post_fork", "post_worker_init", "worker_int", "worker_abort",
    "pre_exec", "pre_request", "post_request", "child_exit", "worker_exit", "nworkers_changed", "on_exit",
)  # fmt: skip

# Called while something starts, which SystemExit says is not to be: the server, or a worker.
_AT_BIRTH = frozenset({"on_starting", "pre_fork", "post_fork", "post_worker_init"})


@dataclass
class HookServer:
    """What a hook sees of the server."""

    log: logging.Logger
    pid: int
    cfg: Any
    address: list[str]
    num_workers: int


@dataclass
class HookWorker:
    """What a hook sees of a worker; `pid` is 0 before the fork."""

    pid: int
    age: int
    log: logging.Logger
    cfg: Any


class Hooks:
    """The hooks of one process, imported once: they keep that code until the process ends."""

    def __init__(
        self, settings: Settings, log: logging.Logger, interruptions: tuple[type[BaseException], ...] = ()
    ) -> None:
        """Raises `settings.hooks.HookError`, which names the hook that can't be imported or called. `interruptions` may
        come into a hook from outside; they are for whoever called it.
        """
        self._log = log
        self._interruptions = interruptions
        self._workers = settings.processes.workers
        self._functions: dict[str, Callable[..., Any]] = {}
        self.cfg = Cfg(settings)
        for name in _NAMES:
            hook = getattr(settings.processes, name)
            if hook is not None:
                self._functions[name] = load(hook, name)

    def adopt(self, settings: Settings) -> None:
        """Other settings are in force; the hooks stay those that were imported."""
        self._workers = settings.processes.workers
        self.cfg = Cfg(settings)

    def get(self, name: str) -> Callable[..., Any] | None:
        """The hook itself, or None."""
        return self._functions.get(name)

    def call(self, name: str, *arguments: Any) -> None:
        """Call the hook if there is one; whatever it raises is logged and ends that hook only.

        So does SystemExit, but where something starts: there it goes on to the caller, and so does the Ctrl-C of a
        process that has no handlers yet.
        """
        function = self._functions.get(name)
        if function is None:
            return
        try:
            function(*arguments)
        except BaseException as error:
            if isinstance(error, self._interruptions) or _is_meant(name, error):
                raise
            self._log.exception("The hook %s raised an exception; the server goes on", name)

    def begin(self) -> None:
        """Call `on_starting`. Raises HookError: by SystemExit it has refused the start."""
        # At a start nothing listens yet: the hook sees where this server is going to.
        server = HookServer(self._log, os.getpid(), self.cfg, self.cfg.address, self._workers)
        try:
            self.call("on_starting", server)
        except SystemExit as error:
            raise HookError(f"on_starting: the hook refuses the start, by SystemExit: {error}") from error

    def server(self, listeners: Iterable[Listener], arbiter_pid: int = 0, workers: int = 0) -> HookServer:
        """The first argument of most hooks; without `arbiter_pid` and `workers` that of this process."""
        addresses = [listener.address for listener in listeners]
        return HookServer(self._log, arbiter_pid or os.getpid(), self.cfg, addresses, workers or self._workers)

    def worker(self, pid: int, age: int) -> HookWorker:
        return HookWorker(pid, age, self._log, self.cfg)


def _is_meant(name: str, error: BaseException) -> bool:
    """Whether the end of what is being done is what this says."""
    if isinstance(error, KeyboardInterrupt):
        return signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, SystemExit) and name in _AT_BIRTH
