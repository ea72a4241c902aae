"""Workers that are replaced after some requests, while the requests go on."""

from __future__ import annotations

from pathlib import Path

from support.changing import changing_site
from support.server import wait_for
from support.traffic import STEADY, Traffic, idle

WORKER_CLASSES = ("sync",)

IDLE = 100


def test_workers_that_leave_after_max_requests_lose_nothing(worker_class: str, tmp_path: Path) -> None:
    with changing_site(tmp_path, worker_class, max_requests="200") as site:
        with Traffic(site.server.address, [*STEADY, idle(IDLE)]) as traffic:
            seen: set[int] = set()

            def eight_workers_were_there() -> bool:
                seen.update(site.workers())
                return len(seen) >= 8

            wait_for(eight_workers_were_there, "8 workers, one after the other", 60.0)
            report = traffic.finish()
        assert report.losses == {}
        assert report["idle"].answered == 2 * IDLE
        wait_for(lambda: len(site.workers()) == 2, "two workers")
