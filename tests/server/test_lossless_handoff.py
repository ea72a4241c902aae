"""Very many connections move from worker to worker at once."""

from __future__ import annotations

from pathlib import Path

from support.changing import changing_site
from support.load import allow_descriptors
from support.traffic import STEADY, Traffic, idle

MANY = 8_000


def test_very_many_idle_connections_retire_at_once_and_none_is_lost(worker_class: str, tmp_path: Path) -> None:
    allow_descriptors(20_000)
    with changing_site(tmp_path, worker_class, worker_connections="10000") as site:
        with Traffic(site.server.address, [*STEADY, idle(MANY, sources=8)]) as traffic:
            site.reload("v2", 2)
            report = traffic.finish()
        assert report.losses == {}
        assert report["idle"].answered == 2 * MANY
