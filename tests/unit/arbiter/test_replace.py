"""What is missing comes back: at once, or more and more slowly where it dies at birth."""

from __future__ import annotations

from dataclasses import replace

import pytest
from situations import POLICY, TEMPLATE, doings, reloading, sentences, serving, starting, without_template

from paste_unicorn.arbiter.actions import ClearSlot, ForgetGeneration, ForkWorker, Say, SignalWorker, StartTemplate
from paste_unicorn.arbiter.events import ProcessExited, Signal, WorkerForked, WorkerReady
from paste_unicorn.arbiter.state import Phase, SlotPhase, TemplatePhase


def test_a_killed_worker_is_said_and_replaced_at_once() -> None:
    story = serving()
    assert story.dies(102) == (
        Say("error", "Worker 2 (pid 102) was killed by SIGKILL; it is replaced"),
        ClearSlot(2, 102, 2, report=True, told_to_go=False),
        ForkWorker(1, 2, 3),
    )


def killed(pid: int, by: str) -> ProcessExited:
    return ProcessExited(pid, f"was killed by {by}", clean=False, by_itself=by == "SIGSEGV", killed_by=by)


@pytest.mark.parametrize("by", ["SIGKILL", "SIGSEGV"])
def test_a_worker_that_retires_and_is_killed_from_outside_is_reported_like_any_other(by: str) -> None:
    story = reloading(workers=1)
    story.loads(2, workers=1)
    story.come(2)
    assert story.tell(killed(101, by))[:2] == (
        Say("error", f"Worker 1 (pid 101) was killed by {by} while it retired"),
        ClearSlot(1, 101, 1, report=True, killed_by=by),
    )


def test_a_worker_that_is_killed_since_it_did_not_retire_in_time_was_reported_before() -> None:
    story = reloading(workers=1)
    story.loads(2, workers=1)
    story.come(2)
    story.look(after_s=POLICY.graceful_s + 0.1)
    assert story.tell(killed(101, "SIGKILL"))[:2] == (
        Say("info", "Worker 1 (pid 101) was killed by SIGKILL"),
        ClearSlot(1, 101, 1),
    )


def test_a_worker_that_went_by_itself_is_replaced_without_alarm() -> None:
    story = serving()
    sentence, _, fork = story.ends(101)
    assert sentence == Say("info", "Worker 1 (pid 101) has ended; it is replaced")
    assert fork == ForkWorker(1, 1, 3)


def test_a_process_that_nobody_knows_changes_nothing() -> None:
    story = serving()
    before = story.state
    assert story.dies(4711) == ()
    assert story.state == before


def test_a_worker_that_dies_before_it_is_ready_is_replaced_later() -> None:
    story = starting(workers=1)
    story.tell(WorkerForked(1, 1, 101))
    said, cleared = story.fails(101)
    assert said == Say(
        "error", "Worker 1 (pid 101) has ended with exit code 3 before it was ready; the next try is in 0.1 s"
    )
    assert cleared == ClearSlot(1, 101, 1, report=True, told_to_go=False)
    assert story.look(after_s=0.09) == ()
    assert story.look(after_s=0.02) == (ForkWorker(1, 1, 2),)


def test_why_it_could_not_begin_is_said_with_it_and_once_a_try() -> None:
    story = starting(workers=2)
    for slot in (1, 2):
        story.tell(WorkerForked(slot, 1, 100 + slot))
    died = ProcessExited(101, "has ended with exit code 3", clean=False, by_itself=True, reason="Traceback\nKeyError\n")
    assert sentences(story.tell(died), "error").endswith("the next try is in 0.1 s\nTraceback\nKeyError")
    assert sentences(story.tell(replace(died, pid=102)), "error") == ""


def test_workers_that_keep_dying_at_birth_come_more_and_more_slowly_and_are_said_once_a_try() -> None:
    story = starting(workers=4)
    pid = 101
    tries, lines = [], 0
    while len(tries) < 12:
        ordered = [slot.number for slot in story.state.in_phase(SlotPhase.ORDERED)]
        pids = {number: pid + number for number in ordered}
        pid += 100
        for number in ordered:
            story.tell(WorkerForked(number, 1, pids[number]))
        for number in ordered:
            actions = story.fails(pids[number], after_s=0.001)
            lines += sum(isinstance(action, Say) and action.level != "debug" for action in actions)
        began = story.now
        while not any(isinstance(action, ForkWorker) for action in story.look(after_s=0.05)):
            assert story.now - began < 60
        tries.append(round(story.now - began, 3))
    assert lines == len(tries)
    assert tries == sorted(tries)
    assert 25 < tries[-1] < 31


def test_dying_within_a_second_of_being_ready_counts_as_dying_at_birth() -> None:
    story = starting(workers=1)
    story.tell(WorkerForked(1, 1, 101))
    story.tell(WorkerReady(1, 1, 101))
    actions = story.fails(101, after_s=0.5)
    assert not any(isinstance(action, ForkWorker) for action in actions)
    assert "just after it was ready" in actions[0].sentence  # type: ignore[union-attr]


def test_a_clean_end_within_a_second_counts_as_dying_at_birth_or_it_would_go_on_for_ever() -> None:
    story = starting(workers=1)
    story.tell(WorkerForked(1, 1, 101))
    story.tell(WorkerReady(1, 1, 101))
    actions = story.ends(101, after_s=0.5)
    assert doings(actions, ForkWorker) == []
    assert "just after it was ready; the next try is in 0.1 s" in sentences(actions, "error")


def test_a_worker_that_was_ended_for_being_stuck_was_not_stillborn() -> None:
    story = reloading()
    story.loads(2)
    story.tell(WorkerForked(3, 2, 203))
    story.tell(WorkerReady(3, 2, 203))
    last = story.now
    story.look({3: last}, after_s=30.1)
    story.look({3: last}, after_s=0.3)
    assert doings(story.fails(203), ForgetGeneration) == []


