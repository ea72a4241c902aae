"""How a limit of the kernel is raised: the command for this system, and the place where it lasts."""

from __future__ import annotations

from dataclasses import dataclass

from .kernel import Kernel

SYSCTL_FILE = "/etc/sysctl.d/90-unicorn.conf"
LIMITS_FILE = "/etc/security/limits.d/90-unicorn.conf"
_DAEMON = "a LaunchDaemon in /Library/LaunchDaemons that runs the same command at boot"


@dataclass(frozen=True)
class Remedy:
    """`now` is a command, or a short sentence where none can do it; `lasting` is where to write what."""

    now: str
    lasting: str

    def __str__(self) -> str:
        return f"Now: {self.now}. To last: {self.lasting}"


def of_sysctl(kernel: Kernel, name: str, value: int | str, after: str = "", of_container: bool = True) -> Remedy:
    """A value of `sysctl`; `after` is what has to follow, `of_container` whether each container has its own."""
    given = f'"{name}={value}"' if " " in str(value) else f"{name}={value}"
    if kernel.system == "darwin":
        return Remedy(f"sudo sysctl {given}{after}", _DAEMON)
    if kernel.in_container and of_container:
        flag = f"--sysctl {given}"
        return Remedy(
            f"not from inside of a container: start it anew with {flag} (docker run, podman run)",
            f"{flag} where the container is defined, in Kubernetes securityContext.sysctls of the pod",
        )
    where = " (on the host)" if kernel.in_container else ""
    return Remedy(f"sysctl -w {given}{after}{where}", f"{name} = {value} in {SYSCTL_FILE}{where}")


def of_files(kernel: Kernel, wanted: int, pid: int | None) -> Remedy:
    """RLIMIT_NOFILE. `pid` is the arbiter's, of a server that runs: its next generation gets what it has then."""
    if kernel.system == "darwin":
        return Remedy(f"sudo launchctl limit maxfiles {wanted} {wanted}, then start the server anew", _DAEMON)
    return _of_process(kernel, "nofile", "-n", "LimitNOFILE", wanted, pid)


def of_user_tasks(kernel: Kernel, wanted: int, pid: int | None) -> Remedy:
    """RLIMIT_NPROC."""
    if kernel.system == "darwin":
        return of_sysctl(kernel, "kern.maxprocperuid", wanted)
    return _of_process(kernel, "nproc", "-u", "LimitNPROC", wanted, pid)


def _of_process(kernel: Kernel, name: str, flag: str, directive: str, wanted: int, pid: int | None) -> Remedy:
    """A limit that a process inherits."""
    now = f"ulimit {flag} {wanted} (as root, in the shell that starts the server)"
    if pid is not None:
        now = f"prlimit --pid {pid} --{name}={wanted}:{wanted} && kill -HUP {pid} (as root)"
    if kernel.in_container:
        return Remedy(now, f"--ulimit {name}={wanted}:{wanted} where the container is defined (docker run, podman run)")
    if kernel.unit:
        return Remedy(now, f"systemctl edit {kernel.unit}: {directive}={wanted} below [Service]")
    return Remedy(
        now, f"{kernel.user or 'USER'} - {name} {wanted} in {LIMITS_FILE}, or {directive}={wanted} in a unit of systemd"
    )


def of_tasks(kernel: Kernel, wanted: int) -> Remedy:
    """The control group's number of processes and threads."""
    return _of_group(kernel, "TasksMax", "--pids-limit", str(wanted), kernel.tasks_file)


def of_memory(kernel: Kernel, wanted: int) -> Remedy:
    """The control group's memory, in bytes."""
    return _of_group(kernel, "MemoryMax", "--memory", f"{-(-wanted // 2**20)}M", kernel.memory_file)


def _of_group(kernel: Kernel, directive: str, flag: str, wanted: str, file: str) -> Remedy:
    if kernel.unit and not kernel.in_container:
        return Remedy(
            f"systemctl set-property --runtime {kernel.unit} {directive}={wanted}",
            f"systemctl set-property {kernel.unit} {directive}={wanted}",
        )
    if kernel.in_container:
        return Remedy(
            f"docker update {flag} {wanted} CONTAINER (on the host; podman update)",
            f"{flag} {wanted} where the container is defined, in Kubernetes the pod's limits",
        )
    return Remedy(f"echo {wanted} > {file}", f"whoever makes the control group of {file} has to write it")
