"""What the kernel allows, out of the texts of Linux and macOS."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from paste_unicorn.ops.kernel import UNLIMITED, Kernel, Text, read_linux, read_macos

LINUX = {
    "/proc/self/cgroup": "0::/system.slice/site.service\n",
    "/proc/sys/fs/file-max": "9223372036854775807\n",
    "/proc/sys/net/core/somaxconn": "128\n",
    "/proc/sys/net/ipv4/tcp_max_syn_backlog": "512\n",
    "/proc/sys/net/ipv4/tcp_syncookies": "0\n",
    "/proc/sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
    "/proc/sys/net/ipv4/tcp_tw_reuse": "2\n",
}
MACOS = {
    "kern.ipc.somaxconn": "128\n",
    "kern.maxfiles": "245760\n",
    "kern.maxfilesperproc": "122880\n",
    "net.inet.tcp.msl": "15000\n",
    "net.inet.ip.portrange.first": "49152\n",
    "net.inet.ip.portrange.last": "65535\n",
}
V2 = "/sys/fs/cgroup/system.slice"


def out_of(texts: Mapping[str, str]) -> Text:
    return lambda name: texts.get(name, "")


def linux(more: Mapping[str, str]) -> Kernel:
    return read_linux(out_of({**LINUX, **more}), 4096, UNLIMITED, "site")


def test_linux_tells_in_files() -> None:
    assert linux({}) == Kernel(
        system="linux",
        files=4096,
        files_of_all=9223372036854775807,
        accept_queue=128,
        syn_queue=512,
        syn_cookies=0,
        first_port=32768,
        last_port=60999,
        time_wait_s=60.0,
        reuses_time_wait=2,
        tasks=UNLIMITED,
        tasks_of_user=UNLIMITED,
        memory=UNLIMITED,
        unit="site.service",
        user="site",
    )


def test_macos_tells_by_sysctl() -> None:
    assert read_macos(out_of(MACOS), UNLIMITED, 2666, "site") == Kernel(
        system="darwin",
        files=122880,
        files_of_all=245760,
        accept_queue=128,
        syn_queue=None,
        syn_cookies=None,
        first_port=49152,
        last_port=65535,
        time_wait_s=30.0,
        reuses_time_wait=None,
        tasks=UNLIMITED,
        tasks_of_user=2666,
        memory=UNLIMITED,
        user="site",
    )


@pytest.mark.parametrize("read", [read_linux, read_macos])
def test_what_is_not_there_is_not_known(read: type[Kernel]) -> None:
    known = read(out_of({}), 1024, 100)
    numbers = (known.files_of_all, known.accept_queue, known.syn_queue, known.first_port, known.reuses_time_wait)
    assert numbers == (None, None, None, None, None)
    assert known.files == 1024


@pytest.mark.parametrize(
    ("texts", "memory", "file"),
    [
        ({f"{V2}/site.service/memory.max": "max\n"}, UNLIMITED, f"{V2}/site.service/memory.max"),
        ({f"{V2}/site.service/memory.max": "1000\n", f"{V2}/memory.max": "700\n"}, 700, f"{V2}/memory.max"),
        (
            {f"{V2}/site.service/memory.high": "600\n", f"{V2}/memory.max": "700\n"},
            600,
            f"{V2}/site.service/memory.high",
        ),
        ({"/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/memory.max": "900\n"}, 900, "/sys/fs/cgroup/memory.max"),
        (
            {"/proc/self/cgroup": "4:cpu,memory:/a\n0::/\n", "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "800\n"},
            800,
            "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
        ),
        (
            {"/proc/self/cgroup": "0::/host/4711\n", "/sys/fs/cgroup/memory.max": "50\n"},
            50,
            "/sys/fs/cgroup/memory.max",
        ),
        ({"/proc/self/cgroup": ""}, None, ""),
    ],
)
def test_the_lowest_limit_of_all_control_groups_around_us_counts(
    texts: Mapping[str, str], memory: int | None, file: str
) -> None:
    known = linux(texts)
    assert (known.memory, known.memory_file) == (memory, file)


def test_the_number_of_tasks_is_read_in_the_same_way() -> None:
    known = linux({f"{V2}/site.service/pids.max": "30\n", f"{V2}/pids.max": "max\n"})
    assert (known.tasks, known.tasks_file) == (30, f"{V2}/site.service/pids.max")
