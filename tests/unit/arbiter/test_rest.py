"""WINCH: all workers retire, the arbiter stays; HUP or TTIN brings workers back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from situations import POLICY, TEMPLATE, Story, doings, reloading, sentences, serving

from paste_unicorn.arbiter.actions import (
    AdoptGeneration,
    AnnounceWorkers,
    EndTemplate,
    ForkWorker,
    Leave,
    SignalWorker,
    StartTemplate,
)
from paste_unicorn.arbiter.events import Signal, TemplateFailed, WorkerForked
from paste_unicorn.arbiter.state import Phase, SlotPhase


def resting(workers: int = 2) -> Story:
    """All workers have retired."""
    story = serving(workers)
    story.signal(Signal.WINCH)
    for slot in range(1, workers + 1):
        story.ends(TEMPLATE + slot)
    return story


def test_all_workers_retire_and_none_comes_back_by_itself() -> None:
    story = serving(workers=2)
    actions = story.signal(Signal.WINCH)
    assert doings(actions) == [SignalWorker(101, "TERM"), SignalWorker(102, "TERM")]
    assert "HUP brings them back" in sentences(actions, "info")
    story.ends(101)
    assert doings(story.ends(102)) != []
    assert doings(story.look(after_s=100.0)) == []
    assert story.state.slots == ()
    assert (story.state.phase, story.state.wanted) == (Phase.SERVING, 2)


def test_the_template_stays() -> None:
    story = serving(workers=1)
    story.signal(Signal.WINCH)
    assert doings(story.ends(101), EndTemplate) == []


def test_a_worker_that_is_only_ordered_is_told_to_go_when_it_comes() -> None:
    story = serving(workers=1)
    story.dies(101)
    assert doings(story.signal(Signal.WINCH)) == []
    assert story.tell(WorkerForked(1, 1, 150)) == (SignalWorker(150, "TERM"),)


def test_hup_brings_all_of_them_back_in_a_new_generation() -> None:
    story = resting(workers=2)
    assert StartTemplate(2) in story.signal(Signal.HUP)
    assert doings(story.loads(2), ForkWorker) == [ForkWorker(2, 1, 3), ForkWorker(2, 2, 4)]
    actions = story.come(2)
    assert AdoptGeneration(2) in actions
    assert EndTemplate(1) in actions
    assert doings(actions, AnnounceWorkers) == []


def test_a_reload_that_fails_leaves_it_resting() -> None:
    story = resting(workers=2)
    story.signal(Signal.HUP)
    assert "The reload failed" in sentences(story.tell(TemplateFailed(2, "NameError: x")), "error")
    assert doings(story.look(after_s=100.0)) == []
    assert story.state.slots == ()


def test_ttin_brings_one_back_and_then_one_more() -> None:
    story = resting(workers=3)
    assert doings(story.signal(Signal.TTIN)) == [AnnounceWorkers(1, 3), ForkWorker(1, 1, 4)]
    assert doings(story.signal(Signal.TTIN)) == [AnnounceWorkers(2, 1), ForkWorker(1, 2, 5)]


def test_ttin_brings_one_back_though_there_were_as_many_as_can_be() -> None:
    story = resting(workers=2)
    story.state = replace(story.state, policy=replace(POLICY, most_workers=2))
    assert doings(story.signal(Signal.TTIN), ForkWorker) == [ForkWorker(1, 1, 3)]


@pytest.mark.parametrize("after_a_reload", [False, True])
def test_ttou_brings_nobody_back(after_a_reload: bool) -> None:
    story = resting(workers=3)
    if after_a_reload:
        story.signal(Signal.HUP)
        story.tell(TemplateFailed(2, "NameError: x"))
    assert doings(story.signal(Signal.TTOU)) == []
    assert "retired already" in sentences(story.actions, "warning")


def test_a_second_one_changes_nothing() -> None:
    story = resting()
    before = story.state
    assert doings(story.signal(Signal.WINCH)) == []
    assert story.state == before


def test_it_counts_though_the_next_generation_is_coming() -> None:
    story = reloading(workers=2)
    assert doings(story.signal(Signal.WINCH), SignalWorker) == [SignalWorker(101, "TERM"), SignalWorker(102, "TERM")]
    actions = story.loads(2)
    assert doings(actions, ForkWorker) == []
    assert AdoptGeneration(2) in actions
    story.ends(101)
    story.ends(102)
    assert story.state.slots == ()
    assert doings(story.signal(Signal.TTIN), ForkWorker) == [ForkWorker(2, 1, 3)]


def test_it_counts_though_another_reload_was_asked_for_before() -> None:
    story = reloading(workers=2)
    story.signal(Signal.HUP)
    story.signal(Signal.WINCH)
    assert StartTemplate(3) in story.loads(2)
    assert AdoptGeneration(3) in story.loads(3)
    assert story.state.in_phase(SlotPhase.ORDERED) == ()


def test_a_template_that_dies_meanwhile_is_replaced_by_one_that_rests_too() -> None:
    story = resting(workers=2)
    assert doings(story.dies(TEMPLATE), StartTemplate) == [StartTemplate(2)]
    actions = story.loads(2)
    assert AdoptGeneration(2) in actions
    assert doings(actions, ForkWorker, AnnounceWorkers) == []
    assert doings(story.look(after_s=100.0)) == []
    assert doings(story.signal(Signal.TTIN), ForkWorker) == [ForkWorker(2, 1, 3)]


def test_a_quick_stop_while_it_rests_leaves_when_the_template_has_gone() -> None:
    story = resting()
    assert EndTemplate(1) in story.signal(Signal.QUIT)
    assert doings(story.ends(TEMPLATE), Leave) != []
