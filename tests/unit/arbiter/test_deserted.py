"""A stop while no worker is there: those that come, or can be forked, answer what the kernel has accepted."""

from __future__ import annotations

import pytest
from situations import POLICY, RETIRE_FIRST, TEMPLATE, Story, doings, sentences, serving

from paste_unicorn.arbiter.actions import (
    ClearSlot,
    EndTemplate,
    EquipGeneration,
    ForkWorker,
    KillTemplate,
    Leave,
    ReportRunning,
    SignalWorker,
    StopListening,
)
from paste_unicorn.arbiter.events import (
    ForkFailed,
    GenerationEquipped,
    Signal,
    TemplateFailed,
    TemplateLoaded,
    TemplateStarted,
    WorkerForked,
    WorkerReady,
)
from paste_unicorn.arbiter.state import Plan

NOBODY = "There is no worker: connections that the kernel has accepted meanwhile end without an answer"


def loading() -> Story:
    """Generation 1 has gone (`retire_first`); generation 2 is being loaded by pid 200."""
    story = serving(workers=1, policy=RETIRE_FIRST)
    story.signal(Signal.HUP)
    story.ends(101)
    story.ends(TEMPLATE)
    story.tell(TemplateStarted(2, 200))
    return story


def resting() -> Story:
    """Both workers have retired (WINCH)."""
    story = serving()
    story.signal(Signal.WINCH)
    story.ends(101)
    story.ends(102)
    return story


def test_a_generation_that_loads_gets_workers_and_they_answer_and_go_by_themselves() -> None:
    story = loading()
    assert doings(story.signal(Signal.TERM)) == [StopListening()]
    assert doings(story.tell(TemplateLoaded(2, Plan(2, POLICY)))) == [EquipGeneration(2)]
    assert doings(story.tell(GenerationEquipped(2))) == [ForkWorker(2, 1, 2)]
    assert story.tell(WorkerForked(1, 2, 201)) == ()
    assert story.tell(WorkerReady(1, 2, 201)) == ()
    assert doings(story.ends(201)) == [ClearSlot(1, 201, 2), EndTemplate(2)]
    assert NOBODY not in sentences(story.actions)
    assert doings(story.ends(200), Leave)


def test_a_template_that_rests_forks_as_many_workers_as_there_were() -> None:
    story = resting()
    assert doings(story.signal(Signal.TERM)) == [StopListening(), ForkWorker(1, 1, 3), ForkWorker(1, 2, 4)]
    story.tell(WorkerForked(1, 1, 111))
    story.tell(WorkerForked(2, 1, 112))
    assert story.tell(WorkerReady(2, 1, 112)) == story.tell(WorkerReady(1, 1, 111)) == ()
    assert doings(story.ends(112), EndTemplate, ForkWorker) == []
    assert doings(story.ends(111), EndTemplate, ForkWorker) == [EndTemplate(1)]


def test_workers_that_are_being_born_are_let_come() -> None:
    story = serving(workers=1)
    story.dies(101)
    story.tell(WorkerForked(1, 1, 111))
    assert doings(story.signal(Signal.TERM)) == [StopListening()]
    assert story.tell(WorkerReady(1, 1, 111)) == ()
    assert doings(story.ends(111), EndTemplate, ForkWorker) == [EndTemplate(1)]


def test_a_worker_that_says_that_it_is_ready_before_its_template_says_that_it_was_forked_is_not_told_either() -> None:
    story = resting()
    story.signal(Signal.TERM)
    assert story.tell(WorkerReady(1, 1, 111)) == ()
    assert story.tell(WorkerForked(1, 1, 111)) == ()


def test_where_somebody_has_come_others_that_are_born_later_are_told_to_go() -> None:
    story = resting()
    story.signal(Signal.TERM)
    story.tell(WorkerReady(1, 1, 111))
    assert story.tell(WorkerForked(2, 1, 112)) == (SignalWorker(112, "TERM"),)


def test_after_workers_that_all_retire_there_is_another_one_for_what_they_left() -> None:
    story = serving(workers=1, policy=RETIRE_FIRST)
    story.signal(Signal.HUP)
    assert doings(story.signal(Signal.TERM)) == [StopListening()]
    assert doings(story.ends(101), ForkWorker, EndTemplate) == [ForkWorker(1, 1, 2)]


