"""What the kernel allows beside what the settings need: each limit, its verdict, why it matters, and what raises it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..settings.needs import Needs
from . import remedies
from .kernel import UNLIMITED, Kernel
from .memory import mebibytes
from .remedies import Remedy

OK, SHORT, UNKNOWN = "ok", "short", "unknown"
CHURN = 1000  # connections a second that a machine which tests servers should be able to open
_SYSCTLS = {  # by sys.platform: the names of one and the same thing
    "linux": {"accept_queue": "net.core.somaxconn", "files_of_all": "fs.file-max"},
    "darwin": {"accept_queue": "kern.ipc.somaxconn", "files_of_all": "kern.maxfiles"},
}


@dataclass(frozen=True)
class Limit:
    """One limit. `concerns_clients`: it stops those who open many connections from here, and nothing that serves."""

    name: str
    verdict: str
    value: str
    wanted: str
    why: str
    remedy: Remedy | None = None
    concerns_clients: bool = False

    def __str__(self) -> str:
        """One line of the log, for a limit that falls short."""
        return f"{self.name}: allowed is {self.value}, these settings want {self.wanted}: {self.why}. {self.remedy}"


@dataclass(frozen=True)
class Situation:
    """What is known beside kernel and settings."""

    pid: int | None = None  # of an arbiter that can be told to read limits again
    taken: int | None = None  # of `backlog`: what the kernel took for a listener
    address: str = ""  # of that listener
    application: int | None = None  # bytes of the process that has loaded it


def limits(kernel: Kernel, needs: Needs, situation: Situation) -> tuple[Limit, ...]:
    """Every limit, in the order in which busy sites hit them."""
    return (*serving(kernel, needs, situation), *_of_clients(kernel, needs))


def serving(kernel: Kernel, needs: Needs, situation: Situation) -> Iterator[Limit]:
    """Those that stop a server with these settings from doing what they say."""
    yield _files(kernel, needs, situation)
    yield _files_of_all(kernel, needs)
    yield accept_queue(kernel, needs.backlog, situation)
    if needs.has_tcp:
        yield _syn_queue(kernel, needs)
    yield _tasks(kernel, needs)
    yield _tasks_of_user(kernel, needs, situation)
    yield _memory(kernel, needs, situation)


def _files(kernel: Kernel, needs: Needs, situation: Situation) -> Limit:
    spooled = "twice, since bodies are spooled to files, " if needs.spools else ""
    return Limit(
        "Open files of a process (RLIMIT_NOFILE)",
        _verdict(kernel.files, needs.files),
        _shown(kernel.files),
        str(needs.files),
        f"a worker may have worker_connections {spooled}and some files more; those that it can't open wait in the "
        "kernel's queue",
        remedies.of_files(kernel, needs.files, situation.pid),
    )


def _files_of_all(kernel: Kernel, needs: Needs) -> Limit:
    name = _SYSCTLS[kernel.system]["files_of_all"]
    return Limit(
        f"Open files of the whole system ({name})",
        _verdict(kernel.files_of_all, needs.files_of_all),
        _shown(kernel.files_of_all),
        str(needs.files_of_all),
        "all processes of the system share it, and the connections of all workers are files",
        remedies.of_sysctl(kernel, name, 2 * needs.files_of_all, of_container=False),
    )


def accept_queue(kernel: Kernel, backlog: int, situation: Situation) -> Limit:
    """The queue of connections that wait to be accepted. The kernel cuts `backlog` without a word (`man 2 listen`)."""
    name = _SYSCTLS[kernel.system]["accept_queue"]
    taken, most = situation.taken, kernel.accept_queue
    value, verdict = _shown(most), _verdict(most, backlog)
    if taken:
        verdict = _verdict(taken, backlog)
        value = value if verdict == OK else f"{taken} for {situation.address}"
    return Limit(
        f"Connections that wait to be accepted ({name})",
        verdict,
        value,
        str(backlog),
        f"backlog = {backlog} is cut to that in silence, and when many come at once, connections beyond it are dropped",
        remedies.of_sysctl(kernel, name, backlog, f" && kill -HUP {situation.pid}" if situation.pid else ""),
    )


def _syn_queue(kernel: Kernel, needs: Needs) -> Limit:
    """Only without SYN cookies the kernel keeps a quarter of this free (net/ipv4/tcp_input.c, tcp_conn_request)."""
    name, wanted = "net.ipv4.tcp_max_syn_backlog", -(-needs.backlog * 4 // 3)
    why = "handshakes that have begun wait in it, and three quarters of it are for everybody"
    shown = str(wanted)
    if kernel.syn_cookies:
        verdict, shown = OK, "any, with SYN cookies"
    else:
        verdict = UNKNOWN if kernel.syn_cookies is None else _verdict(kernel.syn_queue, wanted)
    remedy = remedies.of_sysctl(kernel, "net.ipv4.tcp_syncookies", 1)
    return Limit(f"Handshakes under way ({name})", verdict, _shown(kernel.syn_queue), shown, why, remedy)


def _tasks(kernel: Kernel, needs: Needs) -> Limit:
    return Limit(
        "Processes and threads of the control group (pids.max)",
        _verdict(kernel.tasks, needs.tasks),
        _shown(kernel.tasks),
        str(needs.tasks),
        f"up to {needs.workers_at_once} workers are there at a time, with their threads; beyond the limit no worker "
        "can be forked, and a reload fails",
        remedies.of_tasks(kernel, needs.tasks),
    )


def _tasks_of_user(kernel: Kernel, needs: Needs, situation: Situation) -> Limit:
    return Limit(
        "Processes and threads of the user (RLIMIT_NPROC)",
        _verdict(kernel.tasks_of_user, needs.tasks),
        _shown(kernel.tasks_of_user),
        str(needs.tasks),
        f"up to {needs.workers_at_once} workers are there at a time, with their threads, and all processes of the "
        "user count",
        remedies.of_user_tasks(kernel, needs.tasks, situation.pid),
    )


def _memory(kernel: Kernel, needs: Needs, situation: Situation) -> Limit:
    wanted = needs.memory + (situation.application or 0)
    verdict = _verdict(kernel.memory, wanted)
    if verdict == OK and kernel.memory is not None and kernel.memory < UNLIMITED and situation.application is None:
        verdict = UNKNOWN
    parts = "max_worker_memory for each worker" if needs.memory_is_said else "the least that the workers need"
    parts += " and the application once" if situation.application is not None else ", without the application"
    return Limit(
        "Memory of the control group",
        verdict,
        _shown(kernel.memory, mebibytes),
        mebibytes(wanted),
        f"that is {parts}; beyond the limit the kernel kills a worker",
        remedies.of_memory(kernel, wanted + wanted // 8),  # what is measured may be a little more the next time
    )


def _of_clients(kernel: Kernel, needs: Needs) -> Iterator[Limit]:
    """Of machines that test servers, that have a proxy in front of TCP, or open many connections to a backend."""
    first, last = kernel.first_port, kernel.last_port
    ports = None if first is None or last is None else last - first + 1
    is_mac = kernel.system == "darwin"
    name = "net.inet.ip.portrange.first" if is_mac else "net.ipv4.ip_local_port_range"
    yield Limit(
        f"Ports for connections from here ({name})",
        _verdict(ports, needs.connections),
        "?" if ports is None else f"{first} to {last}: {ports} ports",
        str(needs.connections),
        "more connections at a time can't lead from this machine to one address: those of a proxy in front of a TCP "
        "port, of a load test, of the application to its database",
        remedies.of_sysctl(kernel, name, "10240" if is_mac else "10240 65535"),
        concerns_clients=True,
    )
    rate = None if ports is None or not kernel.time_wait_s else int(ports / kernel.time_wait_s)
    if kernel.reuses_time_wait:
        rate = UNLIMITED
    name = "net.inet.tcp.msl" if is_mac else "net.ipv4.tcp_tw_reuse"
    yield Limit(
        f"Ports that rest after their connection, TIME_WAIT ({name})",
        _verdict(rate, CHURN),
        f"{_shown(rate)} a second",
        f"{CHURN} a second",
        f"a port rests for {_seconds(kernel)} when its connection was closed on this side, and soon all do",
        remedies.of_sysctl(kernel, name, 1000 * ports // (2 * CHURN) if is_mac and ports else 1),
        concerns_clients=True,
    )


def _seconds(kernel: Kernel) -> str:
    return "a while" if kernel.time_wait_s is None else f"{kernel.time_wait_s:g} s"


def _verdict(value: int | None, wanted: int) -> str:
    return UNKNOWN if value is None else OK if value >= wanted else SHORT


def _shown(value: int | None, show: Callable[[int], str] = str) -> str:
    return "?" if value is None else "unlimited" if value >= UNLIMITED else show(value)
