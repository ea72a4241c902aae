"""Workers that are to be replaced though nothing ails them: one after the other, the replacement ready first."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from situations import POLICY, Story, doings, sentences, serving

from paste_unicorn.arbiter.actions import AdoptGeneration, ForkWorker, SignalWorker
from paste_unicorn.arbiter.events import Signal, WorkerForked, WorkerReady, WorkerTired
from paste_unicorn.arbiter.state import Policy, SlotPhase

WHY = "it has answered 1000 requests (max_requests)"


def tired(story: Story, *slots: int) -> None:
    """These workers say that they have served long enough."""
    for slot in slots:
        story.tell(WorkerTired(slot, story.slot(slot).pid, WHY))


def replacement(story: Story, pid: int) -> int:
    """The one worker that has been ordered is forked and ready; its slot."""
    (slot,) = story.state.in_phase(SlotPhase.ORDERED)
    story.tell(WorkerForked(slot.number, 1, pid))
    story.tell(WorkerReady(slot.number, 1, pid))
    return slot.number


def ready(story: Story) -> int:
    return len(story.state.in_phase(SlotPhase.READY))


def test_the_replacement_of_a_tired_worker_is_ready_before_that_one_retires() -> None:
    story = serving(workers=2)
    assert doings(story.tell(WorkerTired(2, 102, WHY))) == [ForkWorker(1, 3, 3)]
    assert doings(story.tell(WorkerForked(3, 1, 103))) == []
    actions = story.tell(WorkerReady(3, 1, 103))
    assert doings(actions) == [SignalWorker(102, "TERM")]
    assert sentences(actions, "info") == f"Worker 2 (pid 102) retires: {WHY}"
    assert doings(story.ends(102), ForkWorker) == []
    assert story.phases(1) == {1: SlotPhase.READY, 3: SlotPhase.READY}


def test_a_worker_that_says_it_more_than_once_is_replaced_once() -> None:
    story = serving(workers=2)
    tired(story, 1, 1)
    replacement(story, 150)
    tired(story, 1)
    assert [slot.phase for slot in story.state.slots].count(SlotPhase.RETIRING) == 1
    assert story.state.in_phase(SlotPhase.ORDERED) == ()


def test_a_report_of_a_worker_that_has_gone_meanwhile_is_nobody_s() -> None:
    story = serving(workers=1)
    story.dies(101)
    story.tell(WorkerForked(1, 1, 150))
    story.tell(WorkerReady(1, 1, 150))
    assert story.tell(WorkerTired(1, 101, WHY)) == ()
    assert story.tell(WorkerTired(7, 107, WHY)) == ()
    assert story.slot(1).tired == ""


def test_all_that_are_tired_are_replaced_one_after_the_other_and_none_is_missing_meanwhile() -> None:
    story = serving(workers=4)
    tired(story, 1, 2, 3, 4)
    for pid in range(151, 155):
        assert len(story.state.in_phase(SlotPhase.ORDERED)) == 1
        assert ready(story) == 4
        replacement(story, pid)
        assert ready(story) == 4
        (leaving,) = story.state.in_phase(SlotPhase.RETIRING)
        story.ends(leaving.pid)
    assert story.state.in_phase(SlotPhase.ORDERED) == ()
    assert sorted(slot.pid for slot in story.state.slots) == [151, 152, 153, 154]


def test_a_tired_worker_waits_while_another_one_is_missing() -> None:
    story = serving(workers=2)
    tired(story, 1)
    story.dies(102)
    assert len(story.state.in_phase(SlotPhase.ORDERED)) == 2
    first, second = story.state.in_phase(SlotPhase.ORDERED)
    story.tell(WorkerForked(first.number, 1, 151))
    assert doings(story.tell(WorkerReady(first.number, 1, 151)), SignalWorker) == []
    story.tell(WorkerForked(second.number, 1, 152))
    assert doings(story.tell(WorkerReady(second.number, 1, 152)), SignalWorker) == [SignalWorker(101, "TERM")]


def test_a_tired_worker_stays_as_long_as_its_replacement_dies_at_birth() -> None:
    story = serving(workers=1)
    tired(story, 1)
    for pid in (151, 152, 153):
        (slot,) = story.state.in_phase(SlotPhase.ORDERED)
        story.tell(WorkerForked(slot.number, 1, pid))
        assert doings(story.fails(pid), SignalWorker, ForkWorker) == []
        assert story.phases(1) == {1: SlotPhase.READY}
        story.look(after_s=1.0)
    replacement(story, 154)
    assert story.slot(1).phase is SlotPhase.RETIRING


def test_fewer_workers_means_that_a_tired_one_goes_first() -> None:
    story = serving(workers=3)
    tired(story, 3)
    assert doings(story.signal(Signal.TTOU), SignalWorker) == [SignalWorker(103, "TERM")]
    # The replacement is not needed any more.
    (slot,) = story.state.in_phase(SlotPhase.ORDERED)
    assert story.tell(WorkerForked(slot.number, 1, 104)) == (SignalWorker(104, "TERM"),)
    assert ready(story) == 2


def test_nobody_is_replaced_for_being_tired_while_the_next_generation_comes() -> None:
    story = serving(workers=2)
    story.signal(Signal.HUP)
    tired(story, 1, 2)
    assert story.state.in_phase(SlotPhase.ORDERED) == ()
    story.loads(2)
    actions = story.come(2)
    assert doings(actions) == [AdoptGeneration(2), SignalWorker(101, "TERM"), SignalWorker(102, "TERM")]


def test_a_replacement_under_way_is_called_off_when_the_next_generation_comes() -> None:
    story = serving(workers=2)
    tired(story, 1)
    story.tell(WorkerForked(3, 1, 103))
    assert doings(story.signal(Signal.HUP), SignalWorker) == [SignalWorker(103, "TERM")]
    assert ready(story) == 2


def test_a_reload_that_fails_lets_recycling_go_on() -> None:
    story = serving(workers=2)
    story.signal(Signal.HUP)
    tired(story, 1)
    story.dies(200)
    story.tell(WorkerTired(1, 101, WHY))
    assert doings(story.look(), ForkWorker) == []
    story.loads(2)
    (slot, _) = story.state.in_phase(SlotPhase.ORDERED, of=2)
    story.tell(WorkerForked(slot.number, 2, 203))
    assert doings(story.fails(203), ForkWorker) == [ForkWorker(1, slot.number, story.state.last_age)]


# -- age -----------------------------------------------------------------------------------------------------


def lifetimes(policy: Policy, workers: int) -> list[float]:
    """The age at which each worker gets tired, in seconds to a tenth; each one's replacement never dies."""
    story = serving(workers=workers, policy=policy)
    story.now = 0.0
    ages: dict[int, float] = {}
    while len(ages) < workers:
        story.look(after_s=0.1)
        assert story.now < 1000
        for slot in story.state.slots:
            if slot.tired and slot.number <= workers:
                ages.setdefault(slot.number, story.now)
    return list(ages.values())


