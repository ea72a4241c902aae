"""Stopping for good."""

from __future__ import annotations

from dataclasses import replace

import pytest
from situations import POLICY, TEMPLATE, doings, sentences, serving, starting, without_template

from paste_unicorn.arbiter.actions import (
    ClearSlot,
    EndTemplate,
    ForkWorker,
    KillTemplate,
    Leave,
    ReportRunning,
    Say,
    SignalWorker,
    StopListening,
)
from paste_unicorn.arbiter.events import ForkFailed, ProcessExited, Signal, TemplateFailed, WorkerForked, WorkerReady
from paste_unicorn.arbiter.state import Phase


@pytest.mark.parametrize("signal", [Signal.TERM, Signal.INT])
def test_a_graceful_stop_stops_handshakes_before_it_tells_the_workers(signal: Signal) -> None:
    story = serving()
    assert story.signal(signal)[1:] == (StopListening(), SignalWorker(101, "TERM"), SignalWorker(102, "TERM"))
    assert story.state.phase is Phase.STOPPING


@pytest.mark.parametrize("signal", [Signal.QUIT, Signal.TYPED_INT])
def test_a_quick_stop_tells_the_workers_at_once_and_says_nothing_yet(signal: Signal) -> None:
    story = serving()
    assert story.signal(signal) == (StopListening(), SignalWorker(101, "QUIT"), SignalWorker(102, "QUIT"))
    assert story.state.phase is Phase.QUITTING


@pytest.mark.parametrize("first", [Signal.TERM, Signal.QUIT])
def test_workers_end_first_then_the_template_then_the_arbiter(first: Signal) -> None:
    story = serving()
    story.signal(first)
    assert story.ends(101)[1:] == (ClearSlot(1, 101, 1),)
    assert story.ends(102)[1:] == (ClearSlot(2, 102, 2), EndTemplate(1))
    (leave,) = story.ends(TEMPLATE, after_s=0.25)
    assert isinstance(leave, Leave)
    assert leave.took_s == pytest.approx(0.25)


@pytest.mark.parametrize("repeated", [Signal.TERM, Signal.INT, Signal.HUP, Signal.TTIN, Signal.TTOU, Signal.USR2])
def test_a_graceful_stop_is_not_changed_by(repeated: Signal) -> None:
    story = serving()
    story.signal(Signal.TERM)
    before = story.state
    assert story.signal(repeated, after_s=1.0) == ()
    assert story.state == before


@pytest.mark.parametrize("signal", [Signal.QUIT, Signal.TYPED_INT])
def test_a_graceful_stop_can_be_made_a_quick_one(signal: Signal) -> None:
    story = serving()
    story.signal(Signal.TERM)
    assert SignalWorker(101, "QUIT") in story.signal(signal, after_s=1.0)
    assert story.state.phase is Phase.QUITTING
    assert SignalWorker(101, "KILL") in story.look(after_s=1.1)


@pytest.mark.parametrize("signal", list(Signal))
def test_a_quick_stop_is_not_changed_by_any_signal(signal: Signal) -> None:
    story = serving()
    story.signal(Signal.QUIT)
    before = story.state
    assert story.signal(signal) == ()
    assert story.state == before


def test_a_worker_that_dies_while_we_stop_is_not_replaced() -> None:
    story = serving()
    story.signal(Signal.TERM)
    actions = story.dies(101)
    assert Say("warning", "Worker 1 (pid 101) was killed by SIGKILL") in actions
    assert not any(isinstance(action, ForkWorker) for action in actions)


def test_a_worker_that_is_killed_from_outside_while_we_stop_is_reported() -> None:
    story = serving()
    story.signal(Signal.TERM)
    actions = story.tell(ProcessExited(101, "was killed by SIGSEGV", clean=False, by_itself=True, killed_by="SIGSEGV"))
    assert actions[:2] == (
        Say("error", "Worker 1 (pid 101) was killed by SIGSEGV"),
        ClearSlot(1, 101, 1, report=True, killed_by="SIGSEGV"),
    )


@pytest.mark.parametrize("signal", [Signal.TERM, Signal.QUIT])
def test_a_worker_that_we_kill_is_not_reported_once_more(signal: Signal) -> None:
    story = serving()
    story.signal(signal)
    story.look(after_s=20.1)
    actions = story.tell(ProcessExited(101, "was killed by SIGKILL", clean=False, by_itself=False, killed_by="SIGKILL"))
    assert actions[:2] == (Say("debug", "Worker 1 (pid 101) was killed by SIGKILL"), ClearSlot(1, 101, 1))


def test_workers_that_do_not_finish_in_time_are_reported_and_killed() -> None:
    story = serving()
    story.signal(Signal.TERM)
    story.ends(101)
    assert story.look(after_s=19.9) == ()
    assert story.look(after_s=0.2)[1:] == (ReportRunning(2, 102), SignalWorker(102, "KILL"))
    assert EndTemplate(1) in story.dies(102)
    (leave,) = story.ends(TEMPLATE)
    assert isinstance(leave, Leave)
    assert leave.killed == 1


