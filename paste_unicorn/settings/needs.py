"""What settings need of the kernel: open files, room in queues, processes, memory; numbers alone.

Each is the least that the settings promise to use, so that whatever is below it falls short for certain.
"""

from __future__ import annotations

from dataclasses import dataclass

from .resolve import Settings

SPARE_FILES = 128  # of a worker, beside its connections: hand-off, logs, what the application opens
WORKER_BYTES = 4 << 20  # that a worker soon has alone: pages that it writes to, its loop, its parser's memory
CONNECTION_BYTES = 2 << 10  # of an idle connection: ours, and of the kernel what the group pays for (2.5 KiB measured)
_TASKS_BESIDE = 2  # threads of a worker that aren't `threads`: the loop's or the watcher's, and one of the application
_PARENTS = 3  # the arbiter, a template, and a second one at a reload


@dataclass(frozen=True)
class Needs:
    """`files` is for one worker, `backlog` for one listener, all else for the server; memory is in bytes."""

    connections: int
    files: int
    spools: bool  # a connection may have a temporary file
    files_of_all: int
    backlog: int
    has_tcp: bool
    tasks: int
    workers_at_once: int
    memory: int  # of the workers alone
    memory_is_said: bool  # by the settings, in place of an estimate


def needs_of(settings: Settings) -> Needs:
    """What these settings need."""
    processes, sockets = settings.processes, settings.sockets
    workers, connections = processes.workers, processes.worker_connections
    spools = settings.requests.spool_request_body is not None
    files = files_of_worker(settings)
    # A reload has the workers of both generations for a while, unless the old ones go first.
    at_once = workers if processes.reload_mode == "retire_first" else 2 * workers
    most_memory = processes.max_worker_memory
    return Needs(
        connections=workers * connections,
        files=files,
        spools=spools,
        files_of_all=workers * files,
        backlog=sockets.backlog,
        has_tcp=any(address.kind == "tcp" for address in sockets.bind),
        tasks=at_once * (processes.threads + _TASKS_BESIDE) + _PARENTS,
        workers_at_once=at_once,
        memory=workers * (most_memory or WORKER_BYTES + connections * CONNECTION_BYTES),
        memory_is_said=bool(most_memory),
    )


def files_of_worker(settings: Settings) -> int:
    """How many files one worker may have open: each connection is one, and one more while its body is spooled."""
    each = 1 if settings.requests.spool_request_body is None else 2
    return settings.processes.worker_connections * each + len(settings.sockets.bind) + SPARE_FILES
