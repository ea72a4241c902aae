"""SIGKILL of a template, and of one with a worker, under full traffic: the next generation comes, nothing is lost."""

from __future__ import annotations

import random
from pathlib import Path

from support.changing import changing_site
from support.kills import cost_of, kill
from support.traffic import KEPT, NEW, STEADY, Traffic, idle

WORKER_CLASSES = ("sync",)

IDLE = 100


def test_a_killed_template_costs_nothing(worker_class: str, tmp_path: Path) -> None:
    with changing_site(tmp_path, worker_class) as site:
        with Traffic(site.server.address, [*STEADY, idle(IDLE)]) as traffic:
            for generation in (1, 2):
                traffic.some_more(300)
                site.code.write(f"v{generation + 1}")
                kill(site.template(generation))
                site.wait_for_generation(generation + 1)
            traffic.some_more(300)
            report = traffic.finish()
        assert report.losses == {}
        assert report["idle"].answered == 2 * IDLE
        assert report.first_seen("v3 ") is not None


def test_a_template_that_is_killed_with_a_worker_costs_only_what_the_worker_held(
    worker_class: str, tmp_path: Path
) -> None:
    with changing_site(tmp_path, worker_class) as site:
        with Traffic(site.server.address, [*STEADY, idle(IDLE)]) as traffic:
            traffic.some_more(300)
            site.code.write("v2")
            template, worker = site.template(1), random.choice(site.workers())
            kills = [kill(template), kill(worker)]
            site.wait_for_generation(2)
            traffic.some_more(300)
            report = traffic.finish()
        cost = cost_of(report, kills, within_s=10.0)
        assert cost.unexplained == []
        assert cost.under_way <= KEPT.clients + NEW.clients
        failed, refused, closed = report["new"].losses
        assert (sum(failed.values()) <= NEW.clients, refused, closed) == (True, 0, 0), failed
        assert report.first_seen("v2 ") is not None
