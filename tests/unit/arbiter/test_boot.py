"""From the first template to the last wanted worker."""

from __future__ import annotations

from dataclasses import replace

from situations import POLICY, TEMPLATE, Story, doings, sentences, serving, starting, without_template

from paste_unicorn.arbiter.actions import (
    AdoptGeneration,
    AnnounceServing,
    AnnounceWorkers,
    EquipGeneration,
    ForgetGeneration,
    ForkWorker,
    Leave,
    LetGo,
    Say,
    SignalWorker,
    StartTemplate,
)
from paste_unicorn.arbiter.events import (
    ForkFailed,
    GenerationEquipped,
    TemplateFailed,
    TemplateLoaded,
    TemplateStarted,
    WorkerForked,
    WorkerReady,
)
from paste_unicorn.arbiter.rules.boot import begin
from paste_unicorn.arbiter.state import Phase, Plan, SlotPhase, Standing, TemplatePhase


def test_it_begins_with_a_template_that_is_forked() -> None:
    state, actions = begin(Plan(2, POLICY), 0.0, has_predecessor=False)
    assert state.phase is Phase.STARTING
    assert actions == (AnnounceWorkers(2, None), StartTemplate(1))


def test_a_loaded_template_gets_its_listeners_before_it_is_told_to_fork() -> None:
    state, _ = begin(Plan(2, POLICY), 0.0, has_predecessor=False)
    story = Story(state)
    story.tell(TemplateStarted(1, TEMPLATE))
    assert story.tell(TemplateLoaded(1, Plan(2, POLICY))) == (EquipGeneration(1),)
    assert story.look(after_s=1.0) == ()
    assert story.tell(GenerationEquipped(1)) == (ForkWorker(1, 1, 1), ForkWorker(1, 2, 2))


def test_a_template_that_is_equipped_is_told_to_fork_all_workers() -> None:
    story = starting(workers=3)
    assert doings(story.actions, ForkWorker) == [ForkWorker(1, 1, 1), ForkWorker(1, 2, 2), ForkWorker(1, 3, 3)]


def test_what_a_template_s_settings_say_counts_and_not_what_was_known_before() -> None:
    state, _ = begin(Plan(2, POLICY), 0.0, has_predecessor=False)
    story = Story(state)
    story.loads(1, policy=replace(POLICY, boot_timeout_s=5.0))
    assert story.generation(1).policy.boot_timeout_s == 5.0


def test_no_more_is_ordered_at_once_than_the_template_s_socket_can_hold() -> None:
    story = starting(workers=100)
    assert len(doings(story.actions, ForkWorker)) == 32
    assert story.tell(WorkerForked(1, 1, 101)) == (ForkWorker(1, 33, 33),)


def test_serving_begins_when_the_last_worker_is_ready_and_is_said_once() -> None:
    story = starting(workers=2)
    story.tell(WorkerForked(1, 1, 101))
    story.tell(WorkerForked(2, 1, 102))
    assert story.tell(WorkerReady(2, 1, 102)) == ()
    assert story.state.phase is Phase.STARTING
    assert story.tell(WorkerReady(1, 1, 101)) == (AdoptGeneration(1), AnnounceServing(2))
    assert story.state.phase is Phase.SERVING
    story.dies(102)
    story.tell(WorkerForked(2, 1, 103))
    assert story.tell(WorkerReady(2, 1, 103)) == ()


def test_a_worker_may_be_ready_before_its_template_has_reported_it() -> None:
    story = starting(workers=1)
    assert story.tell(WorkerReady(1, 1, 101)) == (AdoptGeneration(1), AnnounceServing(1))
    assert story.tell(WorkerForked(1, 1, 101)) == ()
    assert (story.slot(1).phase, story.slot(1).pid) == (SlotPhase.READY, 101)


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
    actions = story.tell(TemplateFailed(2, "Traceback: no module named site"))
    assert "no module named site" in sentences(actions, "error")
    assert ForgetGeneration(2) in actions
    story.fails(200)
    assert story.state.phase is Phase.SERVING
    assert story.look(after_s=0.4) == ()
    assert doings(story.look(after_s=0.2)) == [StartTemplate(3)]
    assert story.phases(1) == {1: SlotPhase.READY, 2: SlotPhase.READY}


def test_an_application_that_can_t_be_loaded_at_the_start_ends_the_server_with_exit_code_1() -> None:
    state, _ = begin(Plan(2, POLICY), 0.0, has_predecessor=False)
    story = Story(state)
    story.tell(TemplateStarted(1, TEMPLATE))
    actions = story.tell(TemplateFailed(1, "Traceback: no module named site"))
    assert "The start failed" in sentences(actions, "error")
    assert "no module named site" in sentences(actions, "error")
    assert story.state.phase is Phase.QUITTING
    (leave,) = doings(story.fails(TEMPLATE), Leave)
    assert isinstance(leave, Leave)
    assert (leave.reason, leave.code) == ("the application could not be loaded", 1)


