"""Signals that wait together are all delivered, though handlers run on the small stack that faulthandler asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import faulthandler, os, signal, sys
from paste_unicorn.process import signal_stack

if {enabled}:
    faulthandler.enable()
signal_stack.widen()
signal_stack.widen()
kinds = sorted(signal.valid_signals() - {{
    signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT,
    signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT,
}})
came = set()
for number in kinds:
    signal.signal(number, lambda number, frame: came.add(number))
signal.pthread_sigmask(signal.SIG_BLOCK, kinds)
for number in kinds:
    os.kill(os.getpid(), number)
signal.pthread_sigmask(signal.SIG_UNBLOCK, kinds)
print(len(kinds) - len(came), len(came) > 50)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the alternate stack is large")
@pytest.mark.parametrize("enabled", [True, False])
def test_every_kind_of_signal_may_be_pending_at_once(enabled: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(enabled=enabled)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "0 True\n"), done.stderr
