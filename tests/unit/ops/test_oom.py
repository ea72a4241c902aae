"""Where the kernel counts the processes that it has ended for want of memory, in each layout of control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from paste_unicorn.ops.oom import OomCount, be_taken_first, count_kills

LAYOUTS: dict[str, tuple[dict[str, str], OomCount | None]] = {
    "v2": (
        {
            "proc/self/cgroup": "0::/system.slice/site.service\n",
            "sys/fs/cgroup/system.slice/site.service/memory.events": "low 0\nhigh 7\nmax 3\noom 3\noom_kill 2\n",
            "sys/fs/cgroup/system.slice/site.service/memory.max": "536870912\n",
            "proc/vmstat": "nr_free_pages 5\noom_kill 40\n",
        },
        OomCount(2, 536870912, True),
    ),
    "v2 without a limit": (
        {
            "proc/self/cgroup": "0::/a\n",
            "sys/fs/cgroup/a/memory.events": "oom_kill 0\noom_group_kill 5\n",
            "sys/fs/cgroup/a/memory.max": "max\n",
        },
        OomCount(0, None, True),
    ),
    "v2 as a container sees it": (
        {
            "proc/self/cgroup": "0::/\n",
            "sys/fs/cgroup/memory.events": "oom_kill 1\n",
            "sys/fs/cgroup/memory.max": "1000000\n",
        },
        OomCount(1, 1000000, True),
    ),
    "v2 with the host's path in a container": (
        {
            "proc/self/cgroup": "0::/docker/4711\n",
            "sys/fs/cgroup/memory.events": "oom_kill 1\n",
        },
        OomCount(1, None, True),
    ),
    "v1": (
        {
            "proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/lxc/a\n0::/\n",
            "sys/fs/cgroup/memory/lxc/a/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
            "sys/fs/cgroup/memory/lxc/a/memory.limit_in_bytes": "9223372036854771712\n",
        },
        OomCount(5, None, True),
    ),
    "no control group for memory": (
        {"proc/self/cgroup": "0::/\n", "proc/vmstat": "nr_free_pages 5\noom_kill 4\n"},
        OomCount(4),
    ),
    "a path with a colon": (
        {"proc/self/cgroup": "0::/a:b\n", "sys/fs/cgroup/a:b/memory.events": "oom_kill 6\n"},
        OomCount(6, None, True),
    ),
    "nothing to read": ({}, None),
    "nonsense": ({"proc/self/cgroup": "x\n::\n\n", "proc/vmstat": "oom_kill many\n"}, None),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_counter_is_found(layout: str, tmp_path: Path) -> None:
    files, expected = LAYOUTS[layout]
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert count_kills(str(tmp_path)) == expected


def test_on_this_system_it_is_a_count_or_nothing() -> None:
    count = count_kills()
    assert count is None or count.killed >= 0


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="needs Linux")
def test_a_worker_is_taken_before_its_parent_whatever_both_were_given() -> None:
    path = Path("/proc/self/oom_score_adj")
    before = int(path.read_text())
    pid = os.fork()
    if pid == 0:
        be_taken_first()
        once = int(path.read_text())
        path.write_text("1000")
        be_taken_first()
        os._exit(before < once <= 1000 and path.read_text() == "1000\n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert int(path.read_text()) == before
