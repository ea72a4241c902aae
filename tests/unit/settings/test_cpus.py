"""How many workers `auto` is: affinity, and the quota of every control group above us."""

from __future__ import annotations

from pathlib import Path

import pytest

from paste_unicorn.settings.cpus import usable_cpus


@pytest.fixture(autouse=True)
def eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)


def put(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return str(root)


CASES = {
    "no groups at all": ({}, 8),
    "version 2, no limit": ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n"}, 8),
    "version 2, our own": ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "200000 100000\n"}, 2),
    "version 2, of the group above": (
        {
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/cpu.max": "300000 100000\n",
            "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
        },
        3,
    ),
    "version 2, in a container": (
        {"proc/self/cgroup": "0::/host/path\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"},
        2,
    ),
    "version 2, less than one": ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1),
    "version 2, more than there are": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "9900000 100000\n"},
        8,
    ),
    "version 1": (
        {
            "proc/self/cgroup": "4:cpu,cpuacct:/a\n3:memory:/a\n",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "400000\n",
            "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
        },
        4,
    ),
    "version 1, under its own name, no limit": (
        {
            "proc/self/cgroup": "4:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        8,
    ),
    "nonsense": ({"proc/self/cgroup": "nonsense\n\n0::\n", "sys/fs/cgroup/cpu.max": "x y\n"}, 8),
}


@pytest.mark.parametrize("case", CASES)
def test_processors_that_may_be_used(tmp_path: Path, case: str) -> None:
    files, cpus = CASES[case]
    assert usable_cpus(put(tmp_path, files)) == cpus


def test_affinity_counts_where_it_is_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3}, raising=False)
    assert usable_cpus(put(tmp_path, CASES["version 2, our own"][0])) == 1
