"""HUP: a new generation takes over when its workers are ready; any failure leaves what serves as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from situations import (
    POLICY,
    RETIRE_FIRST,
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
    AdoptGeneration,
    AnnounceReload,
    AnnounceServing,
    AnnounceWorkers,
    Conclude,
    EndTemplate,
    EquipGeneration,
    ForgetGeneration,
    ForkWorker,
    KillTemplate,
    Leave,
    LetGo,
    SignalWorker,
    StartTemplate,
)
from paste_unicorn.arbiter.events import (
    GenerationEquipped,
    Signal,
    TemplateFailed,
    TemplateLoaded,
    TemplateStarted,
    WorkerForked,
    WorkerReady,
)
from paste_unicorn.arbiter.rules.boot import begin
from paste_unicorn.arbiter.state import Phase, Plan, SlotPhase, Standing, TemplatePhase

BOTH_READY = {1: SlotPhase.READY, 2: SlotPhase.READY}


def finish_retirement(story: Story, generation: int) -> None:
    """What retires leaves, its template last."""
    for slot in story.state.in_phase(SlotPhase.RETIRING, of=generation):
        story.ends(slot.pid)
    story.ends(100 * generation)


# -- one that succeeds ---------------------------------------------------------------------------------------


def test_a_reload_from_the_signal_to_the_summary() -> None:
    story = serving(workers=2)
    assert doings(story.signal(Signal.HUP)) == [AnnounceReload(), StartTemplate(2)]
    assert doings(story.tell(TemplateStarted(2, 200))) == []
    story.now += 1.0
    assert doings(story.loads(2)) == [EquipGeneration(2), ForkWorker(2, 3, 3), ForkWorker(2, 4, 4)]
    story.tell(WorkerForked(3, 2, 203))
    story.tell(WorkerForked(4, 2, 204))
    assert story.tell(WorkerReady(3, 2, 203)) == ()
    assert story.tell(WorkerReady(4, 2, 204)) == (
        AdoptGeneration(2),
        SignalWorker(101, "TERM"),
        SignalWorker(102, "TERM"),
    )
    assert doings(story.ends(101), EndTemplate, Conclude) == []
    story.now += 0.5
    assert doings(story.ends(102), EndTemplate, Conclude) == [EndTemplate(1), Conclude(2, "HUP", 1.5, 2)]
    assert doings(story.ends(TEMPLATE)) == []
    assert [(one.number, one.standing) for one in story.state.generations] == [(2, Standing.SERVING)]


def test_no_worker_retires_before_all_of_the_new_generation_are_ready() -> None:
    story = reloading(workers=3)
    story.loads(2, workers=3)
    for slot in (4, 5, 6):
        story.tell(WorkerForked(slot, 2, 200 + slot))
    for slot in (4, 5):
        assert doings(story.tell(WorkerReady(slot, 2, 200 + slot))) == []
    assert doings(story.look(after_s=1.0)) == []
    assert len(doings(story.tell(WorkerReady(6, 2, 206)), SignalWorker)) == 3


def test_what_serves_is_watched_and_replaced_while_the_new_generation_comes() -> None:
    story = reloading()
    assert ForkWorker(1, 1, 3) in story.dies(101)
    last = story.now
    story.look({2: last}, after_s=30.1)
    assert SignalWorker(102, "ABRT") in story.look({2: last}, after_s=0.6)


def test_a_worker_of_the_old_one_that_is_born_too_late_is_told_to_go() -> None:
    story = reloading()
    story.dies(101)
    story.loads(2)
    story.come(2)
    assert story.tell(WorkerForked(1, 1, 151)) == (SignalWorker(151, "TERM"),)
    assert story.tell(WorkerReady(1, 1, 151)) == ()
    assert doings(story.ends(102), EndTemplate, Conclude) == []
    actions = story.ends(151)
    assert EndTemplate(1) in actions
    assert doings(actions, ForkWorker) == []


def test_the_summary_waits_for_the_last_worker_of_all_that_is_older() -> None:
    story = reloading(workers=1)
    story.loads(2, workers=1)
    story.come(2)
    story.signal(Signal.HUP)
    story.loads(3, workers=1)
    story.come(3)
    assert len(story.state.changes) == 2
    (of_2,) = story.state.in_phase(SlotPhase.RETIRING, of=2)
    assert doings(story.ends(of_2.pid), Conclude) == []
    assert [one.generation for one in story.ends(101) if isinstance(one, Conclude)] == [2, 3]


def test_a_worker_that_does_not_retire_is_killed_by_its_own_generation_s_settings() -> None:
    story = reloading(workers=1)
    story.loads(2, workers=1, policy=replace(POLICY, graceful_s=100.0))
    story.come(2)
    assert doings(story.look(after_s=19.0)) == []
    assert SignalWorker(101, "KILL") in story.look(after_s=1.1)
    assert doings(story.dies(101), Conclude) != []


def test_settings_of_the_new_generation_count_once_it_serves() -> None:
    story = reloading(workers=2)
    later = replace(POLICY, stop_s=3.0)
    story.loads(2, workers=3, policy=later)
    assert (story.state.wanted, story.state.policy) == (2, POLICY)
    actions = story.come(2)
    assert AnnounceWorkers(3, 2) in actions
    assert (story.state.wanted, story.state.policy) == (3, later)


def test_fewer_workers_in_the_new_settings_mean_fewer_workers() -> None:
    story = reloading(workers=3)
    assert len(doings(story.loads(2, workers=1), ForkWorker)) == 1
    story.come(2)
    assert story.state.wanted == 1
    finish_retirement(story, 1)
    assert list(story.phases(2).values()) == [SlotPhase.READY]


def test_failures_of_what_serves_do_not_let_the_new_generation_wait() -> None:
    story = serving(workers=1)
    story.dies(101)
    for pid in range(111, 119):
        story.tell(WorkerForked(1, 1, pid))
        story.fails(pid)
        story.look(after_s=0.0)
        story.now = max(story.now, story.state.births.not_before)
        story.look()
    story.tell(WorkerForked(1, 1, 120))
    story.fails(120)
    assert story.state.births.not_before > story.now + 5
    story.signal(Signal.HUP)
    assert doings(story.loads(2, workers=1), ForkWorker) == [ForkWorker(2, 2, story.state.last_age)]


# -- more than one -------------------------------------------------------------------------------------------


def test_ten_in_a_row_end_in_one_newest_generation() -> None:
    story = serving()
    starts = [action for _ in range(10) for action in doings(story.signal(Signal.HUP), StartTemplate)]
    assert starts == [StartTemplate(2)]
    assert "another reload follows generation 2" in sentences(story.actions)
    story.loads(2)
    actions = story.come(2)
    assert AdoptGeneration(2) in actions
    assert doings(actions, StartTemplate) == [StartTemplate(3)]
    story.loads(3)
    actions = story.come(3)
    assert AdoptGeneration(3) in actions
    assert doings(actions, StartTemplate) == []
    for generation in (1, 2):
        finish_retirement(story, generation)
    assert [(one.number, one.standing) for one in story.state.generations] == [(3, Standing.SERVING)]
    assert len(story.phases(3)) == 2


def test_a_signal_during_a_reload_that_fails_is_remembered_too() -> None:
    story = reloading()
    story.signal(Signal.HUP)
    actions = story.tell(TemplateFailed(2, "SyntaxError: invalid syntax"))
    assert doings(actions, StartTemplate) == [StartTemplate(3)]
    story.loads(3)
    assert AdoptGeneration(3) in story.come(3)


def test_a_signal_during_the_start_is_remembered() -> None:
    story = starting(workers=1)
    assert doings(story.signal(Signal.HUP)) == []
    assert "another reload follows generation 1" in sentences(story.actions)
    actions = story.come(1)
    assert doings(actions, AnnounceServing, StartTemplate) == [AnnounceServing(1), StartTemplate(2)]


def test_a_signal_while_a_dead_template_is_replaced_is_remembered() -> None:
    story = without_template()
    assert doings(story.signal(Signal.HUP)) == []
    story.loads(2)
    assert doings(story.come(2), AdoptGeneration, StartTemplate) == [AdoptGeneration(2), StartTemplate(3)]


# -- one that fails ------------------------------------------------------------------------------------------


def fails_to_load(story: Story) -> None:
    story.tell(TemplateFailed(2, "Traceback\nSyntaxError: invalid syntax"))
    story.fails(200)


def can_t_be_started(story: Story) -> None:
    story.state = serving().state
    story.signal(Signal.HUP)
    story.tell(TemplateFailed(2, "it could not be started: Cannot allocate memory"))


def dies_while_it_loads(story: Story) -> None:
    story.dies(200)


def does_not_load_in_time(story: Story) -> None:
    story.look(after_s=60.5)
    story.fails(200)


def can_t_listen(story: Story) -> None:
    story.tell(TemplateLoaded(2, Plan(2, POLICY)))
    story.tell(TemplateFailed(2, "bind = 127.0.0.1:80: Address already in use: another process listens there"))
    story.ends(200)


def loses_its_template(story: Story) -> None:
    story.loads(2)
    story.tell(WorkerForked(3, 2, 203))
    story.dies(200)
    story.ends(203)


def has_a_worker_that_dies_before_it_is_ready(story: Story) -> None:
    story.loads(2)
    story.tell(WorkerForked(3, 2, 203))
    story.tell(WorkerForked(4, 2, 204))
    story.tell(WorkerReady(4, 2, 204))
    story.fails(203)
    story.ends(204)
    story.ends(200)


def has_a_worker_that_dies_just_after_it_was_ready(story: Story) -> None:
    story.loads(2)
    story.tell(WorkerForked(3, 2, 203))
    story.tell(WorkerReady(3, 2, 203))
    story.fails(203, after_s=0.5)
    story.tell(WorkerForked(4, 2, 204))
    story.ends(204)
    story.ends(200)


def has_a_worker_that_is_not_ready_in_time(story: Story) -> None:
    story.loads(2)
    story.tell(WorkerForked(3, 2, 203))
    story.tell(WorkerForked(4, 2, 204))
    story.tell(WorkerReady(4, 2, 204))
    story.look(after_s=60.5)
    assert SignalWorker(203, "ABRT") in story.actions
    story.fails(203)
    for slot in story.state.in_phase(SlotPhase.ORDERED, of=2):
        story.tell(WorkerForked(slot.number, 2, 250))
        story.ends(250)
    story.ends(204)
    story.ends(200)


def has_workers_that_are_all_killed_before_they_are_ready(story: Story) -> None:
    story.loads(2)
    for pid in range(203, 209):
        story.tell(WorkerForked(3, 2, pid))
        story.dies(pid)
    assert story.state.coming is None
    story.tell(WorkerForked(4, 2, 210))
    story.ends(210)
    story.ends(200)


FAILURES = [
    fails_to_load, can_t_be_started, dies_while_it_loads, does_not_load_in_time, can_t_listen, loses_its_template,
    has_a_worker_that_dies_before_it_is_ready, has_a_worker_that_dies_just_after_it_was_ready,
    has_a_worker_that_is_not_ready_in_time, has_workers_that_are_all_killed_before_they_are_ready,
]  # fmt: skip


@pytest.mark.parametrize("failure", FAILURES)
def test_a_reload_that_fails_leaves_the_former_state(failure: Callable[[Story], None]) -> None:
    story = reloading()
    told: list[object] = []
    said: list[str] = []
    tell = story.tell

    def tell_and_listen(*arguments: object) -> object:
        actions = tell(*arguments)  # type: ignore[arg-type]
        told.extend(actions)
        said.append(sentences(actions, "error"))
        return actions

    story.tell = tell_and_listen  # type: ignore[method-assign,assignment]
    failure(story)
    before = serving().state
    state = story.state
    assert (state.phase, state.wanted, state.policy) == (before.phase, before.wanted, before.policy)
    assert [(one.number, one.standing, one.template) for one in state.generations] == [
        (1, Standing.SERVING, TemplatePhase.READY)
    ]
    assert state.slots == before.slots
    assert state.coming is None
    assert state.changes == ()
    assert told.count(ForgetGeneration(2)) == 1
    assert not {SignalWorker(101, "TERM"), SignalWorker(102, "TERM"), AdoptGeneration(2)} & set(told)
    assert "\n".join(said).count("The reload failed: generation 2 ") == 1
    assert "generation 1 goes on serving as it was" in "\n".join(said)


@pytest.mark.parametrize("failure", FAILURES)
def test_after_a_reload_that_failed_the_next_one_is_like_the_first(failure: Callable[[Story], None]) -> None:
    story = reloading()
    failure(story)
    assert doings(story.look(after_s=100.0), StartTemplate) == []
    assert doings(story.signal(Signal.HUP)) == [AnnounceReload(), StartTemplate(3)]
    story.loads(3)
    actions = story.come(3)
    assert AdoptGeneration(3) in actions
    finish_retirement(story, 1)
    assert [(one.number, one.standing) for one in story.state.generations] == [(3, Standing.SERVING)]


def test_a_template_that_can_t_load_is_ended_with_what_it_has_forked() -> None:
    story = reloading()
    story.loads(2)
    story.tell(WorkerForked(3, 2, 203))
    story.tell(WorkerForked(4, 2, 204))
    story.tell(WorkerReady(4, 2, 204))
    assert doings(story.fails(203))[1:] == [ForgetGeneration(2), SignalWorker(204, "TERM")]
    assert EndTemplate(2) in story.ends(204)


def test_a_worker_that_the_failed_generation_had_been_told_to_fork_is_told_to_go() -> None:
    story = reloading()
    story.loads(2)
    story.tell(WorkerForked(3, 2, 203))
    story.fails(203)
    assert story.phases(2) == {4: SlotPhase.ORDERED}
    assert story.tell(WorkerForked(4, 2, 204)) == (SignalWorker(204, "TERM"),)
    assert EndTemplate(2) in story.ends(204)


def test_a_worker_of_the_new_generation_that_somebody_kills_is_no_fault_of_it() -> None:
    story = reloading()
    story.loads(2)
    story.tell(WorkerForked(3, 2, 203))
    actions = story.dies(203)
    assert ForkWorker(2, 3, 5) in actions
    assert ForgetGeneration(2) not in actions
    assert AdoptGeneration(2) in story.come(2)


def test_a_template_that_loads_too_late_is_not_listened_to_any_more() -> None:
    story = reloading()
    story.look(after_s=60.5)
    assert story.tell(TemplateLoaded(2, Plan(2, POLICY))) == ()
    assert doings(story.fails(200)) == []


def test_the_log_of_a_reload_that_failed_says_why_what_serves_and_what_to_do() -> None:
    story = reloading()
    said = sentences(story.tell(TemplateFailed(2, "Traceback\nNameError: name 'x' is not defined\n")), "error")
    assert said == (
        "The reload failed: generation 2 could not be loaded; generation 1 goes on serving as it was\n"
        "Traceback\nNameError: name 'x' is not defined\n"
        "Correct it and send HUP again"
    )


@pytest.mark.parametrize(
    ("reason", "advised"),
    [
        ("Traceback\nBlockingIOError: [Errno 11] Resource temporarily unavailable", True),
        ("Traceback\nLockFailed: failed to create /run/site.lock", True),
        ("Traceback\nsqlite3.OperationalError: database is locked", True),
        ("Traceback\nOSError: [Errno 98] Address already in use", True),
        ("Traceback\n  File 'locks.py'\n    lock.acquire()\nRuntimeError: flock: held by pid 7", True),
        ("Traceback\n  File 'locks.py'\n    lock.acquire()\nNameError: name 'x' is not defined", False),
        ("Traceback\nModuleNotFoundError: No module named 'blocks'", False),
        ("Traceback\nImportError: cannot import name 'clock' from 'time'", False),
        (
            "Traceback\n  File 'a.py'\nBlockingIOError: temporarily unavailable\n\nDuring\n\nShopError: no",
            True,
        ),
        ("Traceback\n  File 'a.py'\n    x\nDatabaseError: database is locked\n(Background: https://x)", True),
        ("Traceback\n  File 'a.py'\n    flock(f)\n  File 'lock.py'\n    lock\nShopError: no\n(see there)", False),
        ("Traceback\n  File 'a.py'\n    lock\nNameError: name 'lock' is not defined\n\nDuring\n\nShopError: no", False),
        ("Traceback\nModuleNotFoundError: No module named 'lockfile'", False),
        ("pidfile = /run/lock/site.pid: a server is already running as pid 7", False),
    ],
)
def test_retire_first_is_advised_where_the_exception_speaks_of_something_exclusive(reason: str, advised: bool) -> None:
    story = reloading()
    said = sentences(story.tell(TemplateFailed(2, reason)), "error")
    assert ("reload_mode = retire_first" in said) is advised


def test_retire_first_is_advised_where_the_load_hangs() -> None:
    story = reloading()
    assert "reload_mode = retire_first" in sentences(story.look(after_s=60.5), "error")


def test_retire_first_is_not_advised_where_somebody_else_has_the_address() -> None:
    story = reloading()
    story.tell(TemplateLoaded(2, Plan(2, POLICY)))
    said = sentences(story.tell(TemplateFailed(2, "bind = :80: Address already in use: stop it")), "error")
    assert "generation 2 can't listen" in said
    assert "retire_first" not in said


def test_a_reload_whose_failure_leaves_no_template_is_tried_again() -> None:
    story = reloading()
    story.dies(TEMPLATE)
    said = sentences(story.tell(TemplateFailed(2, "NameError: x")), "error")
    assert "the workers that are there go on; the next try is in 0.5 s" in said
    assert "HUP tries at once" in said
    assert doings(story.look(after_s=0.4), StartTemplate) == []
    story.signal(Signal.HUP)
    assert doings(story.actions, StartTemplate) == [StartTemplate(3)]
    assert story.phases(1) == BOTH_READY


# -- during a start ------------------------------------------------------------------------------------------


def in_trouble(workers: int = 2) -> Story:
    """One worker of the first generation is ready, the others die at birth."""
    story = starting(workers)
    for slot in range(1, workers + 1):
        story.tell(WorkerForked(slot, 1, 100 + slot))
    story.tell(WorkerReady(1, 1, 101))
    for slot in range(2, workers + 1):
        story.fails(100 + slot)
    return story


def test_a_start_that_has_trouble_makes_way_for_a_reload() -> None:
    story = in_trouble()
    actions = story.signal(Signal.HUP)
    assert doings(actions, StartTemplate) == [StartTemplate(2)]
    assert story.phases(1)[1] is SlotPhase.READY
    story.loads(2)
    actions = story.come(2)
    assert doings(actions, AdoptGeneration, AnnounceServing) == [AdoptGeneration(2), AnnounceServing(2)]
    assert SignalWorker(101, "TERM") in actions
    assert story.state.phase is Phase.SERVING


def test_the_first_generation_completes_the_start_after_a_reload_that_failed() -> None:
    story = in_trouble()
    story.signal(Signal.HUP)
    story.tell(TemplateStarted(2, 200))
    story.tell(TemplateFailed(2, "NameError: x"))
    story.fails(200)
    assert story.state.phase is Phase.STARTING
    assert AnnounceServing(2) in story.come(1)
    assert story.state.phase is Phase.SERVING


def test_each_reload_of_a_start_that_has_trouble_makes_way_for_the_next() -> None:
    story = in_trouble()
    story.signal(Signal.HUP)
    story.loads(2)
    story.tell(WorkerForked(3, 2, 203))
    story.tell(WorkerReady(3, 2, 203))
    (slot,) = story.state.in_phase(SlotPhase.ORDERED, of=1)
    story.tell(WorkerForked(slot.number, 1, 150))
    story.fails(150)
    actions = story.signal(Signal.HUP)
    assert doings(actions, ForgetGeneration, SignalWorker) == [ForgetGeneration(2), SignalWorker(203, "TERM")]
    assert doings(actions, StartTemplate) == [StartTemplate(3)]
    assert story.generation(1).standing is Standing.SERVING


def test_a_start_that_waits_for_its_next_try_begins_at_once() -> None:
    state, _ = begin(Plan(1, POLICY), 0.0, has_predecessor=False)
    story = Story(state)
    story.tell(TemplateStarted(1, TEMPLATE))
    story.dies(TEMPLATE)
    assert doings(story.look(after_s=0.1)) == []
    assert doings(story.signal(Signal.HUP), StartTemplate) == [StartTemplate(2)]


def test_a_start_whose_workers_are_never_ready_makes_way_for_a_reload_that_came_before_that_showed() -> None:
    story = starting()
    for slot in (1, 2):
        story.tell(WorkerForked(slot, 1, TEMPLATE + slot))
    assert not doings(story.signal(Signal.HUP), StartTemplate)
    story.look(after_s=POLICY.boot_timeout_s + 1)
    assert StartTemplate(2) in story.fails(101)


def test_a_generation_that_comes_alone_and_has_trouble_makes_way_for_a_reload() -> None:
    story = without_template()
    story.dies(101)
    story.dies(102)
    story.tell(TemplateLoaded(2, Plan(2, POLICY)))
    story.tell(GenerationEquipped(2))
    story.signal(Signal.HUP)
    for slot in (1, 2):
        story.tell(WorkerForked(slot, 2, 200 + slot))
    assert StartTemplate(3) in story.fails(201)


def test_retire_first_waits_for_a_worker_that_its_dead_template_had_not_reported() -> None:
    story = serving(workers=1, policy=RETIRE_FIRST)
    story.signal(Signal.TTIN)
    story.dies(TEMPLATE)
    story.tell(WorkerReady(2, 1, 102))
    assert not doings(story.ends(101), StartTemplate)
    assert doings(story.ends(102), StartTemplate)


def test_a_load_that_has_trouble_at_the_start_is_given_up_for_a_newer_one() -> None:
    state, _ = begin(Plan(1, POLICY), 0.0, has_predecessor=False)
    story = Story(state)
    story.tell(TemplateStarted(1, TEMPLATE))
    story.dies(TEMPLATE)
    story.look(after_s=1.0)
    story.tell(TemplateStarted(2, 200))
    actions = story.signal(Signal.HUP)
    assert doings(actions) == [ForgetGeneration(2), KillTemplate(2, 200), AnnounceReload(), StartTemplate(3)]
    story.dies(200)
    story.loads(3, workers=1)
    assert AnnounceServing(1) in story.come(3)


# -- who decides on the number -------------------------------------------------------------------------------


def test_a_reload_takes_the_number_of_the_settings_whatever_ttin_made_of_it() -> None:
    story = serving(workers=2)
    story.signal(Signal.TTIN)
    story.come(1)
    story.signal(Signal.HUP)
    story.loads(2, workers=2)
    assert AnnounceWorkers(2, 3) in story.come(2)
    assert story.state.wanted == 2


def test_a_number_that_was_asked_for_during_a_reload_is_newer_than_its_settings() -> None:
    story = reloading(workers=2)
    story.signal(Signal.TTIN)
    story.loads(2, workers=2)
    story.come(2)
    assert story.state.wanted == 3
    assert len(story.state.in_phase(SlotPhase.READY, of=2)) == 3


def test_a_template_that_replaces_a_dead_one_leaves_the_number_that_ttin_made() -> None:
    story = serving(workers=2)
    story.signal(Signal.TTIN)
    story.come(1)
    story.dies(TEMPLATE)
    story.loads(2, workers=2)
    story.come(2)
    assert len(story.state.in_phase(SlotPhase.READY, of=2)) == story.state.wanted == 3


# -- an application that can't be loaded beside itself -------------------------------------------------------


def test_retire_first_retires_all_then_lets_go_then_loads() -> None:
    story = serving(policy=RETIRE_FIRST)
    actions = story.signal(Signal.HUP)
    assert doings(actions) == [SignalWorker(101, "TERM"), SignalWorker(102, "TERM")]
    assert "Generation 1 retires before the next one is loaded" in sentences(actions)
    assert doings(story.ends(101), EndTemplate, StartTemplate, ForkWorker) == []
    assert doings(story.ends(102), EndTemplate, StartTemplate) == [EndTemplate(1)]
    assert doings(story.ends(TEMPLATE)) == [LetGo(), AnnounceReload(), StartTemplate(2)]
    story.loads(2, policy=RETIRE_FIRST)
    assert doings(story.come(2)) == [AdoptGeneration(2), Conclude(2, "HUP", 0.0, 2)]


def test_retire_first_lets_go_once() -> None:
    story = serving(workers=1, policy=RETIRE_FIRST)
    letting_go = []
    for generation in (1, 2, 3):
        story.signal(Signal.HUP)
        (slot,) = story.state.slots
        story.ends(slot.pid)
        letting_go += doings(story.ends(100 * generation), LetGo)
        story.loads(generation + 1, workers=1, policy=RETIRE_FIRST)
        story.come(generation + 1)
    assert letting_go == [LetGo()]
    assert story.state.serving is not None
    assert story.state.serving.number == 4


def test_retire_first_tries_a_load_that_fails_again_with_patience_and_with_the_settings_of_then() -> None:
    story = serving(policy=RETIRE_FIRST)
    story.signal(Signal.HUP)
    finish_retirement(story, 1)
    story.tell(TemplateStarted(2, 200))
    said = sentences(story.tell(TemplateFailed(2, "NameError: x")), "error")
    assert said == (
        "Generation 2 could not be loaded; the next try is in 0.5 s\nNameError: x\nCorrect it; HUP tries at once"
    )
    story.fails(200)
    assert doings(story.look(after_s=0.4), StartTemplate) == []
    assert "Loading generation 3 in a fresh interpreter (another try)" in sentences(story.look(after_s=0.2))
    story.loads(3, workers=4, policy=RETIRE_FIRST)
    story.come(3)
    assert story.state.wanted == 4


def test_retire_first_tries_at_once_when_hup_comes() -> None:
    story = serving(policy=RETIRE_FIRST)
    story.signal(Signal.HUP)
    finish_retirement(story, 1)
    story.tell(TemplateStarted(2, 200))
    story.tell(TemplateFailed(2, "NameError: x"))
    story.fails(200)
    assert doings(story.signal(Signal.HUP)) == [AnnounceReload(), StartTemplate(3)]


def test_retire_first_replaces_a_dead_template_after_its_workers_have_gone() -> None:
    story = serving(policy=RETIRE_FIRST)
    assert doings(story.dies(TEMPLATE)) == [SignalWorker(101, "TERM"), SignalWorker(102, "TERM")]
    story.ends(101)
    assert doings(story.ends(102), LetGo, StartTemplate) == [LetGo(), StartTemplate(2)]


def test_retire_first_loads_though_a_worker_does_not_want_to_go() -> None:
    story = serving(workers=1, policy=RETIRE_FIRST)
    story.signal(Signal.HUP)
    assert SignalWorker(101, "KILL") in story.look(after_s=20.1)
    story.dies(101)
    assert StartTemplate(2) in story.ends(TEMPLATE)


# -- where nobody knows how to load --------------------------------------------------------------------------


@pytest.mark.parametrize("situation", [starting, serving, in_trouble])
def test_where_nobody_knows_where_the_application_came_from_it_is_said_and_nothing_happens(
    situation: Callable[[], Story],
) -> None:
    story = situation()
    story.state = replace(story.state, policy=replace(POLICY, can_load_again=False))
    before = story.state
    assert doings(story.signal(Signal.HUP)) == []
    assert "it is not known where the application came from" in sentences(story.actions, "error")
    assert story.state == before


@pytest.mark.parametrize("stop", [Signal.TERM, Signal.QUIT])
def test_a_stop_ends_both_generations_and_the_template_that_loads(stop: Signal) -> None:
    story = reloading()
    story.signal(stop)
    assert doings(story.tell(TemplateLoaded(2, Plan(2, POLICY)))) == []
    story.ends(101)
    actions = story.ends(102)
    assert set(doings(actions, EndTemplate, KillTemplate)) == {EndTemplate(1), KillTemplate(2, 200)}
    story.dies(200)
    assert doings(story.ends(TEMPLATE), Leave) != []
