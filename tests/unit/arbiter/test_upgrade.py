"""USR2: a new arbiter beside this one, which takes over when this one stops; seen from both sides."""

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
)

from paste_unicorn.arbiter.actions import (
    AnnounceServing,
    EndTemplate,
    ForkWorker,
    KillSuccessor,
    Leave,
    ShareListening,
    SignalWorker,
    StartSuccessor,
    StartTemplate,
    StopListening,
    TakeOver,
)
from paste_unicorn.arbiter.events import (
    PredecessorGone,
    Signal,
    SuccessorFailed,
    SuccessorReady,
    SuccessorStarted,
    TemplateFailed,
    TemplateStarted,
    WorkerForked,
    WorkerReady,
)
from paste_unicorn.arbiter.rules.boot import begin
from paste_unicorn.arbiter.state import Phase, Plan, Policy, SlotPhase

SUCCESSOR = 9000
RETIRE_BOTH = [SignalWorker(101, "TERM"), SignalWorker(102, "TERM")]


def upgrading(policy: Policy = POLICY) -> Story:
    """The new arbiter has been started and is not ready."""
    story = serving(policy=policy)
    story.signal(Signal.USR2)
    story.tell(SuccessorStarted(SUCCESSOR))
    return story


def upgraded() -> Story:
    """Both serve."""
    story = upgrading()
    story.tell(SuccessorReady(SUCCESSOR), after_s=1.0)
    return story


def leave_of(story: Story) -> Leave:
    """What workers and template of generation 1 lead to when they end."""
    for slot in story.state.slots:
        story.ends(slot.pid)
    (leave,) = doings(story.ends(TEMPLATE))
    assert isinstance(leave, Leave)
    return leave


# -- the old one ---------------------------------------------------------------------------------------------


def test_usr2_starts_a_new_arbiter_and_nothing_else_changes() -> None:
    story = serving()
    assert doings(story.signal(Signal.USR2)) == [StartSuccessor()]
    assert doings(story.tell(SuccessorStarted(SUCCESSOR))) == []
    actions = story.tell(SuccessorReady(SUCCESSOR), after_s=1.0)
    assert doings(actions) == []
    assert sentences(actions, "info") == "The new arbiter (pid 9000) serves; TERM ends this one"
    assert story.state.phase is Phase.SERVING
    assert story.phases(1) == {1: SlotPhase.READY, 2: SlotPhase.READY}


def test_the_old_one_goes_on_replacing_and_reloading() -> None:
    story = upgraded()
    assert ForkWorker(1, 1, 3) in story.dies(101)
    assert StartTemplate(2) in story.signal(Signal.HUP)


@pytest.mark.parametrize("stop", [Signal.TERM, Signal.INT])
def test_a_stop_of_the_old_one_is_a_retirement(stop: Signal) -> None:
    story = upgraded()
    actions = story.signal(stop)
    assert doings(actions) == [ShareListening(), *RETIRE_BOTH]
    assert "the other arbiter goes on" in sentences(actions, "info")
    leave = leave_of(story)
    assert (leave.succeeded, leave.code, leave.reason) == (True, 0, stop.name)


@pytest.mark.parametrize("stop", [Signal.QUIT, Signal.TYPED_INT])
def test_a_quick_stop_of_the_old_one_leaves_the_listeners_alone_too(stop: Signal) -> None:
    story = upgraded()
    assert doings(story.signal(stop)) == [SignalWorker(101, "QUIT"), SignalWorker(102, "QUIT")]
    assert leave_of(story).succeeded


@pytest.mark.parametrize("situation", [serving, reloading, without_template])
def test_it_is_refused_where_there_can_t_be_one(situation: Callable[[], Story]) -> None:
    story = situation()
    story.state = replace(story.state, policy=replace(POLICY, no_upgrade="under a reloader ...; send HUP"))
    before = story.state
    assert doings(story.signal(Signal.USR2)) == []
    assert sentences(story.actions, "error") == "Got USR2: under a reloader ...; send HUP"
    assert story.state == before


def test_it_is_refused_while_the_server_starts() -> None:
    story = starting()
    assert doings(story.signal(Signal.USR2)) == []
    assert "still starting" in sentences(story.actions, "warning")
    assert story.state.successor is None


@pytest.mark.parametrize("situation", [upgrading, upgraded])
def test_there_is_one_at_a_time(situation: Callable[[], Story]) -> None:
    story = situation()
    before = story.state
    assert doings(story.signal(Signal.USR2)) == []
    assert "a new arbiter is there already (pid 9000)" in sentences(story.actions, "warning")
    assert story.state == before


def can_t_be_started(story: Story) -> None:
    story.state = serving().state
    story.signal(Signal.USR2)
    story.tell(SuccessorFailed("Cannot allocate memory"))


def fails(story: Story) -> None:
    story.tell(SuccessorFailed("prod.ini:3 [server:main] wrokers: unknown setting"))
    story.fails(SUCCESSOR)


def is_killed(story: Story) -> None:
    story.dies(SUCCESSOR)


