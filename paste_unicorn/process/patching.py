"""Gevent and Eventlet replace what would block: before the application is loaded, and never in the arbiter.

The server's own sockets, polls and forks keep to the originals, wherever a wait of theirs must not depend on a hub.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from typing import Any

GREEN = frozenset({"gevent", "eventlet"})

_ADVICE = '{0} is not installed; pip install "gunicorn[{0}]"'
# What an application must not have imported before it is patched, with a name that only a client of it would need.
_PATCHED_TOO_LATE = ("ssl", "requests", "urllib3", "psycopg2", "pymysql", "redis")


class NoSuchLibrary(ImportError):
    """What the worker class needs is not installed; `str()` says what to install."""


def check_installed(worker_class: str) -> None:
    """Raises NoSuchLibrary where the worker class needs a library that isn't there."""
    if worker_class in GREEN and importlib.util.find_spec(worker_class) is None:
        raise NoSuchLibrary(_ADVICE.format(worker_class))


def patch(worker_class: str) -> tuple[str, ...]:
    """Replace what would block, in this process and its children; the modules that were imported too early for it.
    Nothing for other classes.

    Raises NoSuchLibrary. Signals and forks stay the originals: they are the server's.
    """
    check_installed(worker_class)
    if worker_class not in GREEN:
        return ()
    early = tuple(name for name in _PATCHED_TOO_LATE if name in sys.modules)
    with warnings.catch_warnings():
        # Of what was imported too early, and that Eventlet is retiring: the log says so, once.
        warnings.simplefilter("ignore")
        if worker_class == "gevent":
            importlib.import_module("gevent.monkey").patch_all(os=False, signal=False)
        else:
            importlib.import_module("eventlet").monkey_patch(os=False)
    return early


def original(module: str, name: str) -> Any:
    """A function as it was before anybody patched it."""
    for patched, get in (("gevent.monkey", "get_original"), ("eventlet.patcher", "original")):
        library = sys.modules.get(patched)
        if library is None:
            continue
        if get == "original":
            return getattr(library.original(module), name)
        return library.get_original(module, name)
    return getattr(importlib.import_module(module), name)


def give_up_hub(worker_class: str) -> None:
    """In a template that waits for nothing but its orders from now on: Eventlet's hub goes, with its epoll object, in
    which workers would find what others have registered. Patching made it, and whoever waits makes another one.

    Gevent makes its own anew in each child.
    """
    if worker_class == "eventlet":
        hubs = importlib.import_module("eventlet.hubs")
        poll: Any = getattr(hubs.get_hub(), "poll", None)
        if hasattr(poll, "close"):
            poll.close()
        hubs.use_hub(hubs.get_default_hub())


def after_fork(worker_class: str) -> None:
    """In a worker, before anything waits: a hub that the template had is not this process's."""
    if worker_class == "gevent":
        importlib.import_module("gevent").reinit()
        give_up_children(worker_class)
    else:
        give_up_hub(worker_class)


def give_up_children(worker_class: str) -> None:
    """SIGCHLD has got another handler: Gevent, if it took the signal for a subprocess before, has to take it again for
    the next one, which it would wait for without end.
    """
    if worker_class == "gevent":
        hub = importlib.import_module("gevent._hub_local").get_hub_if_exists()
        if hub is not None:
            hub.loop.reset_sigchld()