@pytest.mark.parametrize("how", ["fails", "is killed", "is not forked"])
def test_workers_that_do_not_come_are_not_tried_twice_and_that_is_said(how: str) -> None:
    story = resting()
    story.signal(Signal.TERM)
    story.tell(ForkFailed(2, "no"))
    if how == "is not forked":
        story.tell(ForkFailed(1, "no"))
    else:
        story.tell(WorkerForked(1, 1, 111))
        story.fails(111) if how == "fails" else story.dies(111)
    assert doings(story.actions, ForkWorker, EndTemplate) == [EndTemplate(1)]
    assert sentences(story.actions).count(NOBODY) == 1
    assert NOBODY not in sentences(story.ends(TEMPLATE))
    assert doings(story.actions, Leave)


def test_a_load_that_fails_is_said_and_ends_the_stop() -> None:
    story = loading()
    story.signal(Signal.TERM)
    actions = story.tell(TemplateFailed(2, "Traceback\nKeyError\n"))
    assert sentences(actions, "error") == "Generation 2 will not serve\nTraceback\nKeyError"
    assert sentences(actions, "warning") == NOBODY
    assert doings(actions) == [KillTemplate(2, 200)]
    assert doings(story.fails(200), Leave)


def test_listeners_that_can_t_be_opened_end_the_stop() -> None:
    story = loading()
    story.signal(Signal.TERM)
    story.tell(TemplateLoaded(2, Plan(1, POLICY)))
    assert doings(story.tell(TemplateFailed(2, "Address already in use"))) == [EndTemplate(2)]
    assert doings(story.ends(200), Leave)


def test_a_template_that_dies_while_it_loads_ends_the_stop() -> None:
    story = loading()
    story.signal(Signal.TERM)
    assert doings(story.dies(200), Leave)
    assert sentences(story.actions, "warning") == NOBODY


def test_it_takes_no_longer_than_any_stop() -> None:
    story = loading()
    story.signal(Signal.TERM)
    assert story.look(after_s=POLICY.stop_s - 0.1) == ()
    assert doings(story.look(after_s=0.2)) == [KillTemplate(2, 200)]
    assert sentences(story.actions, "warning") == NOBODY
    assert doings(story.dies(200), Leave)
    assert NOBODY not in sentences(story.actions)


def test_a_worker_that_does_not_get_ready_is_killed_when_the_time_is_over() -> None:
    story = resting()
    story.signal(Signal.TERM)
    story.tell(WorkerForked(1, 1, 111))
    story.tell(ForkFailed(2, "no"))
    assert doings(story.look(after_s=POLICY.stop_s + 0.1)) == [ReportRunning(1, 111), SignalWorker(111, "KILL")]
    assert doings(story.dies(111), EndTemplate, ForkWorker) == [EndTemplate(1)]
    assert sentences(story.actions, "warning").endswith(NOBODY)


def test_workers_that_are_born_when_the_time_is_over_are_told_to_go() -> None:
    story = resting()
    story.signal(Signal.TERM)
    story.look(after_s=POLICY.stop_s + 0.1)
    assert story.tell(WorkerForked(1, 1, 111)) == (SignalWorker(111, "TERM"),)
    assert story.tell(WorkerReady(2, 1, 112)) == (SignalWorker(112, "TERM"),)


def test_nobody_is_forked_when_the_time_is_over() -> None:
    story = serving(workers=1)
    story.signal(Signal.WINCH)
    story.signal(Signal.TERM, after_s=1.0)
    assert doings(story.ends(101, after_s=POLICY.stop_s + 0.1), ForkWorker, EndTemplate) == [EndTemplate(1)]


def test_a_quick_stop_waits_for_nobody_who_comes() -> None:
    story = loading()
    story.signal(Signal.TERM)
    assert KillTemplate(2, 200) in story.signal(Signal.QUIT)


def test_where_workers_die_at_birth_none_is_tried() -> None:
    story = serving(workers=1)
    story.dies(101)
    story.tell(WorkerForked(1, 1, 111))
    story.fails(111)
    assert doings(story.signal(Signal.TERM)) == [StopListening(), EndTemplate(1)]
    assert sentences(story.actions, "warning") == NOBODY