def test_a_template_that_is_killed_while_it_loads_at_the_start_is_no_reason_to_give_up() -> None:
    state, _ = begin(Plan(2, POLICY), 0.0, has_predecessor=False)
    story = Story(state)
    story.tell(TemplateStarted(1, TEMPLATE))
    actions = story.dies(TEMPLATE)
    assert "Generation 1 has lost its template, which was killed by SIGKILL while it loaded" in sentences(actions)
    assert story.state.phase is Phase.STARTING
    assert StartTemplate(2) in story.look(after_s=0.6)
    assert ForkWorker(2, 1, 1) in story.loads(2)
    assert AnnounceServing(2) in story.come(2)


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
    assert doings(story.look(after_s=1.0)) == [StartTemplate(3)]


def test_the_worker_of_a_template_that_died_before_it_could_report_it_is_taken_in() -> None:
    story = starting(workers=2)
    story.tell(WorkerForked(2, 1, 102))
    story.dies(TEMPLATE)
    assert story.phases(1) == {2: SlotPhase.STARTING}
    assert story.tell(WorkerReady(1, 1, 101)) == ()
    slot = story.slot(1)
    assert (slot.phase, slot.pid, slot.generation) == (SlotPhase.READY, 101, 1)


def test_such_a_worker_is_sent_away_when_its_slot_is_taken() -> None:
    story = without_template(workers=2)
    assert story.tell(WorkerReady(1, 1, 999)) == (SignalWorker(999, "TERM"),)


def test_such_a_worker_is_sent_away_when_nobody_else_of_its_generation_is_left() -> None:
    story = starting(workers=1)
    story.dies(TEMPLATE)
    assert doings(story.tell(WorkerReady(1, 1, 101))) == [SignalWorker(101, "TERM")]
    assert story.phases(1) == {1: SlotPhase.RETIRING}


def test_workers_that_lost_their_template_at_the_start_stay_until_those_of_the_next_are_ready() -> None:
    story = starting(workers=2)
    story.tell(WorkerForked(1, 1, 101))
    story.tell(WorkerForked(2, 1, 102))
    story.tell(WorkerReady(1, 1, 101))
    actions = story.dies(TEMPLATE)
    assert StartTemplate(2) in actions
    assert story.phases(1) == {1: SlotPhase.READY, 2: SlotPhase.STARTING}
    story.loads(2)
    actions = story.come(2)
    assert AnnounceServing(2) in actions
    assert set(doings(actions, SignalWorker)) == {SignalWorker(101, "TERM"), SignalWorker(102, "TERM")}


def test_a_new_template_s_workers_take_over_and_those_of_the_dead_one_are_left_alone_until_then() -> None:
    story = without_template()
    actions = story.loads(2)
    assert doings(actions) == [EquipGeneration(2), ForkWorker(2, 3, 3), ForkWorker(2, 4, 4)]
    assert ForkWorker(2, 1, 5) not in story.dies(101)
    actions = story.come(2)
    assert doings(actions) == [AdoptGeneration(2), SignalWorker(102, "TERM")]
    assert story.generation(1).standing is Standing.RETIRING


def test_a_generation_of_which_nothing_is_left_is_forgotten() -> None:
    story = without_template()
    story.loads(2)
    story.come(2)
    story.ends(101)
    assert [one.number for one in story.state.generations] == [1, 2]
    story.ends(102)
    assert [(one.number, one.template) for one in story.state.generations] == [(2, TemplatePhase.READY)]


def test_events_of_a_generation_that_is_forgotten_change_nothing() -> None:
    story: Story = serving()
    before = story.state
    for event in (
        TemplateStarted(7, 700),
        TemplateLoaded(7, Plan(2, POLICY)),
        TemplateFailed(7, "no"),
        GenerationEquipped(7),
        WorkerForked(1, 7, 701),
    ):
        assert story.tell(event) == ()
    assert story.state == before


def test_what_the_runner_s_load_opened_is_let_go_before_the_application_is_loaded_beside_it() -> None:
    plan = Plan(2, replace(POLICY, retire_first=True))
    state, actions = begin(plan, 0.0, has_predecessor=False, forks_first=False)
    assert doings(actions) == [AnnounceWorkers(2, None), LetGo(), StartTemplate(1)]
    assert state.has_let_go
    for other, forks_first in ((plan, True), (Plan(2, POLICY), False)):
        state, actions = begin(other, 0.0, has_predecessor=False, forks_first=forks_first)
        assert LetGo() not in actions
        assert not state.has_let_go
