"""The application's own functions that are called at some moments of the server's life.

Importing happens in `load` alone, never while settings are read: a hook's module may pull in the whole
application.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from .kinds import Kind, quoted
from .surroundings import Surroundings

Hook = str | Callable[..., Any]

# What each hook is called with. Existing hooks of post_request take two, three or all four.
ARGUMENTS = {
    "on_starting": ("server",),
    "on_reload": ("server",),
    "when_ready": ("server",),
    "pre_fork": ("server", "worker"),
    "post_fork": ("server", "worker"),
    "post_worker_init": ("worker",),
    "worker_int": ("worker",),
    "worker_abort": ("worker",),
    "pre_exec": ("server",),
    "pre_request": ("worker", "request"),
    "post_request": ("worker", "request", "environ", "response"),
    "child_exit": ("server", "worker"),
    "worker_exit": ("server", "worker"),
    "nworkers_changed": ("server", "new_value", "old_value"),
    "on_exit": ("server",),
    "ssl_context": ("config", "default_ssl_context_factory"),
}


class HookError(ValueError):
    """A hook can't be used; the message names it and says why."""


def load(hook: Hook, name: str) -> Callable[..., Any]:
    """The function for the hook of this name; it takes all of `ARGUMENTS[name]`. Raises HookError."""
    function = _imported(hook, name) if isinstance(hook, str) else hook
    if not callable(function):
        raise HookError(f"{name}: {hook} is not a function")
    wanted = ARGUMENTS[name]
    taken = _accepted(function, len(wanted), 2 if name == "post_request" else len(wanted))
    if taken is None:
        shown = hook if isinstance(hook, str) else getattr(hook, "__qualname__", repr(hook))
        raise HookError(f"{name}: {shown} must take {len(wanted)} arguments: {', '.join(wanted)}")
    if taken == len(wanted):
        return function
    fewer = taken
    return lambda *arguments: function(*arguments[:fewer])


def _imported(hook: str, name: str) -> Any:
    import importlib

    module_name, _, path = hook.partition(":") if ":" in hook else hook.rpartition(".")
    try:
        found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # a border: the module is the application's
        raise HookError(f"{name}: {hook} can't be imported: {type(error).__name__}: {error}") from error
    return found


def _accepted(function: Callable[..., Any], most: int, least: int) -> int | None:
    """How many arguments, from `most` down to `least`, a function takes; None where none of them fits."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # built in, without a signature: it is taken at its word
        return most
    for count in range(most, least - 1, -1):
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return count
    return None


class HookKind(Kind[Hook | None]):
    """A dotted name; in a Python file also a function."""

    what = "dotted name of a function"
    pattern = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*(?:\.|:)[^\W\d]\w*(?:\.[^\W\d]\w*)*")

    def __init__(self, name: str) -> None:
        self.name = name

    def parse(self, text: str, around: Surroundings) -> Hook | None:
        if not self.pattern.fullmatch(text):
            raise ValueError(
                f"{quoted(text)} is not a dotted name; give module and function, for example mysite.hooks.{self.name}"
            )
        return text

    def take(self, value: object, around: Surroundings) -> Hook | None:
        if not callable(value):
            return super().take(value, around)
        try:
            load(value, self.name)
        except HookError as error:
            raise ValueError(str(error).removeprefix(f"{self.name}: ")) from None
        return value

    def show(self, value: Hook | None) -> str:
        if value is None or isinstance(value, str):
            return value or ""
        return f"{value.__module__}.{getattr(value, '__qualname__', value)}"
