"""HUP with code, settings or a warm-up that fail, under full traffic: what serves goes on as it was."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.changing import Site, changing_site
from support.server import wait_for
from support.traffic import STEADY, Traffic, idle

WORKER_CLASSES = ("sync",)

IDLE = 100


def break_the_code(site: Site) -> str:
    site.code.break_it()
    return "SyntaxError"


def write_a_wrong_setting(site: Site) -> str:
    site.set(wrokers="3")
    return 'did you mean "workers"?'


def fail_the_warm_up(site: Site) -> str:
    site.code.write("v2", fails_to_warm=True)
    site.set(warmup="/warm")
    return "this version can't be warmed up"


@pytest.mark.parametrize("spoil", [break_the_code, write_a_wrong_setting, fail_the_warm_up])
def test_a_reload_that_fails_loses_nothing_and_ends_nobody(spoil: object, worker_class: str, tmp_path: Path) -> None:
    assert callable(spoil)
    with changing_site(tmp_path, worker_class) as site:
        before = [process.pid for process in site.server.processes()]
        with Traffic(site.server.address, [*STEADY, idle(IDLE)]) as traffic:
            traffic.some_more(300)
            told = spoil(site)
            site.server.signal(signal.SIGHUP)
            log = site.server.wait_for_log("The reload failed", 30.0)
            assert told in log
            traffic.some_more(500)
            report = traffic.finish()
        assert report.losses == {}
        assert report["idle"].answered == 2 * IDLE
        assert report.versions == ["v1"]
        wait_for(lambda: [p.pid for p in site.server.processes()] == before, "the processes that were there before")
