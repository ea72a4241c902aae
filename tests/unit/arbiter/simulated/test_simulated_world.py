"""Whole histories of the arbiter in a simulated world: every rule holds, and each fault that is put in is noticed.

The long run is `python tests/benchmarks/histories.py`.
"""

from __future__ import annotations

import pytest

from .faults import FAULTS, Fault
from .history import History, run, shrink
from .incidents import Incident, Send, WorkerDies
from .operator import write_script

HISTORIES = 2000
FAULTY_HISTORIES = 1500  # in which a fault must be noticed; most are at once


@pytest.mark.parametrize("first", range(0, HISTORIES, 500))
def test_every_rule_holds_in_every_history(first: int) -> None:
    for seed in range(first, first + 500):
        failure = run(seed)
        assert failure is None, f"\n{shrink(failure)}"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_the_world_notices_an_arbiter_that(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    fault.patch(monkeypatch)
    failures = (run(seed) for seed in range(FAULTY_HISTORIES))
    failure = next((one for one in failures if one is not None), None)
    assert failure is not None, "no history shows it"
    assert failure.rule in fault.breaks, f"\n{failure}"


def test_a_history_is_the_same_each_time() -> None:
    one, other = History(write_script(11)), History(write_script(11))
    assert one.run() is other.run() is None
    assert list(one.trail) == list(other.trail)
    assert one.loop.state == other.loop.state


def test_a_history_that_fails_is_told_in_as_few_lines_as_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (fault,) = (one for one in FAULTS if one.what == "forgets a HUP that came during a reload")
    fault.patch(monkeypatch)
    failures = (one for one in map(run, range(FAULTY_HISTORIES)) if one is not None)
    failure = next(one for one in failures if len(one.script.incidents) > 4)
    shortest = shrink(failure)
    assert len(shortest.script.incidents) <= 2
    told = str(shortest)
    assert f"history {failure.script.seed} breaks at " in told
    assert "  the rule: forgets no HUP\n" in told
    assert " s  HUP\n" in told
    assert told.endswith(f"to see it again: python tests/benchmarks/histories.py --seed {failure.script.seed}")


def test_an_incident_is_one_readable_line() -> None:
    assert str(Incident(1.5, WorkerDies(2, "SIGSEGV"))) == "   1.500 s  living worker 2 dies: SIGSEGV"
    for seed in range(50):
        for incident in write_script(seed).incidents:
            assert "\n" not in str(incident)
            assert "object at" not in str(incident)
            assert isinstance(incident.what, Send) or str(incident.what)
