"""What the kernel says of a process's memory: its own, and what it shares with whom it was forked from."""

from __future__ import annotations

import gc
import os
import signal
import sys

import pytest

from paste_unicorn.ops.memory import mebibytes, private_bytes, resident_bytes

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc as Linux has it")

MANY = 64 * 2**20


def test_a_child_shares_what_its_parent_has_and_owns_what_it_writes() -> None:
    shared = bytearray(b"x" * MANY)
    reader, writer = os.pipe()
    gc.disable()  # whoever collects writes all over what the two share
    pid = os.fork()
    if pid == 0:
        own = bytearray(b"y" * (MANY // 2))
        os.write(writer, own[:1])
        signal.pause()
        os._exit(0)
    try:
        assert os.read(reader, 1) == b"y"
        resident, private = resident_bytes(pid), private_bytes(pid)
        assert resident is not None
        assert private is not None
        assert resident > MANY
        assert MANY // 2 <= private < MANY + MANY // 2  # and what else the two have written meanwhile
    finally:
        gc.enable()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)
    assert len(shared) == MANY


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert (resident_bytes(pid), private_bytes(pid)) == (None, None)


def test_of_a_zombie_nothing_is_known_either() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert not resident_bytes(pid)
    assert private_bytes(pid) is None
    os.waitpid(pid, 0)


def test_sizes_are_written_for_people() -> None:
    assert mebibytes(3 * 2**19) == "1.5 MiB"
