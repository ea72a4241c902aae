"""The table itself: complete, and harmless where it says so."""

from __future__ import annotations

import typing

import pytest
from situations import Story, serving, starting

from paste_unicorn.arbiter import events
from paste_unicorn.arbiter.actions import ReopenLogs, Say, SignalWorker, WatchFiles
from paste_unicorn.arbiter.decide import PHASES, TABLE
from paste_unicorn.arbiter.events import FilesImported, Signal, SignalArrived
from paste_unicorn.arbiter.perform import _PERFORMERS
from paste_unicorn.arbiter.state import Phase


def test_every_event_has_a_row_and_every_phase_a_column() -> None:
    kinds = set(typing.get_args(events.Event)) - {SignalArrived}
    assert set(TABLE) == set(Signal) | kinds
    assert set(PHASES) == set(Phase)


def test_every_action_has_a_performer() -> None:
    from paste_unicorn.arbiter import actions

    assert set(_PERFORMERS) == set(typing.get_args(actions.Action))


@pytest.mark.parametrize("signal", [Signal.HUP, Signal.USR2, Signal.WINCH])
@pytest.mark.parametrize("situation", [starting, serving])
def test_what_is_not_there_yet_says_so_and_changes_nothing(
    situation: typing.Callable[[], Story], signal: Signal
) -> None:
    story = situation()
    before = story.state
    (said,) = story.signal(signal)
    assert isinstance(said, Say)
    assert said.level == "warning"
    assert f"Got {signal.name}" in said.sentence
    assert story.state == before


def test_usr1_reopens_the_arbiter_s_logs_before_the_workers_do() -> None:
    story = serving()
    actions = story.signal(Signal.USR1)
    assert actions[:3] == (ReopenLogs(), SignalWorker(101, "USR1"), SignalWorker(102, "USR1"))


def test_files_that_a_worker_imported_are_watched() -> None:
    assert serving().tell(FilesImported(("/a.py",))) == (WatchFiles(("/a.py",)),)
