"""What falls short of which settings, and what is said about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paste_unicorn.ops.kernel import UNLIMITED, Kernel
from paste_unicorn.ops.limits import OK, SHORT, UNKNOWN, Limit, Situation, limits
from paste_unicorn.settings.needs import Needs, needs_of
from paste_unicorn.settings.table.whole import settings_of

AMPLE = Kernel(
    system="linux",
    files=1 << 20,
    files_of_all=UNLIMITED,
    accept_queue=4096,
    syn_queue=4096,
    syn_cookies=1,
    first_port=32768,
    last_port=60999,
    time_wait_s=60.0,
    reuses_time_wait=2,
    tasks=UNLIMITED,
    tasks_of_user=UNLIMITED,
    memory=UNLIMITED,
    tasks_file="/sys/fs/cgroup/site/pids.max",
    memory_file="/sys/fs/cgroup/site/memory.max",
    user="site",
)
MAC = replace(AMPLE, system="darwin", accept_queue=128, syn_queue=None, syn_cookies=None, reuses_time_wait=None)
RUNNING = Situation(pid=4711)


def needs(**settings: object) -> Needs:
    return needs_of(settings_of(settings))


def judged(kernel: Kernel, situation: Situation = RUNNING, **settings: object) -> dict[str, Limit]:
    """By the first word that tells them apart: what stands in the brackets of the name."""
    return {limit.name: limit for limit in limits(kernel, needs(**settings), situation)}


def short(kernel: Kernel, situation: Situation = RUNNING, **settings: object) -> list[str]:
    return [str(one) for one in judged(kernel, situation, **settings).values() if one.verdict == SHORT]


def test_a_worker_needs_a_file_for_each_connection_and_some_more() -> None:
    assert needs(worker_connections=1000).files == 1000 + 1 + 128
    assert needs(worker_connections=1000, spool_request_body=65536).files == 2000 + 1 + 128


def test_each_worker_has_a_limit_of_its_own_and_all_share_the_systems() -> None:
    wanted = needs(worker_connections=1000, workers=8)
    assert (wanted.files, wanted.files_of_all, wanted.connections) == (1129, 8 * 1129, 8000)


def test_a_reload_needs_the_processes_of_two_generations() -> None:
    assert needs(workers=4).tasks == 2 * 4 * 3 + 3
    assert needs(workers=4, reload_mode="retire_first").tasks == 4 * 3 + 3


def test_where_nothing_falls_short_nothing_is_said() -> None:
    assert short(AMPLE) == []


@pytest.mark.parametrize(
    ("changes", "settings", "said"),
    [
        (
            {"files": 4096},
            {"worker_connections": 10000},
            "Open files of a process (RLIMIT_NOFILE): allowed is 4096, these settings want 10129: a worker may have "
            "worker_connections and some files more; those that it can't open wait in the kernel's queue. Now: prlimit "
            "--pid 4711 --nofile=10129:10129 && kill -HUP 4711 (as root). To last: site - nofile 10129 in "
            "/etc/security/limits.d/90-unicorn.conf, or LimitNOFILE=10129 in a unit of systemd",
        ),
        (
            {"files": 4096, "unit": "site.service"},
            {"worker_connections": 10000},
            "To last: systemctl edit site.service: LimitNOFILE=10129 below [Service]",
        ),
        (
            {"files": 4096, "in_container": True},
            {"worker_connections": 10000},
            "To last: --ulimit nofile=10129:10129 where the container is defined (docker run, podman run)",
        ),
        (
            {"files_of_all": 5000},
            {"workers": 8},
            "Open files of the whole system (fs.file-max): allowed is 5000, these settings want 9032: all processes of "
            "the system share it, and the connections of all workers are files. Now: sysctl -w fs.file-max=18064. To "
            "last: fs.file-max = 18064 in /etc/sysctl.d/90-unicorn.conf",
        ),
        (
            {"accept_queue": 128},
            {},
            "Connections that wait to be accepted (net.core.somaxconn): allowed is 128, these settings want 2048: "
            "backlog = 2048 is cut to that in silence, and when many come at once, connections beyond it are dropped. "
            "Now: sysctl -w net.core.somaxconn=2048 && kill -HUP 4711. To last: net.core.somaxconn = 2048 in "
            "/etc/sysctl.d/90-unicorn.conf",
        ),
        (
            {"accept_queue": 128, "in_container": True},
            {},
            "Now: not from inside of a container: start it anew with --sysctl net.core.somaxconn=2048 (docker run, "
            "podman run). To last: --sysctl net.core.somaxconn=2048 where the container is defined, in Kubernetes "
            "securityContext.sysctls of the pod",
        ),
        (
            {"syn_cookies": 0, "syn_queue": 2048},
            {},
            "Handshakes under way (net.ipv4.tcp_max_syn_backlog): allowed is 2048, these settings want 2731: "
            "handshakes that have begun wait in it, and three quarters of it are for everybody. Now: sysctl -w "
            "net.ipv4.tcp_syncookies=1. To last: net.ipv4.tcp_syncookies = 1 in /etc/sysctl.d/90-unicorn.conf",
        ),
        (
            {"tasks": 20},
            {"workers": 4},
            "Processes and threads of the control group (pids.max): allowed is 20, these settings want 27: up to 8 "
            "workers are there at a time, with their threads; beyond the limit no worker can be forked, and a reload "
            "fails. Now: echo 27 > /sys/fs/cgroup/site/pids.max. To last: whoever makes the control group of "
            "/sys/fs/cgroup/site/pids.max has to write it",
        ),
        (
            {"tasks": 20, "unit": "site.service"},
            {"workers": 4},
            "Now: systemctl set-property --runtime site.service TasksMax=27. To last: systemctl set-property "
            "site.service TasksMax=27",
        ),
        (
            {"tasks_of_user": 20},
            {"workers": 4},
            "Now: prlimit --pid 4711 --nproc=27:27 && kill -HUP 4711 (as root). To last: site - nproc 27 in",
        ),
        (
            {"memory": 200 << 20},
            {"workers": 4, "max_worker_memory": 64 << 20},
            "Memory of the control group: allowed is 200.0 MiB, these settings want 256.0 MiB: that is "
            "max_worker_memory for each worker, without the application; beyond the limit the kernel kills a worker. "
            "Now: echo 288M > /sys/fs/cgroup/site/memory.max. To last: whoever makes the control group of",
        ),
        (
            {"first_port": 50000, "last_port": 50999},
            {"workers": 2},
            "Ports for connections from here (net.ipv4.ip_local_port_range): allowed is 50000 to 50999: 1000 ports, "
            "these settings want 2000: more connections at a time can't lead from this machine to one address",
        ),
        (
            {"reuses_time_wait": 0},
            {},
            "Ports that rest after their connection, TIME_WAIT (net.ipv4.tcp_tw_reuse): allowed is 470 a "
            "second, these settings want 1000 a second: a port rests for 60 s when its connection was closed on this "
            "side, and soon all do. Now: sysctl -w net.ipv4.tcp_tw_reuse=1.",
        ),
    ],
)  # fmt: skip
def test_what_falls_short_is_one_line_that_says_what_to_do(
    changes: dict[str, object], settings: dict[str, object], said: str
) -> None:
    (sentence,) = short(replace(AMPLE, **changes), **settings)
    assert said in sentence
    assert "\n" not in sentence


def test_on_macos_it_is_said_in_its_words() -> None:
    kernel = replace(MAC, first_port=49152, last_port=65535, time_wait_s=30.0, files=10240)
    queue, rest = short(kernel)
    assert "(kern.ipc.somaxconn): allowed is 128, these settings want 2048" in queue
    assert "Now: sudo sysctl kern.ipc.somaxconn=2048 && kill -HUP 4711. To last: a LaunchDaemon in" in queue
    assert "(net.inet.tcp.msl): allowed is 546 a second" in rest
    assert "Now: sudo sysctl net.inet.tcp.msl=8192." in rest
    ports = short(kernel, workers=20)[1]
    assert "(net.inet.ip.portrange.first): allowed is 49152 to 65535: 16384 ports, these settings want 20000" in ports
    assert "Now: sudo sysctl net.inet.ip.portrange.first=10240." in ports


def test_what_the_kernel_took_for_a_listener_counts_more_than_what_it_says() -> None:
    situation = Situation(pid=1, taken=64, address="127.0.0.1:8080")
    (sentence,) = short(AMPLE, situation, backlog=100)
    assert "allowed is 64 for 127.0.0.1:8080, these settings want 100" in sentence
    assert short(replace(AMPLE, accept_queue=50), replace(situation, taken=100), backlog=100) == []


def test_handshakes_are_nobodys_concern_with_cookies_or_without_tcp() -> None:
    few = replace(AMPLE, syn_queue=128)
    assert short(few) == []
    without_tcp = needs_of(settings_of({"bind": ()}))
    assert not any("Handshakes" in one.name for one in limits(replace(few, syn_cookies=0), without_tcp, RUNNING))


def test_what_the_application_needs_is_counted_where_it_is_known() -> None:
    kernel = replace(AMPLE, memory=64 << 20)
    memory = judged(kernel)["Memory of the control group"]
    assert memory.verdict == UNKNOWN  # it was not loaded
    assert judged(kernel, replace(RUNNING, application=30 << 20))["Memory of the control group"].verdict == OK
    (sentence,) = short(kernel, replace(RUNNING, application=60 << 20))
    assert "want 66.0 MiB: that is the least that the workers need and the application once" in sentence


def test_what_is_not_known_is_neither_fine_nor_short() -> None:
    unknown = Kernel("linux", *[None] * 12)  # type: ignore[arg-type]
    assert {one.verdict for one in limits(unknown, needs(), RUNNING)} == {UNKNOWN}


def test_what_stops_clients_alone_is_marked() -> None:
    marked = [one.name for one in limits(AMPLE, needs(), RUNNING) if one.concerns_clients]
    assert [name.partition(" ")[0] for name in marked] == ["Ports", "Ports"]
