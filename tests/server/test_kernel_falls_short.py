"""Limits of the kernel that are too low for the settings: one line at the start, and what it advises helps."""

from __future__ import annotations

import contextlib
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.cgroups import limited
from support.namespaces import own_network, run_inside, why_no_network
from support.server import Server, serve

from paste_unicorn.ops.kernel import read_kernel

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets limits of Linux")

NO_NETWORK = why_no_network() if sys.platform.startswith("linux") else "not on this system"
SAID = "these settings want"


def lines(server: Server) -> list[str]:
    """What was said of limits until the server was ready."""
    server.wait_for_log("[INFO] Serving ")
    return [line for line in server.log_text().splitlines() if SAID in line]


def advised(line: str) -> str:
    """The command that the line says."""
    found = re.search(r"Now: (.*?)(?: \(as root\))?\. To last: ", line)
    assert found is not None, line
    return found[1]


def follow(server: Server, command: str) -> str:
    """Run it, wait for what it reloads; what has been logged since."""
    before = len(server.log_text())
    run_inside(server.pid, ["sh", "-c", command])
    server.wait_for_log("[INFO] Generation 2 serves", after=before)
    return server.log_text()[before:]


@contextlib.contextmanager
def few_files(soft: int, hard: int, connections: int) -> Iterator[Server]:
    prefix = ["prlimit", f"--nofile={soft}:{hard}"]
    with serve(settings={"worker_connections": str(connections)}, prefix=prefix) as server:
        yield server


def files_of_worker(server: Server) -> tuple[int, int]:
    (worker,) = server.titled("unicorn: worker")
    return resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)


def test_with_the_limits_of_this_machine_nothing_is_said() -> None:
    kernel = read_kernel()
    assert kernel.files is not None
    if kernel.files < 1200 or (kernel.accept_queue or 0) < 2048:
        pytest.skip("the limits of this machine are too low for the default settings")
    with serve() as server:
        assert lines(server) == []


def test_open_files_are_raised_to_what_is_needed_without_a_word() -> None:
    with few_files(256, 3000, connections=2000) as server:
        assert lines(server) == []
        assert files_of_worker(server) == (2129, 3000)


def test_open_files_that_can_not_be_raised_are_said_and_the_advice_helps() -> None:
    with few_files(256, 1500, connections=2000) as server:
        (line,) = lines(server)
        assert "[WARNING] Open files of a process (RLIMIT_NOFILE): allowed is 1500, these settings want 2129: " in line
        assert files_of_worker(server) == (1500, 1500)
        assert advised(line) == f"prlimit --pid {server.pid} --nofile=2129:2129 && kill -HUP {server.pid}"
        try:
            log = follow(server, advised(line))
        except AssertionError as error:
            pytest.skip(f"the limit may not be raised here: {error}")
        assert SAID not in log
        assert files_of_worker(server) == (2129, 2129)


def test_a_backlog_above_what_the_kernel_takes_is_said() -> None:
    most = int(Path("/proc/sys/net/core/somaxconn").read_text())
    with serve(settings={"backlog": str(most + 1)}) as server:
        (line,) = lines(server)
        assert (
            f"(net.core.somaxconn): allowed is {most} for 127.0.0.1:{server.port}, these settings want {most + 1}"
            in line
        )


@pytest.mark.skipif(bool(NO_NETWORK), reason=f"no network namespace: {NO_NETWORK}")
def test_queues_that_are_too_short_are_said_and_the_advice_helps() -> None:
    values = {"core/somaxconn": 64, "ipv4/tcp_syncookies": 0, "ipv4/tcp_max_syn_backlog": 128}
    with serve(settings={"bind": "127.0.0.1:8080"}, prefix=own_network(values), ready=None) as server:
        accept, syn = lines(server)
        assert "(net.core.somaxconn): allowed is 64 for 127.0.0.1:8080, these settings want 2048" in accept
        assert "(net.ipv4.tcp_max_syn_backlog): allowed is 128, these settings want 2731" in syn
        assert advised(accept) == f"sysctl -w net.core.somaxconn=2048 && kill -HUP {server.pid}"
        assert advised(syn) == "sysctl -w net.ipv4.tcp_syncookies=1"
        log = follow(server, f"{advised(syn)} && {advised(accept)}")
        assert SAID not in log
        listening = run_inside(server.pid, ["ss", "--no-header", "--listening", "--tcp", "--numeric"])
        assert listening.split()[2] == "2048"  # Send-Q of a listener: how many may wait (`man 8 ss`)


@pytest.mark.skipif(bool(NO_NETWORK), reason=f"no network namespace: {NO_NETWORK}")
def test_a_reload_says_only_what_is_new() -> None:
    with serve(settings={"bind": "unix:{directory}/s"}, prefix=own_network({"core/somaxconn": 64})) as server:
        (line,) = lines(server)
        assert re.search(r"\(net\.core\.somaxconn\): allowed is 64\b.*, these settings want 2048", line)
        assert SAID not in follow(server, f"kill -HUP {server.pid}")


def into(group: Path) -> list[str]:
    """A command that starts another one in a control group."""
    return ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]


def test_a_control_group_with_too_few_processes_is_said_and_the_advice_helps() -> None:
    with (
        limited("pids", 10, ()) as group,
        serve(settings={"workers": "2"}, prefix=into(group)) as server,
    ):
        (line,) = lines(server)
        assert "Processes and threads of the control group (pids.max): allowed is 10, these settings want 15" in line
        assert advised(line) == f"echo 15 > {group}/pids.max"
        assert SAID not in follow(server, f"{advised(line)} && kill -HUP {server.pid}")


def test_a_control_group_with_too_little_memory_is_said_and_the_advice_helps() -> None:
    with (
        limited("memory", 400 << 20, ()) as group,
        serve(settings={"workers": "2", "max_worker_memory": "300m"}, prefix=into(group)) as server,
    ):
        (line,) = lines(server)
        assert "Memory of the control group: allowed is 400.0 MiB, these settings want 6" in line
        assert "max_worker_memory for each worker and the application once" in line
        assert str(group) in advised(line)
        subprocess.run(["sh", "-c", advised(line)], check=True)
        assert SAID not in follow(server, f"kill -HUP {server.pid}")
