"""What should have happened by now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from situations import (
    POLICY,
    TEMPLATE,
    Story,
    doings,
    reloading,
    sentences,
    serving,
    starting,
    without_template,
    worker_pid,
)  # fmt: skip

from paste_unicorn.arbiter.actions import Action, ForkWorker, KillTemplate, ReportRunning, SignalWorker, StartTemplate
from paste_unicorn.arbiter.events import Signal, WorkerForked
from paste_unicorn.arbiter.rules.overdue import next_look
from paste_unicorn.arbiter.state import SlotPhase


def signals(actions: tuple[Action, ...]) -> list[Action]:
    return [action for action in actions if isinstance(action, SignalWorker)]


def stuck(story: Story) -> tuple[Action, ...]:
    """Worker 1 makes no progress any more."""
    last = story.now
    story.look({1: last}, after_s=30.1)
    return story.look({1: last}, after_s=0.6)


def test_a_stuck_worker_tells_its_tracebacks_and_its_requests_before_it_is_killed_and_replaced() -> None:
    story = serving()
    actions = stuck(story)
    assert doings(actions) == [ReportRunning(1, 101), SignalWorker(101, "ABRT"), ForkWorker(1, 3, 3)]
    assert signals(story.look(after_s=0.5)) == []
    assert signals(story.look(after_s=0.6)) == [SignalWorker(101, "KILL")]
    assert not any(isinstance(action, ForkWorker) for action in story.dies(101))


def test_of_several_stuck_workers_one_after_the_other_tells_its_tracebacks() -> None:
    """In one log they would come mixed."""
    story = serving()
    last = story.now
    story.look({1: last, 2: last}, after_s=30.1)
    assert signals(story.look({1: last, 2: last}, after_s=0.6)) == [SignalWorker(101, "ABRT")]
    assert signals(story.look({2: last}, after_s=0.1)) == []
    assert signals(story.look({2: last}, after_s=0.4)) == [SignalWorker(102, "ABRT")]


def test_a_worker_that_seems_stuck_gets_a_second_look() -> None:
    story = serving()
    last = story.now
    assert story.look({1: last}, after_s=30.1) == ()
    assert story.look({1: last}, after_s=0.1) == ()
    assert story.look({1: story.now}, after_s=0.2) == ()
    assert story.look({1: last}, after_s=0.6) == ()  # its heartbeat can't go back, but if: it begins anew


def test_a_worker_is_not_overdue_before_it_has_had_its_time_since_it_was_ready() -> None:
    story = serving()
    story.look({1: -1000.0})
    assert story.look({1: -1000.0}, after_s=0.6) == ()


def test_timeout_0_means_never() -> None:
    story = serving(policy=replace(POLICY, timeout_s=0.0))
    assert stuck(story) == ()


def test_a_worker_that_is_not_ready_in_time_is_ended() -> None:
    story = starting(workers=1)
    story.tell(WorkerForked(1, 1, 101))
    assert signals(story.look(after_s=59.0)) == []
    assert signals(story.look(after_s=2.0)) == [SignalWorker(101, "ABRT")]


def test_a_template_that_does_not_load_in_time_tells_in_what_it_hangs_and_is_replaced() -> None:
    story = without_template()
    assert story.look(after_s=59.0) == ()
    actions = story.look(after_s=2.0)
    assert "Generation 2 has not loaded within boot_timeout (60 s)" in sentences(actions, "error")
    assert doings(actions, KillTemplate) == [KillTemplate(2, 200, "ABRT")]
    actions = story.look(after_s=1.0)
    assert doings(actions, KillTemplate) == []
    assert StartTemplate(3) in actions
    assert doings(story.dies(200)) == []


def test_a_template_that_does_not_die_of_telling_is_killed() -> None:
    story = without_template()
    story.look(after_s=61.0)
    assert KillTemplate(2, 200, "KILL") not in story.look(after_s=4.9)
    assert KillTemplate(2, 200, "KILL") in story.look(after_s=0.2)


def test_a_template_that_does_not_fork_in_time_is_killed() -> None:
    story = starting(workers=1)
    assert KillTemplate(1, 100) in story.look(after_s=61.0)


def test_a_reload_whose_workers_are_not_ready_in_time_fails_once_and_one_tells_in_what_it_hangs() -> None:
    story = reloading()
    story.loads(2)
    for slot in story.state.in_phase(SlotPhase.ORDERED, of=2):
        story.tell(WorkerForked(slot.number, 2, worker_pid(2, slot.number)))
    actions = story.look(after_s=61.0)
    assert sentences(actions, "error").startswith(
        "The reload failed: generation 2 has a worker that was not ready within boot_timeout (60 s), and its "
        "tracebacks follow; generation 1 goes on serving as it was\nCorrect it and send HUP again"
    )
    assert signals(actions) == [SignalWorker(203, "ABRT"), SignalWorker(204, "KILL")]
    assert signals(story.look(after_s=1.1)) == [SignalWorker(203, "KILL")]
    for pid in (203, 204):
        assert sentences(story.dies(pid), "error") == ""
    assert story.phases(1) == {1: SlotPhase.READY, 2: SlotPhase.READY}


def test_a_reload_whose_template_does_not_fork_in_time_fails_once() -> None:
    story = reloading()
    story.loads(2)
    actions = story.look(after_s=61.0)
    assert "generation 2 has not forked a worker within boot_timeout (60 s)" in sentences(actions, "error")
    assert doings(actions, KillTemplate) == [KillTemplate(2, 200, "ABRT")]
    assert sentences(story.dies(200), "error") == ""
    assert story.phases(1) == {1: SlotPhase.READY, 2: SlotPhase.READY}


def test_a_worker_that_does_not_retire_in_time_is_killed() -> None:
    story = serving(workers=2)
    story.signal(Signal.TTOU)
    assert signals(story.look(after_s=19.0)) == []
    assert signals(story.look(after_s=2.0)) == [SignalWorker(101, "KILL")]
    assert story.slot(1).phase is SlotPhase.KILLED


@pytest.mark.parametrize(("graceful_s", "level"), [(0.0, "debug"), (1.0, "warning")])
def test_only_who_was_given_time_to_retire_is_warned_of(graceful_s: float, level: str) -> None:
    story = serving(workers=2, policy=replace(POLICY, graceful_s=graceful_s))
    story.signal(Signal.TTOU)
    actions = story.look(after_s=2.0)
    assert doings(actions)[:2] == [ReportRunning(1, 101), SignalWorker(101, "KILL")]
    assert "Worker 1 (pid 101) has not retired within graceful_timeout" in sentences(actions, level)


@pytest.mark.parametrize(
    ("prepare", "at"),
    [
        (lambda story: None, 10.5),  # twice a second
        (lambda story: story.fails(101), 10.5),  # a worker that lived: nothing waits
        (lambda story: story.look({1: 10.0}, after_s=30.2), 10.5),  # somebody seems overdue: again, soon
        (lambda story: story.signal(Signal.HUP), 10.5),
        (lambda story: story.signal(Signal.TERM), 10.5),
    ],
)
def test_one_looks_at_least_twice_a_second(prepare: Callable[[Story], object], at: float) -> None:
    story = serving()
    prepare(story)
    assert next_look(story.state, story.now) == pytest.approx(story.now - 10.0 + at, abs=0.01)


def test_one_looks_at_the_moment_at_which_a_stop_has_lasted_long_enough() -> None:
    story = serving(policy=replace(POLICY, quick_s=0.1))
    story.signal(Signal.QUIT)
    assert next_look(story.state, 10.0) == pytest.approx(10.1, abs=0.01)


def test_one_looks_at_the_moment_at_which_a_try_is_due() -> None:
    story = starting(workers=1)
    story.now = 10.0
    story.tell(WorkerForked(1, 1, 101))
    story.fails(101)
    assert next_look(story.state, 10.0) == pytest.approx(10.1, abs=0.01)


def test_a_worker_that_seemed_stuck_does_not_keep_the_arbiter_awake_while_it_retires() -> None:
    story = reloading(workers=1)
    story.loads(2, workers=1)
    last = story.now
    story.look({1: last}, after_s=30.1)
    story.come(2)
    assert story.phases(1) == {1: SlotPhase.RETIRING}
    story.look(after_s=1.0)
    assert next_look(story.state, story.now) > story.now


def test_a_killed_worker_that_nobody_reaps_does_not_keep_the_arbiter_awake() -> None:
    story = serving()
    stuck(story)
    story.look(after_s=1.1)
    assert story.slot(1).phase is SlotPhase.KILLED
    story.look(after_s=1.0)
    assert next_look(story.state, story.now) > story.now


def test_a_retiring_template_that_does_not_report_killed_workers_is_killed_so_that_they_become_ours() -> None:
    story = reloading(policy=replace(POLICY, graceful_s=3.0))
    story.loads(2)
    story.come(2)
    story.look(after_s=3.1)
    assert story.phases(1) == {1: SlotPhase.KILLED, 2: SlotPhase.KILLED}
    assert doings(story.look(after_s=4.9), KillTemplate) == []
    assert doings(story.look(after_s=0.2), KillTemplate) == [KillTemplate(1, 100, "KILL")]
    assert doings(story.look(after_s=1.0), KillTemplate) == []
    story.dies(100)
    story.dies(101)
    story.dies(102)
    assert story.state.generation(1) is None


def test_a_template_that_is_killed_because_it_hangs_gets_no_more_orders() -> None:
    story = serving(workers=1)
    story.signal(Signal.TTIN)
    assert doings(story.look(after_s=POLICY.boot_timeout_s + 1), KillTemplate) == [KillTemplate(1, TEMPLATE)]
    assert not doings(story.signal(Signal.TTIN), ForkWorker)
    assert StartTemplate(2) in story.dies(TEMPLATE)
