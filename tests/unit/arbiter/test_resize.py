"""TTIN and TTOU."""

from __future__ import annotations

from dataclasses import replace

from situations import POLICY, doings, serving, starting

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
    assert story.slot(1).phase is SlotPhase.RETIRING
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
    # The one that is ready stays, though it is the older one: it completes the start.
    actions = story.signal(Signal.TTOU)
    assert AnnounceServing(1) in actions
    assert doings(actions, SignalWorker) == [SignalWorker(102, "TERM")]
    assert story.phases(1) == {1: SlotPhase.READY, 2: SlotPhase.RETIRING}


def test_ttou_while_workers_are_only_ordered_leaves_no_surplus() -> None:
    story = starting(workers=3)
    story.signal(Signal.TTOU)
    story.signal(Signal.TTOU)
    assert list(story.phases(1).values()) == [SlotPhase.ORDERED] * 3
    story.come(1)
    assert [slot.phase for slot in story.state.slots].count(SlotPhase.READY) == 1
    for slot in story.state.in_phase(SlotPhase.RETIRING):
        assert doings(story.ends(slot.pid), ForkWorker) == []
    assert list(story.phases(1).values()) == [SlotPhase.READY]


def test_ttou_after_ttin_leaves_no_surplus_though_the_new_worker_is_only_ordered() -> None:
    story = serving(workers=2)
    story.signal(Signal.TTIN)
    assert doings(story.signal(Signal.TTOU), SignalWorker) == []
    assert doings(story.tell(WorkerForked(3, 1, 103))) == [SignalWorker(103, "TERM")]
    assert story.phases(1) == {1: SlotPhase.READY, 2: SlotPhase.READY, 3: SlotPhase.RETIRING}


def test_ttin_and_ttou_in_any_order_end_in_the_number_that_was_asked_for() -> None:
    story = serving(workers=2)
    for signal in (Signal.TTIN, Signal.TTIN, Signal.TTOU, Signal.TTIN, Signal.TTOU, Signal.TTOU, Signal.TTIN):
        story.signal(signal)
    for slot in story.state.in_phase(SlotPhase.ORDERED):
        story.tell(WorkerForked(slot.number, 1, 100 + slot.number))
        story.tell(WorkerReady(slot.number, 1, 100 + slot.number))
    assert len(story.state.in_phase(SlotPhase.READY)) == story.state.wanted == 3


def test_ttou_wakes_nobody_who_rests_until_the_next_generation_comes() -> None:
    story = serving(workers=3)
    story.signal(Signal.WINCH)
    for pid in (101, 102, 103):
        story.ends(pid)
    story.signal(Signal.HUP)
    assert not doings(story.signal(Signal.TTOU), ForkWorker)
    assert len(doings(story.loads(2, workers=3), ForkWorker)) == 2