def test_a_signal_from_outside_does_not_count_as_dying_at_birth_unless_it_ends_six_in_a_row() -> None:
    story = starting(workers=1)
    for pid in range(101, 106):
        story.tell(WorkerForked(1, 1, pid))
        assert doings(story.dies(pid, after_s=0.01), ForkWorker)
    for pid, delay in ((106, "0.1 s"), (107, "0.2 s (attempt 2 that failed in a row)")):
        story.tell(WorkerForked(1, 1, pid))
        actions = story.dies(pid, after_s=0.01)
        assert sentences(actions, "error").endswith(f"before it was ready; the next try is in {delay}")
        assert doings(actions, ForkWorker) == []
        assert doings(story.look(after_s=0.3), ForkWorker)


def test_newborns_that_are_killed_are_in_a_row_where_none_was_ready_in_between() -> None:
    story = starting(workers=1)
    for pid in range(101, 120):
        story.tell(WorkerForked(1, 1, pid))
        story.tell(WorkerReady(1, 1, pid))
        assert doings(story.dies(pid, after_s=0.01), ForkWorker)
        story.tell(WorkerForked(1, 1, pid + 100))
        assert doings(story.dies(pid + 100, after_s=0.01), ForkWorker)


def test_a_crash_within_a_second_counts_as_dying_at_birth() -> None:
    story = starting(workers=1)
    story.tell(WorkerForked(1, 1, 101))
    story.tell(WorkerReady(1, 1, 101))
    actions = story.tell(ProcessExited(101, "was killed by SIGSEGV", clean=False, by_itself=True), after_s=0.1)
    assert not any(isinstance(action, ForkWorker) for action in actions)


def test_a_worker_that_dies_within_a_request_is_not_stillborn_however_young_it_is() -> None:
    story = starting(workers=1)
    story.tell(WorkerForked(1, 1, 101))
    story.tell(WorkerReady(1, 1, 101))
    crash = ProcessExited(101, "was killed by SIGSEGV", clean=False, by_itself=True, has_worked=True)
    actions = story.tell(crash, after_s=0.1)
    assert Say("error", "Worker 1 (pid 101) was killed by SIGSEGV; it is replaced") in actions
    assert ForkWorker(1, 1, 2) in actions
    assert story.state.births.failures == 0


def test_a_worker_that_lives_ends_the_waiting() -> None:
    story = starting(workers=1)
    for pid in (101, 102, 103):
        story.tell(WorkerForked(1, 1, pid))
        story.fails(pid)
        story.look(after_s=5.0)
    story.tell(WorkerForked(1, 1, 104))
    story.tell(WorkerReady(1, 1, 104))
    assert story.state.births.failures == 3
    story.look(after_s=1.1)
    assert story.state.births.failures == 0


def test_others_that_have_lived_for_long_do_not_end_the_waiting() -> None:
    story = serving(workers=2)
    story.dies(102)
    story.tell(WorkerForked(2, 1, 103))
    story.fails(103)
    story.look(after_s=0.05)
    assert story.state.births.failures == 1


def test_nothing_but_a_stop_ends_the_arbiter() -> None:
    story = starting(workers=1)
    for pid in range(101, 140):
        story.tell(WorkerForked(1, 1, pid))
        story.fails(pid)
        assert story.state.phase is Phase.STARTING
        story.look(after_s=40.0)
    assert story.state.in_phase(SlotPhase.ORDERED)


def test_a_killed_template_is_replaced_by_another_generation_while_its_workers_go_on() -> None:
    story = serving()
    assert story.dies(TEMPLATE) == (
        Say(
            "error",
            "The template of generation 1 (pid 100) was killed by SIGKILL; its workers go on until those of a new one "
            "are ready",
        ),
        Say("info", "Loading generation 2 in a fresh interpreter (the template before it has gone)"),
        StartTemplate(2),
    )
    assert [one.template for one in story.state.generations] == [TemplatePhase.GONE, TemplatePhase.LOADING]
    assert len(story.state.in_phase(SlotPhase.READY)) == 2


def test_a_slot_that_falls_empty_without_a_template_waits_for_the_next_generation() -> None:
    story = without_template()
    said, cleared = story.dies(101)
    assert isinstance(said, Say)
    assert isinstance(cleared, ClearSlot)
    assert doings(story.loads(2), ForkWorker) == [ForkWorker(2, 1, 3), ForkWorker(2, 3, 4)]
    assert [(slot.number, slot.generation) for slot in story.state.slots] == [(1, 2), (2, 1), (3, 2)]


def test_a_template_that_nobody_knows_how_to_load_again_is_not_replaced_and_that_is_said() -> None:
    story = serving(policy=replace(POLICY, can_load_again=False))
    (said,) = story.dies(TEMPLATE)
    assert isinstance(said, Say)
    assert "until a restart" in said.sentence
    assert story.look(after_s=100) == ()


def test_a_worker_of_a_dead_template_whose_row_another_has_got_is_told_to_go_and_remembered_until_it_has() -> None:
    story = serving(workers=1)
    story.signal(Signal.TTIN)
    story.dies(TEMPLATE)
    story.loads(2)
    assert story.slot(2).generation == 2
    assert doings(story.tell(WorkerReady(2, 1, 177))) == [SignalWorker(177, "TERM")]
    assert story.state.slot_of_pid(177) is not None
    assert doings(story.look(after_s=POLICY.graceful_s + 1), SignalWorker) == [SignalWorker(177, "KILL")]
    story.dies(177)
    assert story.state.slot_of_pid(177) is None
