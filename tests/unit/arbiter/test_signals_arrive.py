"""Signals become events, however many come at once; in a process of its own, whose signals they are."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, signal
from collections import Counter
from paste_unicorn.arbiter.signals import Signals

signals = Signals()
assert signals.arrived() == ([], False)
{send}
arrived, child_ended = signals.arrived()
print(sorted((one.name, count) for one, count in Counter(arrived).items()), child_ended)
print(signals.arrived())
"""


def run(send: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(send=send)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_each_of_thousands_of_signals_is_an_event() -> None:
    counts, nothing_left = run(
        "for _ in range(10_000):\n    for one in (signal.SIGTTIN, signal.SIGCHLD, signal.SIGTERM):\n"
        "        os.kill(os.getpid(), one)"
    )
    assert counts == "[('TERM', 10000), ('TTIN', 10000)] True"
    assert nothing_left == "([], False)"


def test_what_need_not_be_done_twice_is_done_once_in_the_order_of_the_last_time() -> None:
    program = PROGRAM.replace("print(sorted(", "print([one.name for one in arrived] or sorted(")
    names = "WINCH HUP TTIN USR1 HUP TTIN WINCH USR2 TTIN USR1"
    send = f"for name in {names.split()}:\n    os.kill(os.getpid(), signal.Signals['SIG' + name])"
    done = subprocess.run(
        [sys.executable, "-c", program.format(send=send)], capture_output=True, text=True, timeout=60, check=False,
        start_new_session=True,
    )  # fmt: skip
    assert done.stdout.startswith("['TTIN', 'HUP', 'TTIN', 'WINCH', 'USR2', 'TTIN', 'USR1']"), done.stderr


def test_children_are_looked_for_though_their_signal_found_no_room() -> None:
    counts, nothing_left = run(
        "for _ in range(70_000):\n    os.kill(os.getpid(), signal.SIGTTIN)\nos.kill(os.getpid(), signal.SIGCHLD)"
    )
    assert counts == "[('TTIN', 65536)] True"
    assert nothing_left == "([], False)"
