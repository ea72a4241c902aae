"""The rows of watching over workers: reload, recycling, deadlines, status; most are still to come."""
# ruff: noqa: RUF009 - `row` makes a dataclass field, once for each class

from __future__ import annotations

from dataclasses import dataclass

from ..addresses import Address, Bind
from ..kinds import Choice, Duration, MaybeText, Mode, Size, Switch, Text, Whole
from ..lists import Pairs, Texts
from ..peers import LOOPBACK, NOBODY, Peers, TrustedPeers
from ..places import Path
from ..row import Stage, row
from ..warmup import Warmup, WarmupRequest

_RELOAD = "`paster serve --reload` is what works today"
_STATUS = "no status page is served"
_CANARY = "a new generation serves for good as soon as its workers are ready"
_CONTROL = "signals are what works today"


@dataclass(frozen=True)
class SupervisionSettings:
    """Watching over workers"""

    max_requests: int = row(
        "max_requests", Whole(), 0,
        "Requests after which a worker is replaced, its replacement ready first; 0 is never.",
    )  # fmt: skip
    max_requests_jitter: int = row(
        "max_requests_jitter", Whole(), 0,
        "At most this many requests are added to `max_requests`, by chance, so that workers take turns.",
    )  # fmt: skip
    max_worker_memory: int = row(
        "max_worker_memory", Size(), 0,
        "Memory beyond which a worker is replaced between two requests; 0 is never.",
    )  # fmt: skip
    max_worker_memory_kind: str = row(
        "max_worker_memory_kind", Choice("private", "rss"), "private",
        "Which memory is meant by `max_worker_memory`: what a worker has alone (`private`), or all that lies in main "
        "memory (`rss`), of which workers share most.",
    )  # fmt: skip
    max_worker_lifetime_s: float = row(
        "max_worker_lifetime", Duration(), 0.0,
        "Age at which a worker is replaced; 0 is never.",
    )  # fmt: skip
    max_worker_lifetime_jitter_s: float = row(
        "max_worker_lifetime_jitter", Duration(), 0.0,
        "At most this much is added to `max_worker_lifetime`, spread over the workers.",
    )  # fmt: skip
    workers_max: int = row(
        "workers_max", Whole(0, 1024), 0,
        "Up to this many workers when requests have to wait; 0 is a fixed number.",
        stage=Stage.LATER, advice="the number of workers is fixed; set `workers`",
    )  # fmt: skip
    workers_idle_s: float = row(
        "workers_idle", Duration(), 0.0,
        "Idle time after which a worker beyond `workers` is stopped.",
        stage=Stage.LATER, advice="the number of workers is fixed; set `workers`",
    )  # fmt: skip
    workers_memory: int = row(
        "workers_memory", Size(), 0,
        "Memory that all workers may use together.",
        stage=Stage.LATER, advice="the number of workers is fixed; set `workers`",
    )  # fmt: skip
    request_timeout_s: float = row(
        "request_timeout", Duration(), 0.0,
        "How long the application may run for a request, in every worker class; then 504, tracebacks in the log, and "
        "the worker is replaced when its other requests are done. `environ['gunicorn.request_timeout'](60)` gives a "
        "request 60 seconds from now on. 0 is no deadline.",
    )  # fmt: skip
    request_timeout_rules: tuple[tuple[str, str], ...] = row(
        "request_timeout_rules", Pairs("METHOD /prefix = 120"), (),
        "Deadlines for some paths: `METHOD /prefix = 120`.",
        stage=Stage.LATER, advice="with worker_class = sync, `timeout` is a deadline of each request",
        empty=(),
    )  # fmt: skip
    request_timeout_grace_s: float = row(
        "request_timeout_grace", Duration(), 5.0,
        "How long a request that `request_timeout` has interrupted may take to end; then its worker ends without it.",
    )  # fmt: skip
    queue_timeout_s: float = row(
        "queue_timeout", Duration(), 0.0,
        "A request that has waited for longer before it could run is answered with 503 and Retry-After; 0 is never.",
    )  # fmt: skip
    slow_log_s: float = row(
        "slow_log", Duration(), 0.0,
        "A request that runs longer is logged, with a traceback; 0 is never.",
        stage=Stage.LATER, advice="when `timeout` has passed, the tracebacks are logged",
    )  # fmt: skip
    quarantine: str = row(
        "quarantine", Text(), "off",
        "Refuse for a while a request that has killed several workers.",
        stage=Stage.LATER, advice="such requests are served like any other",
    )  # fmt: skip
    reload: bool = row(
        "reload", Switch(), False,
        "Reload when a file of the application has changed.",
        stage=Stage.LATER, advice=_RELOAD,
    )  # fmt: skip
    reload_engine: str = row(
        "reload_engine", Choice("auto", "inotify", "poll"), "auto",
        "How changed files are noticed.",
        stage=Stage.LATER, advice=_RELOAD,
    )  # fmt: skip
    reload_extra_files: tuple[str, ...] = row(
        "reload_extra_files", Texts(), (),
        "Further files whose change means a reload; patterns with `*` may be given.",
        also=("reload_extra_file",), stage=Stage.LATER, advice=_RELOAD,
    )  # fmt: skip
    reload_mode: str = row(
        "reload_mode", Choice("ready_first", "retire_first"), "ready_first",
        "At a reload (HUP), and when a template has died: `ready_first` loads the new generation beside the old one, "
        "which retires when the new workers are ready. `retire_first` is for applications that hold something "
        "exclusive, a lock file or a port: the old generation goes before the new one is loaded, connections wait in "
        "the kernel's queue meanwhile, and there is nothing to go back to when the new one can't be loaded.",
    )  # fmt: skip
    reload_canary_s: float = row(
        "reload_canary", Duration(), 0.0,
        "How long a new generation is on trial after a reload; 0 is not at all.",
        stage=Stage.LATER, advice=_CANARY,
    )  # fmt: skip
    reload_canary_margin: str = row(
        "reload_canary_margin", Text(), "2%",
        "By how much the failures of a generation on trial may exceed the old one's.",
        stage=Stage.LATER, advice=_CANARY,
    )  # fmt: skip
    upgrade: str = row(
        "upgrade", Choice("manual", "auto"), "manual",
        "After USR2, when the workers of the new arbiter are ready: `manual` leaves both serving until the old one is "
        "told to stop (TERM), `auto` stops the old one at once.",
    )  # fmt: skip
    warmup: tuple[WarmupRequest, ...] = row(
        "warmup", Warmup(), (),
        "Requests that the template runs before it forks, so that what the first ones cost is paid once and shared: "
        "`/`, `HEAD /shop`, or a URL (`https://site.example/`) for its host and scheme. `boot_timeout` holds for all. "
        "The environ has `paste_unicorn.warmup`.",
    )  # fmt: skip
    warmup_required: bool = row(
        "warmup_required", Switch(), True,
        "Whether an exception, or an answer of 500 or higher, is a failed start or a refused reload; else a warning.",
    )  # fmt: skip
    handoff: bool = row(
        "handoff", Switch(), True,
        "Whether connections are passed on between workers: idle ones by a worker that retires, and those that wait "
        "behind a long request by a worker that is busy.",
    )  # fmt: skip
    fork_audit: str = row(
        "fork_audit", Choice("off", "warn", "error"), "warn",
        "What to do about connections, threads and files that the application opened before the fork.",
        stage=Stage.LATER, advice="threads that exist before the fork are named at start",
    )  # fmt: skip
    shutdown_delay_s: float = row(
        "shutdown_delay", Duration(), 0.0,
        "After TERM, go on accepting for so long while `health_path` says 503.",
        stage=Stage.LATER, advice="TERM begins the graceful stop at once",
    )  # fmt: skip
    stats: tuple[Address, ...] = row(
        "stats", Bind(), (),
        "Where the status page is served.",
        stage=Stage.LATER, advice=_STATUS,
    )  # fmt: skip
    stats_path: str | None = row(
        "stats_path", MaybeText(), None,
        "The status page's path on the main port.",
        stage=Stage.LATER, advice=_STATUS,
    )  # fmt: skip
    stats_allow_ips: TrustedPeers = row(
        "stats_allow_ips", Peers(), LOOPBACK,
        "Who may see the status page.",
        stage=Stage.LATER, advice=_STATUS, empty=NOBODY,
    )  # fmt: skip
    health_path: str | None = row(
        "health_path", MaybeText(), None,
        "A path that is answered without the application, for load balancers.",
        stage=Stage.LATER, advice="the application gets these requests",
    )  # fmt: skip
    control_socket: str | None = row(
        "control_socket", Path(), None,
        "Unix socket on which the running server can be asked and steered.",
        stage=Stage.LATER, advice=_CONTROL,
    )  # fmt: skip
    control_socket_mode: int | None = row(
        "control_socket_mode", Mode(), 0o600,
        "Permissions of the control socket.",
        stage=Stage.LATER, advice=_CONTROL,
    )  # fmt: skip
    fdstore: str = row(
        "fdstore", Choice("auto", "off", "on"), "auto",
        "Whether systemd keeps our sockets over a crash.",
        stage=Stage.LATER, advice="sockets end with the arbiter",
    )  # fmt: skip
