"""Tracebacks of all threads when the arbiter asks, and on SIGABRT, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.server import wait_for

from paste_unicorn.ops import backtraces

PROGRAM = """
import os, signal, sys, threading, time
{before}
from paste_unicorn.ops import backtraces

def handler(signum, frame):
    print("python handler ran", flush=True)
    os._exit(9)

for _ in range({times}):  # as in a template, and in a worker that is forked from it
    if {with_handler}:
        signal.signal(signal.SIGABRT, handler)
        signal.signal(backtraces.ASK, handler)
    backtraces.arm(2)

stuck = threading.Event()

def stuck_in_thread():
    stuck.set()
    time.sleep(60)

def stuck_in_c():
    sum(range(10**13))  # holds the GIL and looks at no signal

threading.Thread(target=stuck_in_thread, daemon=True).start()
stuck.wait()
print("ready", flush=True)
{do}
"""


BOTH = [signal.SIGABRT, backtraces.ASK]


def start(do: str, *, with_handler: bool, before: str = "", times: int = 1) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(do=do, with_handler=with_handler, before=before, times=times)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def run(number: signal.Signals, **options: Any) -> tuple[int, str, str]:
    process = start("time.sleep(60)", **options)
    process.send_signal(number)
    try:
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.mark.parametrize("number", BOTH)
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("before", ["", "import faulthandler; faulthandler.enable()"])
def test_all_threads_are_written_and_then_the_python_handler_runs(
    before: str, times: int, number: signal.Signals
) -> None:
    code, out, err = run(number, with_handler=True, before=before, times=times)
    assert "stuck_in_thread" in err
    assert err.count("(most recent call first)") == 2
    assert (code, out) == (9, "python handler ran\n")


@pytest.mark.parametrize("number", BOTH)
@pytest.mark.parametrize("times", [1, 2])
def test_without_a_python_handler_the_process_dies_of_the_signal(number: signal.Signals, times: int) -> None:
    code, _, err = run(number, with_handler=False, times=times)
    assert "stuck_in_thread" in err
    assert code == -number


def test_who_is_asked_is_not_called_fatal_but_who_aborts_is() -> None:
    assert "Fatal" not in run(backtraces.ASK, with_handler=True)[2]
    assert "Fatal Python error: Aborted" in run(signal.SIGABRT, with_handler=True)[2]


def _wait_until_busy(pid: int) -> None:
    """Until it has computed for a fifth of a second, its start not counted: by then it is inside the C function."""
    enough = _ticks(pid) + 0.2 * os.sysconf("SC_CLK_TCK")
    wait_for(lambda: _ticks(pid) >= enough, "it computes")


def _ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])


@pytest.mark.parametrize("number", BOTH)
def test_they_come_from_within_c_code_that_never_gives_python_a_turn(number: signal.Signals) -> None:
    process = start("stuck_in_c()", with_handler=True)
    assert process.stderr is not None
    try:
        _wait_until_busy(process.pid)
        process.send_signal(number)
        lines: list[str] = []
        while not any("stuck_in_c" in line for line in lines):
            line = process.stderr.readline()
            assert line, lines
            lines.append(line)
    finally:
        process.kill()
        process.communicate()
