"""From the first template to the last wanted worker."""

from __future__ import annotations

from situations import POLICY, TEMPLATE, Story, serving, starting, without_template

from paste_unicorn.arbiter.actions import AnnounceServing, AnnounceWorkers, ForkWorker, Say, SignalWorker, StartTemplate
from paste_unicorn.arbiter.events import (
    ForkFailed,
    TemplateFailed,
    TemplateLoaded,
    TemplateStarted,
    WorkerForked,
    WorkerReady,
)
from paste_unicorn.arbiter.rules.boot import begin
from paste_unicorn.arbiter.state import Phase, SlotPhase, TemplatePhase


def test_it_begins_with_a_template_that_is_forked() -> None:
    state, actions = begin(2, POLICY, 0.0)
    assert state.phase is Phase.STARTING
    assert actions == (AnnounceWorkers(2, None), StartTemplate(1))


def test_a_loaded_template_is_told_to_fork_all_workers() -> None:
    story = starting(workers=3)
    assert story.actions == (ForkWorker(1, 1, 1), ForkWorker(1, 2, 2), ForkWorker(1, 3, 3))


def test_no_more_is_ordered_at_once_than_the_template_s_socket_can_hold() -> None:
    story = starting(workers=100)
    assert len(story.actions) == 32
    assert story.tell(WorkerForked(1, 1, 101)) == (ForkWorker(1, 33, 33),)


def test_serving_begins_when_the_last_worker_is_ready_and_is_said_once() -> None:
    story = starting(workers=2)
    story.tell(WorkerForked(1, 1, 101))
    story.tell(WorkerForked(2, 1, 102))
    assert story.tell(WorkerReady(2, 1, 102)) == ()
    assert story.state.phase is Phase.STARTING
    assert story.tell(WorkerReady(1, 1, 101)) == (AnnounceServing(2),)
    assert story.state.phase is Phase.SERVING
    story.dies(102)
    story.tell(WorkerForked(2, 1, 103))
    assert story.tell(WorkerReady(2, 1, 103)) == ()


def test_a_worker_may_be_ready_before_its_template_has_reported_it() -> None:
    story = starting(workers=1)
    assert story.tell(WorkerReady(1, 1, 101)) == (AnnounceServing(1),)
    assert story.tell(WorkerForked(1, 1, 101)) == ()
    slot = story.state.slot(1)
    assert slot is not None
    assert (slot.phase, slot.pid) == (SlotPhase.READY, 101)


def test_a_fork_that_fails_is_tried_again_more_and_more_slowly_and_said_once_a_try() -> None:
    story = starting(workers=2)
    (said,) = story.tell(ForkFailed(1, "Resource temporarily unavailable"))
    assert isinstance(said, Say)
    assert "Resource temporarily unavailable" in said.sentence
    assert story.tell(ForkFailed(2, "Resource temporarily unavailable")) == ()
    assert story.look(after_s=0.05) == ()
    assert story.look(after_s=0.06) == (ForkWorker(1, 1, 3), ForkWorker(1, 2, 4))
    story.tell(ForkFailed(1, "again"))
    story.tell(ForkFailed(2, "again"))
    assert story.look(after_s=0.15) == ()
    assert story.look(after_s=0.06) != ()


def test_a_template_that_can_t_load_is_said_and_tried_again_later() -> None:
    story = without_template()
    (said,) = story.tell(TemplateFailed(2, "Traceback: no module named site"))
    assert isinstance(said, Say)
    assert "no module named site" in said.sentence
    story.fails(200)
    assert story.state.phase is Phase.SERVING
    assert story.look(after_s=0.4) == ()
    assert story.look(after_s=0.2) == (StartTemplate(3),)
    assert len(story.state.slots) == 2


def test_each_load_that_fails_makes_the_next_one_wait_longer() -> None:
    story = without_template()
    waits = []
    for generation in range(2, 8):
        story.tell(TemplateStarted(generation, 100 * generation))
        story.tell(TemplateFailed(generation, "no"))
        story.fails(100 * generation)
        began = story.now
        while not any(isinstance(action, StartTemplate) for action in story.look(after_s=0.1)):
            assert story.now - began < 100
        waits.append(story.now - began)
    assert waits == sorted(waits)
    assert waits[-1] > 10


def test_a_template_that_could_not_even_be_started_is_tried_again() -> None:
    story = serving()
    story.dies(TEMPLATE)
    story.tell(TemplateFailed(2, "it could not be started: no memory"))
    assert story.look(after_s=1.0) == (StartTemplate(3),)


def test_the_worker_of_a_template_that_died_before_it_could_report_it_is_taken_in() -> None:
    story = starting(workers=2)
    story.dies(TEMPLATE)
    assert story.state.slots == ()
    assert story.tell(WorkerReady(1, 1, 101)) == ()
    slot = story.state.slot(1)
    assert slot is not None
    assert (slot.phase, slot.pid, slot.generation) == (SlotPhase.READY, 101, 1)


def test_such_a_worker_is_sent_away_when_its_slot_is_taken() -> None:
    story = without_template(workers=2)
    assert story.tell(WorkerReady(1, 1, 999)) == (SignalWorker(999, "TERM"),)


def test_a_new_template_takes_over_the_forking_and_leaves_the_workers_alone() -> None:
    story = without_template()
    actions = story.tell(TemplateLoaded(2))
    assert not any(isinstance(action, ForkWorker | SignalWorker) for action in actions)
    assert ForkWorker(2, 1, 3) in story.dies(101)


def test_a_generation_of_which_nothing_is_left_is_forgotten() -> None:
    story = without_template()
    story.tell(TemplateLoaded(2))
    story.dies(101)
    assert [one.number for one in story.state.generations] == [1, 2]
    story.dies(102)
    assert [(one.number, one.template) for one in story.state.generations] == [(2, TemplatePhase.READY)]


def test_events_of_a_generation_that_is_forgotten_change_nothing() -> None:
    story: Story = serving()
    before = story.state
    for event in (TemplateStarted(7, 700), TemplateLoaded(7), WorkerForked(1, 7, 701)):
        assert story.tell(event) == ()
    assert story.state == before
