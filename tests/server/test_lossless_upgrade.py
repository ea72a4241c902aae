"""USR2, and TERM to the arbiter that was there before, under full traffic."""

from __future__ import annotations

import signal
from pathlib import Path

from support.changing import PATIENT, Site, changing_site, new_arbiter
from support.processes import is_alive, send_signal, wait_until_gone
from support.server import wait_for
from support.traffic import STEADY, Traffic, idle

WORKER_CLASSES = ("sync",)

IDLE = 100


def upgrade(site: Site, traffic: Traffic, before: int, version: str) -> int:
    """USR2 to the arbiter, TERM when the new one serves; gives the new one's pid when the old one has gone."""
    server = site.server
    site.code.write(version)
    said = len(server.log_text())
    send_signal(before, signal.SIGUSR2)
    after = new_arbiter(server.wait_for_log(") serves; TERM ends this one", after=said))
    send_signal(before, signal.SIGTERM)
    wait_for(lambda: not is_alive(before), "the end of the arbiter that was there before")
    wait_for(lambda: traffic.counts().first_seen(f"{version} ") is not None, "an answer of the new code")
    assert len(site.workers()) == 2
    return after


def test_upgrades_under_load_lose_nothing(worker_class: str, tmp_path: Path) -> None:
    with changing_site(tmp_path, worker_class, **PATIENT) as site:
        in_charge = site.server.pid
        try:
            with Traffic(site.server.address, [*STEADY, idle(IDLE)]) as traffic:
                for number in range(2, 5):
                    in_charge = upgrade(site, traffic, in_charge, f"v{number}")
                assert site.server.popen.wait() == 0
                report = traffic.finish()
        finally:
            send_signal(in_charge, signal.SIGTERM)
        assert wait_until_gone([in_charge], 10.0) == []
        assert report.losses == {}
        assert report["idle"].answered == 2 * IDLE