def is_not_ready_in_time(story: Story) -> None:
    assert doings(story.look(after_s=120.0), KillSuccessor) == []
    assert doings(story.look(after_s=5.5), KillSuccessor) == [KillSuccessor(SUCCESSOR)]
    assert "not ready after 125 s" in sentences(story.actions, "error")
    assert doings(story.look(after_s=1.0), KillSuccessor) == []
    story.dies(SUCCESSOR)


def dies_after_it_was_ready(story: Story) -> None:
    story.tell(SuccessorReady(SUCCESSOR))
    story.dies(SUCCESSOR)


FAILURES = [can_t_be_started, fails, is_killed, is_not_ready_in_time, dies_after_it_was_ready]


@pytest.mark.parametrize("failure", FAILURES)
def test_one_that_fails_leaves_the_old_one_as_it_was(failure: Callable[[Story], None]) -> None:
    story = upgrading()
    failure(story)
    before = serving().state
    assert story.state == before
    assert story.signal(Signal.USR2)[-1] == StartSuccessor()


def test_why_it_failed_is_said_once() -> None:
    story = upgrading()
    assert sentences(story.tell(SuccessorFailed("Traceback ...\nNameError: x\n")), "error") == (
        "The upgrade failed: the new arbiter could not be started; this one goes on serving\n"
        "Traceback ...\nNameError: x\n"
        "Correct it and send USR2 again"
    )
    assert story.fails(SUCCESSOR) == ()


def test_one_that_was_killed_is_said() -> None:
    story = upgrading()
    assert sentences(story.dies(SUCCESSOR), "error") == (
        "The upgrade failed: the new arbiter (pid 9000) was killed by SIGKILL; this one goes on serving\n"
        "Correct it and send USR2 again"
    )


def test_one_that_was_stopped_again_is_no_alarm() -> None:
    story = upgraded()
    said = "The new arbiter (pid 9000) has ended; this one goes on serving"
    assert sentences(story.ends(SUCCESSOR), "info") == said
    assert StartSuccessor() in story.signal(Signal.USR2)


def test_one_that_dies_after_it_was_ready_is_no_failed_upgrade() -> None:
    story = upgraded()
    assert sentences(story.dies(SUCCESSOR), "error") == (
        "The new arbiter (pid 9000) was killed by SIGKILL; this one goes on serving"
    )


@pytest.mark.parametrize("stop", [Signal.TERM, Signal.INT])
def test_a_stop_while_the_new_one_boots_waits_until_that_is_ready(stop: Signal) -> None:
    story = upgrading()
    actions = story.signal(stop)
    assert doings(actions) == []
    assert f"Got {stop.name}: this arbiter stops as soon as the new one is ready" in sentences(actions, "info")
    assert ForkWorker(1, 1, 3) in story.dies(101)
    story.tell(WorkerForked(1, 1, 150))
    story.tell(WorkerReady(1, 1, 150))
    actions = story.tell(SuccessorReady(SUCCESSOR), after_s=1.0)
    assert doings(actions) == [ShareListening(), SignalWorker(150, "TERM"), SignalWorker(102, "TERM")]
    assert story.state.phase is Phase.STOPPING
    leave = leave_of(story)
    assert (leave.reason, leave.succeeded) == (stop.name, True)


@pytest.mark.parametrize("second", [Signal.TERM, Signal.INT])
def test_a_second_stop_does_not_wait_and_the_new_one_still_gets_the_connections(second: Signal) -> None:
    story = upgrading()
    story.signal(Signal.TERM)
    assert doings(story.signal(second)) == [ShareListening(), *RETIRE_BOTH]
    assert leave_of(story).succeeded


def test_a_quick_stop_does_not_wait() -> None:
    story = upgrading()
    assert doings(story.signal(Signal.QUIT)) == [SignalWorker(101, "QUIT"), SignalWorker(102, "QUIT")]


@pytest.mark.parametrize("failure", [fails, is_killed, is_not_ready_in_time])
def test_a_stop_that_waits_for_one_that_fails_is_a_stop_for_good(failure: Callable[[Story], None]) -> None:
    story = upgrading()
    story.signal(Signal.TERM)
    told: list[object] = []
    tell = story.tell

    def tell_and_listen(*arguments: object) -> object:
        actions = tell(*arguments)  # type: ignore[arg-type]
        told.extend(doings(actions, StopListening, SignalWorker))
        return actions

    story.tell = tell_and_listen  # type: ignore[method-assign,assignment]
    failure(story)
    assert told == [StopListening(), *RETIRE_BOTH]
    assert story.state.phase is Phase.STOPPING
    assert not leave_of(story).succeeded


def test_with_upgrade_auto_the_old_one_stops_when_the_new_one_is_ready() -> None:
    story = upgrading(policy=replace(POLICY, upgrade_at_once=True))
    actions = story.tell(SuccessorReady(SUCCESSOR))
    assert doings(actions) == [ShareListening(), *RETIRE_BOTH]
    leave = leave_of(story)
    assert (leave.reason, leave.succeeded) == ("upgrade = auto", True)


def test_one_that_dies_while_the_old_one_stops_leaves_nobody_to_succeed() -> None:
    story = upgraded()
    story.signal(Signal.TERM)
    story.dies(SUCCESSOR)
    assert not leave_of(story).succeeded


