"""TTIN and TTOU."""

from __future__ import annotations

from dataclasses import replace

from situations import POLICY, serving, starting

from paste_unicorn.arbiter.actions import AnnounceServing, AnnounceWorkers, ForkWorker, Say, SignalWorker
from paste_unicorn.arbiter.events import Signal, WorkerForked, WorkerReady
from paste_unicorn.arbiter.state import SlotPhase


def test_ttin_orders_a_worker_in_the_lowest_empty_slot() -> None:
    story = serving(workers=2)
    actions = story.signal(Signal.TTIN)
    assert actions[1:] == (AnnounceWorkers(3, 2), ForkWorker(1, 3, 3))


def test_ttin_stops_at_the_most_that_there_can_be() -> None:
    story = serving(workers=2, policy=replace(POLICY, most_workers=2))
    (said,) = story.signal(Signal.TTIN)
    assert isinstance(said, Say)
    assert story.state.wanted == 2


def test_ttou_retires_the_oldest_worker_and_does_not_replace_it() -> None:
    story = serving(workers=3)
    actions = story.signal(Signal.TTOU)
    assert actions[1:] == (AnnounceWorkers(2, 3), SignalWorker(101, "TERM"))
    slot = story.state.slot(1)
    assert slot is not None
    assert slot.phase is SlotPhase.RETIRING
    assert not any(isinstance(action, ForkWorker) for action in story.ends(101))


def test_the_last_worker_stays() -> None:
    story = serving(workers=2)
    story.signal(Signal.TTOU)
    (said,) = story.signal(Signal.TTOU)
    assert isinstance(said, Say)
    assert story.state.wanted == 1


def test_ttou_while_starting_may_complete_the_start() -> None:
    story = starting(workers=2)
    story.tell(WorkerForked(1, 1, 101))
    story.tell(WorkerReady(1, 1, 101))
    story.tell(WorkerForked(2, 1, 102))
    actions = story.signal(Signal.TTOU)
    # The oldest goes, though it is the one that is ready: the other one completes the start.
    assert SignalWorker(101, "TERM") in actions
    assert AnnounceServing(1) in story.tell(WorkerReady(2, 1, 102))
