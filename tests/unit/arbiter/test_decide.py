"""The table itself: complete, and harmless where it says so."""

from __future__ import annotations

import typing

import pytest
from situations import Story, doings, reloading, sentences, serving, starting, without_template

from paste_unicorn.arbiter import events
from paste_unicorn.arbiter.actions import AnnounceReload, ReopenLogs, SignalWorker, StartTemplate, WatchFiles
from paste_unicorn.arbiter.decide import PHASES, TABLE
from paste_unicorn.arbiter.events import FilesImported, Signal, SignalArrived, WorkerForked, WorkerReady
from paste_unicorn.arbiter.perform import _PERFORMERS
from paste_unicorn.arbiter.state import Phase, SlotPhase


def test_every_event_has_a_row_and_every_phase_a_column() -> None:
    kinds = set(typing.get_args(events.Event)) - {SignalArrived}
    assert set(TABLE) == set(Signal) | kinds
    assert set(PHASES) == set(Phase)


def test_every_action_has_a_performer() -> None:
    from paste_unicorn.arbiter import actions

    assert set(_PERFORMERS) == set(typing.get_args(actions.Action))


@pytest.mark.parametrize("signal", [Signal.USR2, Signal.WINCH])
def test_what_must_wait_for_the_start_says_so_and_changes_nothing(signal: Signal) -> None:
    story = starting()
    before = story.state
    assert sentences(story.signal(signal), "warning").startswith(f"Got {signal.name}: nothing is done")
    assert doings(story.actions) == []
    assert story.state == before


def test_a_terminal_that_is_resized_retires_nobody() -> None:
    story = serving()
    before = story.state
    assert story.signal(Signal.RESIZED) == ()
    assert story.state == before


def test_a_rule_comes_first_and_what_follows_from_it_in_the_same_event() -> None:
    story = serving()
    assert story.state.reload_wanted == ""
    assert doings(story.signal(Signal.HUP)) == [AnnounceReload(), StartTemplate(2)]
    assert story.state.reload_wanted == ""


@pytest.mark.parametrize("signal", list(Signal))
@pytest.mark.parametrize("situation", [starting, serving, without_template, reloading])
def test_no_signal_takes_the_last_worker_away_unless_it_asks_for_that(
    situation: typing.Callable[[], Story], signal: Signal
) -> None:
    story = situation()
    ready = len(story.state.in_phase(SlotPhase.READY))
    story.signal(signal)
    ends = signal in {Signal.TERM, Signal.QUIT, Signal.INT, Signal.TYPED_INT, Signal.WINCH}
    if not ends:
        assert len(story.state.in_phase(SlotPhase.READY)) >= min(ready, 1)


def test_usr1_reopens_the_arbiter_s_logs_before_the_workers_do() -> None:
    story = serving()
    actions = story.signal(Signal.USR1)
    assert actions[:3] == (ReopenLogs(), SignalWorker(101, "USR1"), SignalWorker(102, "USR1"))


@pytest.mark.parametrize("is_known", [False, True])
def test_usr1_is_told_to_a_worker_that_is_being_born_once_more_when_it_is_ready(is_known: bool) -> None:
    story = serving()
    story.signal(Signal.TTIN)
    (slot,) = story.state.in_phase(SlotPhase.ORDERED)
    born = WorkerForked(slot.number, slot.generation, 103)
    told = SignalWorker(103, "USR1")
    if is_known:
        story.tell(born)
    assert (told in story.signal(Signal.USR1)) is is_known
    if not is_known:
        story.tell(born)
    assert told in story.tell(WorkerReady(slot.number, slot.generation, 103))
    story.signal(Signal.TTIN)
    (slot,) = story.state.in_phase(SlotPhase.ORDERED)
    assert story.tell(WorkerReady(slot.number, slot.generation, 104)) == ()


def test_files_that_a_worker_imported_are_watched() -> None:
    assert serving().tell(FilesImported(("/a.py",))) == (WatchFiles(("/a.py",)),)