def test_a_reload_under_way_ends_with_the_old_one() -> None:
    story = reloading()
    story.signal(Signal.USR2)
    story.tell(SuccessorStarted(SUCCESSOR))
    story.tell(SuccessorReady(SUCCESSOR))
    story.signal(Signal.TERM)
    story.ends(101)
    assert EndTemplate(1) in story.ends(102)
    story.dies(200)
    assert doings(story.ends(TEMPLATE), Leave) != []


# -- the new one ---------------------------------------------------------------------------------------------


def test_the_new_one_serves_beside_the_old_one_until_that_has_gone() -> None:
    story = starting(has_predecessor=True)
    assert AnnounceServing(2) in story.come(1)
    assert story.state.has_predecessor
    assert doings(story.tell(PredecessorGone())) == [TakeOver()]
    assert "this one is in charge" in sentences(story.actions, "info")
    assert not story.state.has_predecessor


def test_the_new_one_has_no_successor_before_the_old_one_has_gone() -> None:
    story = serving(has_predecessor=True)
    before = story.state
    assert doings(story.signal(Signal.USR2)) == []
    assert "the arbiter before is still there" in sentences(story.actions, "error")
    assert story.state == before
    story.tell(PredecessorGone())
    assert doings(story.signal(Signal.USR2)) == [StartSuccessor()]


def test_the_new_one_takes_over_too_when_the_old_one_dies_before_it_is_ready() -> None:
    story = starting(has_predecessor=True)
    assert doings(story.tell(PredecessorGone())) == [TakeOver()]
    assert AnnounceServing(2) in story.come(1)


@pytest.mark.parametrize(
    ("stop", "done"),
    [
        (Signal.TERM, [ShareListening(), *RETIRE_BOTH]),
        (Signal.QUIT, [SignalWorker(101, "QUIT"), SignalWorker(102, "QUIT")]),
    ],
)
def test_a_stop_of_the_new_one_leaves_the_sockets_to_the_old_one(stop: Signal, done: list[object]) -> None:
    story = serving(has_predecessor=True)
    assert doings(story.signal(stop)) == done
    assert leave_of(story).succeeded


def test_a_stop_after_the_old_one_has_gone_is_a_stop_for_good() -> None:
    story = serving(has_predecessor=True)
    story.tell(PredecessorGone())
    assert doings(story.signal(Signal.TERM)) == [StopListening(), *RETIRE_BOTH]
    assert not leave_of(story).succeeded


def test_the_old_one_that_goes_while_the_new_one_stops_leaves_it_what_the_kernel_has_accepted() -> None:
    story = serving(has_predecessor=True)
    story.signal(Signal.TERM)
    assert doings(story.tell(PredecessorGone())) == [StopListening()]
    assert not leave_of(story).succeeded


def loading() -> Story:
    state, _ = begin(Plan(2, POLICY), 0.0, has_predecessor=True)
    story = Story(state)
    story.tell(TemplateStarted(1, TEMPLATE))
    return story


def can_t_load(story: Story) -> None:
    story.tell(TemplateFailed(1, "NameError: x"))


def is_killed_while_it_loads(story: Story) -> None:
    story.dies(TEMPLATE)


def does_not_load_in_time(story: Story) -> None:
    story.look(after_s=60.5)


def has_a_worker_that_dies_at_birth(story: Story) -> None:
    story.loads(1)
    story.tell(WorkerForked(1, 1, 101))
    story.fails(101)


def loses_its_template(story: Story) -> None:
    story.loads(1)
    story.tell(WorkerForked(1, 1, 101))
    story.tell(WorkerReady(1, 1, 101))
    story.dies(TEMPLATE)


@pytest.mark.parametrize(
    "failure",
    [
        can_t_load,
        is_killed_while_it_loads,
        does_not_load_in_time,
        has_a_worker_that_dies_at_birth,
        loses_its_template,
    ],
)
def test_a_new_one_that_does_not_come_up_leaves_the_old_one_alone(failure: Callable[[Story], None]) -> None:
    story = loading()
    failure(story)
    assert story.state.phase is Phase.QUITTING
    for slot in story.state.slots:
        if slot.phase is SlotPhase.ORDERED:
            story.tell(WorkerForked(slot.number, 1, 190 + slot.number))
    for slot in story.state.slots:
        story.dies(slot.pid)
    if not doings(story.actions, Leave):
        story.dies(TEMPLATE)
    (leave,) = doings(story.actions, Leave)
    assert isinstance(leave, Leave)
    assert (leave.code, leave.succeeded) == (1, True)
    assert doings(story.actions, StopListening) == []


def test_a_new_arbiter_that_dies_while_the_old_one_stops_leaves_it_what_the_kernel_has_accepted() -> None:
    story = serving()
    story.signal(Signal.USR2)
    story.tell(SuccessorStarted(300))
    story.tell(SuccessorReady(300))
    assert not doings(story.signal(Signal.TERM), StopListening)
    assert doings(story.dies(300)) == [StopListening()]
    assert not leave_of(story).succeeded