def test_a_worker_that_is_old_enough_is_replaced() -> None:
    story = serving(workers=1, policy=replace(POLICY, lifetime_s=3600.0))
    ready_since = story.slot(1).ready_since
    assert ready_since is not None
    story.now = ready_since + 3599.0
    assert doings(story.look()) == []
    assert doings(story.look(after_s=1.5)) == [ForkWorker(1, 2, 2)]
    replacement(story, 150)
    assert "it is 3600 s old (max_worker_lifetime)" in sentences(story.actions)
    story.ends(101)
    # The next one's time begins when it was ready.
    assert doings(story.look(after_s=3599.0)) == []
    assert doings(story.look(after_s=2.0), ForkWorker) != []


def test_a_lifetime_is_spread_over_all_of_its_jitter_so_that_no_two_are_tired_at_once() -> None:
    ages = lifetimes(replace(POLICY, lifetime_s=100.0, lifetime_jitter_s=100.0), workers=8)
    assert min(ages) >= 100.0
    assert max(ages) <= 200.2
    ages.sort()
    assert min(later - earlier for earlier, later in itertools.pairwise(ages)) > 4.0
    assert ages[-1] - ages[0] > 60.0


def test_without_jitter_all_that_are_as_old_are_tired_at_once_and_still_leave_one_by_one() -> None:
    story = serving(workers=3, policy=replace(POLICY, lifetime_s=100.0))
    story.look(after_s=200.0)
    assert [bool(slot.tired) for slot in story.state.in_phase(SlotPhase.READY)] == [True] * 3
    assert len(story.state.in_phase(SlotPhase.ORDERED)) == 1


def test_without_a_lifetime_nobody_is_too_old() -> None:
    story = serving(workers=1)
    assert doings(story.look(after_s=1e7)) == []


# -- memory --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("limit", "has", "is_tired"), [(100 << 20, 101 << 20, True), (100 << 20, 99 << 20, False),
                                                        (0, 1 << 40, False)])  # fmt: skip
def test_a_worker_that_is_too_large_is_replaced(limit: int, has: int, is_tired: bool) -> None:
    story = serving(workers=2, policy=replace(POLICY, most_memory=limit))
    story.look(memory={1: has})
    assert bool(story.slot(1).tired) is is_tired
    assert story.slot(2).tired == ""


def test_the_log_says_how_large_it_was() -> None:
    story = serving(workers=1, policy=replace(POLICY, most_memory=100 << 20))
    assert doings(story.look(memory={1: 150 << 20})) == [ForkWorker(1, 2, 2)]
    replacement(story, 150)
    assert "Worker 1 (pid 101) retires: it has 150.0 MiB of memory (max_worker_memory)" in sentences(story.actions)


def test_a_worker_is_judged_by_its_own_generation_s_limits() -> None:
    story = serving(workers=1, policy=replace(POLICY, most_memory=100 << 20))
    story.signal(Signal.HUP)
    story.loads(2, workers=1, policy=replace(POLICY, most_memory=200 << 20))
    story.come(2)
    story.look(memory={2: 150 << 20})
    assert story.slot(2).tired == ""
    story.look(memory={2: 250 << 20})
    assert story.slot(2).tired != ""
