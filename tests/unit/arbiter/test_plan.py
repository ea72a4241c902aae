"""What settings and circumstances mean for the arbiter's decisions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paste_unicorn.arbiter.given import Runner, plan_of
from paste_unicorn.arbiter.state import Plan
from paste_unicorn.scoreboard import SLOTS
from paste_unicorn.settings.table.whole import Settings

RUNNER = Runner(watch_files=None, release=lambda: None, opened=())
RELOADER = replace(RUNNER, watch_files=lambda paths: None, no_upgrade="under a reloader ...")


def plan(runner: Runner = RUNNER, can_load_again: bool = True, **changed: object) -> Plan:
    whole = Settings()
    settings = replace(whole, processes=replace(whole.processes, **changed))  # type: ignore[arg-type]
    return plan_of(settings, runner, can_load_again=can_load_again)


def test_settings_that_a_decision_needs_are_in_the_plan() -> None:
    found = plan(
        workers=3, timeout_s=7.0, graceful_timeout_s=8.0, boot_timeout_s=9.0, max_worker_lifetime_s=10.0,
        max_worker_lifetime_jitter_s=11.0, max_worker_memory=12, upgrade="auto", reload_mode="retire_first",
    )  # fmt: skip
    policy = found.policy
    assert found.wanted == 3
    assert (policy.timeout_s, policy.graceful_s, policy.boot_timeout_s) == (7.0, 8.0, 9.0)
    assert (policy.lifetime_s, policy.lifetime_jitter_s, policy.most_memory) == (10.0, 11.0, 12)
    assert policy.upgrade_at_once
    assert policy.retire_first


def test_two_generations_of_the_most_workers_fit_into_the_scoreboard() -> None:
    assert 1000 <= plan().policy.most_workers <= (SLOTS - 1) // 2


def test_a_stop_takes_as_long_as_a_worker_may_take_but_under_a_reloader() -> None:
    assert plan(graceful_timeout_s=8.0).policy.stop_s == 8.0
    assert plan(RELOADER, graceful_timeout_s=8.0).policy.stop_s == 0.5
    assert plan(RELOADER, graceful_timeout_s=0.1).policy.stop_s == 0.1
    assert plan(RELOADER).policy.quick_s < 1.0  # hupper kills after a second


@pytest.mark.parametrize(
    ("runner", "can_load_again", "mode", "why"),
    [
        (RUNNER, True, "ready_first", ""),
        (RUNNER, False, "ready_first", "it is not known where the application came from"),
        (RUNNER, True, "retire_first", "with reload_mode = retire_first nothing can be loaded beside"),
        (RELOADER, True, "ready_first", "under a reloader"),
        (RELOADER, True, "retire_first", "under a reloader"),
        (RELOADER, False, "ready_first", "it is not known where the application came from"),
    ],
)
def test_why_there_can_be_no_successor(runner: Runner, can_load_again: bool, mode: str, why: str) -> None:
    found = plan(runner, can_load_again, reload_mode=mode).policy
    assert found.no_upgrade.startswith(why)
    assert bool(found.no_upgrade) is bool(why)
    assert found.can_load_again is can_load_again