@pytest.mark.parametrize(("signal", "level"), [(Signal.TERM, "debug"), (Signal.QUIT, "warning")])
def test_workers_that_were_given_no_time_are_killed_without_a_warning(signal: Signal, level: str) -> None:
    story = serving(workers=1, policy=replace(POLICY, stop_s=0.0))
    story.signal(signal)
    actions = story.look(after_s=POLICY.quick_s)
    assert doings(actions) == [ReportRunning(1, 101), SignalWorker(101, "KILL")]
    assert sentences(actions, level) == "Worker 1 (pid 101) has not finished in time; it is killed"


def test_a_template_that_does_not_end_is_killed() -> None:
    story = serving(workers=1)
    story.signal(Signal.TERM)
    story.ends(101)
    assert story.look(after_s=0.9) == ()
    assert story.look(after_s=0.2) == (KillTemplate(1, TEMPLATE),)
    (leave,) = story.dies(TEMPLATE)
    assert isinstance(leave, Leave)


def test_a_stop_ends_even_where_nobody_can_be_reaped() -> None:
    story = serving(workers=1)
    story.signal(Signal.TERM)
    story.look(after_s=20.1)
    story.look(after_s=1.1)
    (leave,) = story.look(after_s=1.1)
    assert isinstance(leave, Leave)


@pytest.mark.parametrize(("stop", "told"), [(Signal.TERM, "TERM"), (Signal.QUIT, "QUIT")])
def test_a_worker_that_is_born_during_the_stop_is_told_to_go(stop: Signal, told: str) -> None:
    story = starting(workers=1)
    actions = story.signal(stop)
    assert not any(isinstance(action, SignalWorker) for action in actions)
    assert story.tell(WorkerForked(1, 1, 101)) == (SignalWorker(101, told),)  # type: ignore[arg-type]
    assert story.tell(WorkerReady(1, 1, 101)) == ()
    assert EndTemplate(1) in story.ends(101)


def test_a_fork_that_fails_during_the_stop_leaves_nobody_to_wait_for() -> None:
    story = starting(workers=1)
    story.signal(Signal.TERM)
    assert story.tell(ForkFailed(1, "no")) == (EndTemplate(1),)


def test_a_template_that_is_killed_during_the_stop_is_not_replaced() -> None:
    story = serving()
    story.signal(Signal.TERM)
    assert story.dies(TEMPLATE) == ()
    story.ends(101)
    actions = story.ends(102)
    assert isinstance(actions[-1], Leave)


def test_the_workers_of_all_generations_are_stopped() -> None:
    story = without_template()
    story.loads(2)
    story.tell(WorkerForked(3, 2, 203))
    actions = story.signal(Signal.TERM)
    assert {action.pid for action in actions if isinstance(action, SignalWorker)} == {101, 102, 203}
    for pid in (101, 102):
        assert doings(story.ends(pid), EndTemplate, Leave) == []
    assert story.tell(WorkerForked(4, 2, 204)) == (SignalWorker(204, "TERM"),)
    story.ends(203)
    assert EndTemplate(2) in story.ends(204)


def test_a_stuck_worker_is_ended_by_timeout_while_we_stop_too() -> None:
    story = serving(policy=replace(POLICY, stop_s=600.0))
    last = story.now
    story.signal(Signal.TERM)
    story.look({1: last}, after_s=30.1)
    assert SignalWorker(101, "ABRT") in story.look({1: last}, after_s=0.6)


def test_a_template_that_still_loads_is_killed_by_a_stop_when_the_workers_have_answered() -> None:
    story = without_template(workers=1)
    story.signal(Signal.TERM)
    assert KillTemplate(2, 200) in story.ends(101)


@pytest.mark.parametrize(("stop", "told"), [(Signal.TERM, "TERM"), (Signal.QUIT, "QUIT")])
def test_a_worker_whose_template_died_before_it_could_report_it_is_told_too_and_waited_for(
    stop: Signal, told: str
) -> None:
    story = serving(workers=1)
    story.signal(Signal.TTIN)
    story.dies(TEMPLATE)
    story.signal(stop)
    assert doings(story.tell(WorkerReady(2, 1, 177))) == [SignalWorker(177, told)]  # type: ignore[arg-type]
    assert not doings(story.ends(101), EndTemplate, Leave)
    assert doings(story.ends(177), EndTemplate, Leave)


def test_a_template_that_could_not_be_started_is_not_waited_for() -> None:
    story = serving(workers=1)
    story.signal(Signal.HUP)
    story.signal(Signal.TERM)
    story.tell(TemplateFailed(2, "it could not be started"))
    assert doings(story.ends(101), EndTemplate, KillTemplate) == [EndTemplate(1)]
    assert doings(story.ends(TEMPLATE), Leave)


def test_a_worker_that_appears_when_only_templates_were_waited_for_has_the_time_of_the_others() -> None:
    story = serving(workers=1)
    story.signal(Signal.TTIN)
    story.signal(Signal.HUP)
    story.dies(TEMPLATE)
    story.signal(Signal.TERM)
    story.ends(101)
    story.tell(WorkerReady(2, 1, 177))
    assert not doings(story.look(after_s=POLICY.stop_s / 2), SignalWorker)
    assert doings(story.look(after_s=POLICY.stop_s), SignalWorker) == [SignalWorker(177, "KILL")]
