"""Tracebacks of all threads on SIGABRT, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, sys, threading, time
{before}
from paste_unicorn.ops import backtraces

def handler(signum, frame):
    print("python handler ran", flush=True)
    os._exit(9)

if {with_handler}:
    signal.signal(signal.SIGABRT, handler)
backtraces.arm(2)

def stuck_in_thread():
    time.sleep(60)

def stuck_in_c():
    sum(range(10**13))  # holds the GIL and looks at no signal

threading.Thread(target=stuck_in_thread, daemon=True).start()
print("ready", flush=True)
{do}
"""


def run(do: str, *, with_handler: bool, before: str = "") -> tuple[int, str, str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(do=do, with_handler=with_handler, before=before)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGABRT)
    try:
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.mark.parametrize("before", ["", "import faulthandler; faulthandler.enable()"])
def test_all_threads_are_written_and_then_the_python_handler_runs(before: str) -> None:
    code, out, err = run("time.sleep(60)", with_handler=True, before=before)
    assert "stuck_in_thread" in err
    assert err.count("(most recent call first)") == 2
    assert (code, out) == (9, "python handler ran\n")


def test_without_a_python_handler_the_process_dies_of_the_signal() -> None:
    code, _, err = run("time.sleep(60)", with_handler=False)
    assert "stuck_in_thread" in err
    assert code == -signal.SIGABRT


def _wait_until_busy(pid: int) -> None:
    """Until it has computed for a fifth of a second: by then it is inside the C function."""
    deadline = time.monotonic() + 20
    ticks = 0
    while ticks < 0.2 * os.sysconf("SC_CLK_TCK"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


def test_they_come_from_within_c_code_that_never_gives_python_a_turn() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(do="stuck_in_c()", with_handler=True, before="")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert process.stdout.readline() == "ready\n"
        _wait_until_busy(process.pid)
        process.send_signal(signal.SIGABRT)
        lines: list[str] = []
        while not any("stuck_in_c" in line for line in lines):
            line = process.stderr.readline()
            assert line, lines
            lines.append(line)
    finally:
        process.kill()
        process.communicate()
