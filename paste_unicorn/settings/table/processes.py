"""The rows of processes: how many, of what kind, as whom, in which surroundings."""

from __future__ import annotations

from dataclasses import dataclass

from ..kinds import Choice, Duration, MaybeText, Mode, Switch, Whole
from ..lists import Pairs
from ..places import ConfigFile, Folders, Group, Path, User, Workers
from ..row import row
from ..worker_class import WorkerClass
from .hooks import HookSettings
from .supervision import SupervisionSettings


@dataclass(frozen=True)
class ProcessSettings(SupervisionSettings, HookSettings):
    """Processes"""

    workers: int = row(
        "workers", Workers(), 1,
        "Number of worker processes; `auto` is one for each processor that the control group and the "
        "affinity allow.",
        env="WEB_CONCURRENCY",
    )  # fmt: skip
    worker_class: str = row(
        "worker_class", WorkerClass(), "sync",
        "How workers run requests: one at a time (`sync`), a few in a pool of threads (`threads`), or a greenlet for "
        "each (`gevent`, `eventlet`, extras to be installed). docs/workers.md compares them.",
    )  # fmt: skip
    threads: int = row(
        "threads", Whole(1, 10_000), 1,
        "How many requests each worker runs at a time in the class `threads`, where the default is 4; more than 1 "
        "means that class.",
    )  # fmt: skip
    worker_connections: int = row(
        "worker_connections", Whole(1, 1_000_000), 1000,
        "Most connections of one worker, whatever its class. Where all workers have so many, one that waits takes the "
        "place of the slowest request head, or of the connection that has been idle longest.",
    )  # fmt: skip
    timeout_s: float = row(
        "timeout", Duration(), 30.0,
        "A worker that is silent for longer is killed and replaced; in the sync class, how long a request may run; in "
        "the threads class, how long one may go on whose client has left. 0 is never.",
    )  # fmt: skip
    graceful_timeout_s: float = row(
        "graceful_timeout", Duration(), 30.0,
        "How long requests may take to finish when a worker is stopped.",
    )  # fmt: skip
    boot_timeout_s: float = row(
        "boot_timeout", Duration(0.1), 60.0,
        "How long loading the application may take, until its workers are ready.",
    )  # fmt: skip
    drain_timeout_s: float = row(
        "drain_timeout", Duration(0.0, 60.0), 0.15,
        "At a graceful stop, how long handshakes that have begun are given to complete.",
    )  # fmt: skip
    user: int | None = row(
        "user", User(), None,
        "Workers run as this user (name or number).",
    )  # fmt: skip
    group: int | None = row(
        "group", Group(), None,
        "Workers run as this group (name or number).",
    )  # fmt: skip
    initgroups: bool = row(
        "initgroups", Switch(), False,
        "Give workers all groups of the user.",
    )  # fmt: skip
    umask: int | None = row(
        "umask", Mode(), None,
        "Mask for the modes of files that server and workers make. Not set: 0 for Unix sockets (everybody "
        "may connect, as existing files expect), and for all else what the runner has.",
    )  # fmt: skip
    daemon: bool = row(
        "daemon", Switch(), False,
        "Go to the background. `paster serve --daemon` does it better.",
    )  # fmt: skip
    chdir: str | None = row(
        "chdir", Path(exists="folder"), None,
        "Current folder of workers, and of later templates before they load the application. (At the start the runner "
        "has loaded it before any setting of the server holds; so it is with `pythonpath` and `raw_env`.)",
    )  # fmt: skip
    pythonpath: tuple[str, ...] = row(
        "pythonpath", Folders(), (),
        "Folders to put first on the module path, also of later templates.",
    )  # fmt: skip
    raw_env: tuple[tuple[str, str], ...] = row(
        "raw_env", Pairs("NAME=value"), (),
        "Environment variables to set, one `NAME=value` a line.",
        also=("env",),
    )  # fmt: skip
    pidfile: str | None = row(
        "pidfile", Path(exists="parent"), None,
        "File into which the arbiter writes its process number.",
        also=("pid",),
    )  # fmt: skip
    proc_name: str | None = row(
        "proc_name", MaybeText(), None,
        "What the process titles show in place of the ini file's name.",
        also=("name",),
    )  # fmt: skip
    check_config: bool = row(
        "check_config", Switch(), False,
        "Check what the settings say and try what they name, as `paster unicorn-check` does; then exit with 0, or 1 "
        "where a server would not start. Nothing is served.",
    )  # fmt: skip
    print_config: bool = row(
        "print_config", Switch(), False,
        "Print every setting and where it came from, then do as `check_config` does.",
    )  # fmt: skip

    config: str | None = row(
        "config", ConfigFile(), None,
        "Python file of settings, below the ini: what the ini says wins. Not set: `gunicorn.conf.py` in the "
        "current folder, if there is one.",
    )  # fmt: skip
    unknown_settings: str = row(
        "unknown_settings", Choice("error", "warn", same={"warning": "warn"}), "error",
        "What a name that nobody knows is. Names that begin with `x_` are for your own use in any case.",
    )  # fmt: skip

    @property
    def user_name(self) -> str | None:
        """The name of `user`; None where there is no user, or the number has no name."""
        import pwd

        if self.user is None:
            return None
        try:
            return pwd.getpwuid(self.user).pw_name
        except KeyError:
            return None
