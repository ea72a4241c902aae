"""Whose memory is looked at, how often, and what is said where the kernel doesn't tell."""

from __future__ import annotations

import logging
import os
import signal
import sys
from dataclasses import replace

import pytest

from paste_unicorn.arbiter.state import Arbiter, Generation, Phase, Policy, Slot, SlotPhase, Standing, TemplatePhase
from paste_unicorn.arbiter.weighing import WEIGH_S, Weighing

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc as Linux has it")


def state(pid: int, **policy: object) -> Arbiter:
    known = replace(Policy(), **policy)  # type: ignore[arg-type]
    generation = Generation(1, TemplatePhase.READY, 0.0, 5, standing=Standing.SERVING, policy=known)
    slots = (
        Slot(1, 1, 1, SlotPhase.READY, 0.0, pid),
        Slot(2, 1, 2, SlotPhase.STARTING, 0.0, pid),
        Slot(3, 1, 3, SlotPhase.RETIRING, 0.0, pid),
    )
    return Arbiter(phase=Phase.SERVING, wanted=1, policy=known, generations=(generation,), slots=slots)


def weighing() -> Weighing:
    return Weighing(lambda: logging.getLogger("gunicorn.error"))


def test_nobody_is_weighed_without_a_limit() -> None:
    assert weighing().weigh(state(os.getpid()), 1.0) == {}


@pytest.mark.parametrize("kind", ["private", "rss"])
def test_the_ready_ones_are_weighed_now_and_then(kind: str) -> None:
    scales, limited = weighing(), state(os.getpid(), most_memory=5, memory_kind=kind)
    weights = scales.weigh(limited, 1.0)
    assert list(weights) == [1]
    assert weights[1] > 2**20
    assert scales.weigh(limited, 1.0 + WEIGH_S / 2) == {}
    assert list(scales.weigh(limited, 1.0 + WEIGH_S)) == [1]


def sleeping_child() -> int:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    return pid


def test_many_take_turns_so_that_the_arbiter_is_never_busy_with_them_for_long() -> None:
    pids = [sleeping_child() for _ in range(16)]
    try:
        limited = replace(
            state(0, most_memory=5),
            slots=tuple(Slot(number, 1, number, SlotPhase.READY, 0.0, pid) for number, pid in enumerate(pids, 1)),
        )
        scales = weighing()
        turns = [list(scales.weigh(limited, 1.0 + turn / 2)) for turn in range(10)]
        assert turns == [[first, first + 1] for first in range(1, 16, 2)] + [[], []]
        assert list(scales.weigh(limited, 1.0 + WEIGH_S)) == [1, 2]
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def warnings_of(pid: int) -> list[str]:
    records: list[logging.LogRecord] = []
    logger = logging.Logger("of this test alone")
    logger.addFilter(lambda record: records.append(record) is not None)
    scales, limited = Weighing(lambda: logger), state(pid, most_memory=5)
    assert [scales.weigh(limited, at) for at in (1.0, 100.0)] == [{}, {}]
    return [record.getMessage() for record in records]


def test_of_a_worker_that_has_just_gone_nothing_is_said() -> None:
    assert warnings_of(2**22 + 1) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a process of another user")
def test_what_the_kernel_does_not_tell_is_said_once() -> None:
    """As in a container, where root has no CAP_SYS_PTRACE and workers have another user."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setuid(65534)
            said = warnings_of(parent)
            code = 0 if [line[:32] for line in said] == ["max_worker_memory has no effect:"] else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
