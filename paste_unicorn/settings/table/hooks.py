"""The rows of the server hooks: the application's own functions, called at some moments of the server's life.

Who calls a hook loads it, once, by `settings.hooks.load`.
"""
# ruff: noqa: RUF009 - `row` makes a dataclass field, once for each class

from __future__ import annotations

from dataclasses import dataclass

from ..hooks import Hook, HookKind
from ..row import Stage, row


@dataclass(frozen=True)
class HookSettings:
    """Server hooks"""

    on_starting: Hook | None = row(
        "on_starting", HookKind("on_starting"), None,
        "Called in the arbiter, before anything else: `(server)`. By SystemExit it refuses the start; so do "
        "`pre_fork`, `post_fork` and `post_worker_init`, of a worker. Whatever else a hook raises is logged, and ends "
        "that hook only.",
    )  # fmt: skip
    on_reload: Hook | None = row(
        "on_reload", HookKind("on_reload"), None,
        "Called in the arbiter when a reload (HUP) begins: `(server)`. As all hooks of the arbiter it keeps the code "
        "that was imported at the start.",
    )  # fmt: skip
    when_ready: Hook | None = row(
        "when_ready", HookKind("when_ready"), None,
        "Called in the arbiter when the workers of the first generation are ready: `(server)`.",
    )  # fmt: skip
    pre_fork: Hook | None = row(
        "pre_fork", HookKind("pre_fork"), None,
        "Called in the template, which forks the workers, just before each fork: `(server, worker)`. The place to "
        "close what loading and warm-up opened (docs/fork_safety.md).",
    )  # fmt: skip
    post_fork: Hook | None = row(
        "post_fork", HookKind("post_fork"), None,
        "Called in the worker just after it was forked: `(server, worker)`. The place to forget inherited "
        "connections, to start threads and to seed generators (docs/fork_safety.md).",
    )  # fmt: skip
    post_worker_init: Hook | None = row(
        "post_worker_init", HookKind("post_worker_init"), None,
        "Called in the worker when it is about to serve: `(worker)`.",
    )  # fmt: skip
    worker_int: Hook | None = row(
        "worker_int", HookKind("worker_int"), None,
        "Called in the worker on SIGQUIT, a quick stop: `(worker)`.",
    )  # fmt: skip
    worker_abort: Hook | None = row(
        "worker_abort", HookKind("worker_abort"), None,
        "Called in the worker when `timeout` has passed, or on SIGABRT, if Python gets to run: `(worker)`.",
    )  # fmt: skip
    pre_exec: Hook | None = row(
        "pre_exec", HookKind("pre_exec"), None,
        "Called in the arbiter before it starts a new arbiter (USR2): `(server)`.",
    )  # fmt: skip
    pre_request: Hook | None = row(
        "pre_request", HookKind("pre_request"), None,
        "Called in the worker before each request: `(worker, request)`.",
    )  # fmt: skip
    post_request: Hook | None = row(
        "post_request", HookKind("post_request"), None,
        "Called in the worker after each request: `(worker, request, environ, response)`; a function of two "
        "or three arguments gets the first ones.",
    )  # fmt: skip
    child_exit: Hook | None = row(
        "child_exit", HookKind("child_exit"), None,
        "Called in the arbiter when a worker is gone: `(server, worker)`.",
    )  # fmt: skip
    worker_exit: Hook | None = row(
        "worker_exit", HookKind("worker_exit"), None,
        "Called in the worker as it leaves, behind `worker_int` and `worker_abort` too: `(server, worker)`. Not where "
        "it was killed, or had to leave because the arbiter was.",
    )  # fmt: skip
    nworkers_changed: Hook | None = row(
        "nworkers_changed", HookKind("nworkers_changed"), None,
        "Called in the arbiter when the wanted number of workers changes: `(server, new_value, old_value)`; "
        "at start the old value is None.",
    )  # fmt: skip
    on_exit: Hook | None = row(
        "on_exit", HookKind("on_exit"), None,
        "Called in the arbiter just before it ends: `(server)`.",
    )  # fmt: skip
    ssl_context: Hook | None = row(
        "ssl_context", HookKind("ssl_context"), None,
        "Called to make the TLS context: `(config, default_ssl_context_factory)`.",
        stage=Stage.LATER_REFUSED, advice="let a proxy in front (nginx, HAProxy) speak TLS meanwhile",
    )  # fmt: skip
