"""SIGKILL of workers under full traffic: what it may cost, and nothing else."""

from __future__ import annotations

import random
from pathlib import Path

from support.changing import Site, changing_site
from support.kills import cost_of, kill
from support.listeners import listening
from support.server import wait_for
from support.traffic import KEPT, NEW, STEADY, Traffic

WORKER_CLASSES = ("sync",)


def ready(site: Site) -> list[int]:
    return listening(site.server.port, site.workers())


def test_a_killed_worker_costs_no_more_than_what_it_held(worker_class: str, tmp_path: Path) -> None:
    with changing_site(tmp_path, worker_class) as site:
        kills = []
        with Traffic(site.server.address, [*STEADY]) as traffic:
            for _ in range(8):
                traffic.some_more(300)
                kills.append(kill(random.choice(site.workers())))
                wait_for(lambda: kills[-1].pid not in site.workers() and len(ready(site)) == 2, "two ready workers")
            traffic.some_more(300)
            report = traffic.finish()
        cost = cost_of(report, kills, within_s=10.0)
        assert cost.unexplained == []
        assert cost.under_way <= (KEPT.clients + NEW.clients) * len(kills)
        assert report["kept"].closed <= KEPT.clients * len(kills)
        assert all(counts.refused == 0 for counts in report.loads.values())
        assert report["new"].closed == 0
