"""The scenarios of `reliability.py`, a row each: what is done to a server under load, and with which settings.

A scenario gets a running `Instance` and gives a `Result` (`outcome.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from contenders import Instance
from ends import kill_template_and_worker, kill_the_template, kill_workers, paster_stop, term
from moves import one_slow_request, recycle, retire_very_many
from outcome import Result
from takeovers import hup, hup_with_a_failing_warm_up, hup_with_a_syntax_error, hup_with_a_wrong_setting, upgrade


@dataclass(frozen=True)
class Scenario:
    """A row for each server."""

    name: str
    title: str
    run: Callable[[Instance, int], Result]
    settings: dict[str, str] = field(default_factory=dict)
    ours_only: bool = False


SCENARIOS = (
    Scenario("hup", "HUP every 2 s", hup),
    Scenario("hup-syntax", "HUP, a syntax error in the code", hup_with_a_syntax_error),
    Scenario("hup-setting", "HUP, a wrong setting", hup_with_a_wrong_setting),
    Scenario("hup-warm-up", "HUP, a warm-up that fails", hup_with_a_failing_warm_up, ours_only=True),
    Scenario("usr2", "USR2, then TERM to the old arbiter", upgrade),
    Scenario("term", "TERM, both workers busy, the queue full", term, {"backlog": "16"}),
    Scenario("stop", "the same with `paster serve … stop`", paster_stop, {"backlog": "16"}, ours_only=True),
    Scenario("kill", "SIGKILL of a worker every 0.5 s", kill_workers),
    Scenario("template", "SIGKILL of the template", kill_the_template, ours_only=True),
    Scenario("both", "SIGKILL of the template and a worker", kill_template_and_worker, ours_only=True),
    Scenario("many", "8,000 idle connections retire at once (HUP)", retire_very_many, {"worker_connections": "10000"}),
    Scenario("slow", "a request of 5 s among 200 fast ones a second", one_slow_request),
    Scenario("recycle", "`max_requests = 200`, 8 clients", recycle, {"max_requests": "200"}),
)
