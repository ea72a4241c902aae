"""Tests that run at the same time start their servers on ports of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.ports import free_port

PROGRAM = (
    "import sys; from support.ports import free_port; print(*(free_port() for _ in range(40)), flush=True); input()"
)


def test_processes_that_ask_at_the_same_time_are_given_different_ports() -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    given = [free_port() for _ in range(40)]
    askers = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for asker in askers:
        assert asker.stdout is not None
        given += map(int, asker.stdout.readline().split())
    for asker in askers:
        asker.communicate("\n")
    assert len(given) == len(set(given)) == 160
