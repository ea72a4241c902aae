"""HUP under full traffic: no request fails, no connection closes, and new code answers."""

from __future__ import annotations

import signal
from pathlib import Path

from support.changing import changing_site
from support.ports import free_port
from support.server import wait_for
from support.traffic import KEPT, NEW, STEADY, Load, Traffic, idle

IDLE = 100


def test_reloads_under_load_lose_nothing_and_new_code_answers(worker_class: str, tmp_path: Path) -> None:
    with changing_site(tmp_path, worker_class) as site:
        with Traffic(site.server.address, [*STEADY, idle(IDLE)]) as traffic:
            for generation in range(2, 6):
                traffic.some_more(300)
                site.reload(f"v{generation}", generation)
                last_of_old = traffic.counts().last_seen(f"v{generation - 1} ") or 0.0
                traffic.some_more(300)
                # What has answered before the old ones had gone was all that they ever answered.
                assert traffic.counts().last_seen(f"v{generation - 1} ") == last_of_old
            report = traffic.finish()
        assert report.losses == {}
        assert report["idle"].answered == 2 * IDLE
        assert report.versions == ["v1", "v2", "v3", "v4", "v5"]
        assert {body.partition(" ")[0] for body in report["idle"].bodies} == {"v1", "v5"}


def test_ten_hups_in_a_row_end_in_one_newest_generation(worker_class: str, tmp_path: Path) -> None:
    with changing_site(tmp_path, worker_class) as site:
        with Traffic(site.server.address, [*STEADY, idle(IDLE)]) as traffic:
            traffic.some_more(300)
            for number in range(10):
                site.code.write(f"v{number + 2}")
                site.server.signal(signal.SIGHUP)
                traffic.some_more(20)

            def only_the_newest() -> bool:
                titles = [process.title for process in site.server.processes()[1:]]
                generations = {title.rpartition(" g")[2] for title in titles}
                return len(titles) == 3 and len(generations) == 1 and site.server.get("/").body.startswith(b"v11 ")

            wait_for(only_the_newest, "one template and two workers of the newest code", 30.0)
            traffic.some_more(100)
            report = traffic.finish()
        assert report.losses == {}
        assert report["idle"].answered == 2 * IDLE
        assert report.versions[-1] == "v11"


def test_a_reload_that_adds_and_removes_an_address_loses_nothing_on_either(worker_class: str, tmp_path: Path) -> None:
    removed, added = free_port(), free_port()
    on_removed = (Load("kept on removed", 4), Load("new on removed", 4, kept=False))
    with changing_site(tmp_path, worker_class) as site:
        port = site.server.port
        site.set(bind=f"127.0.0.1:{port}, 127.0.0.1:{removed}")
        site.reload("v2", 2)
        with (
            Traffic(site.server.address, [KEPT, NEW]) as stays,
            Traffic(("127.0.0.1", removed), [on_removed[0], idle(IDLE)]) as goes,
            Traffic(("127.0.0.1", removed), [on_removed[1]]) as hurried,
        ):
            goes.some_more(500)
            hurried.some_more(100)
            site.set(bind=f"127.0.0.1:{port}, 127.0.0.1:{added}")
            site.reload("v3", 3)
            wait_for(lambda: hurried.counts()["new on removed"].refused > 0, "the removed address refuses")
            with Traffic(("127.0.0.1", added), [KEPT, NEW]) as comes:
                comes.some_more(500)
                assert comes.finish().losses == {}
            stays.some_more(500)
            goes.some_more(500)
            assert stays.finish().losses == {}
            # Connections outlive the address that they came by.
            report = goes.finish()
            assert report.losses == {}
            assert report["idle"].answered == 2 * IDLE
            assert hurried.finish()["new on removed"].failed == {}


def test_a_reload_changes_the_number_of_workers_and_the_timeout(worker_class: str, tmp_path: Path) -> None:
    with changing_site(tmp_path, worker_class) as site:
        with Traffic(site.server.address, [*STEADY, idle(IDLE)]) as traffic:
            traffic.some_more(300)
            site.set(workers="4", timeout="30")
            site.reload("v2", 2)
            assert len(site.workers()) == 4
            traffic.some_more(300)
            site.set(workers="1", timeout="4")
            site.reload("v3", 3)
            assert len(site.workers()) == 1
            traffic.some_more(300)
            report = traffic.finish()
        assert report.losses == {}
        assert report["idle"].answered == 2 * IDLE
        if worker_class == "threads":  # there a request that computes keeps nobody from making progress
            return
        with site.server.connect(30.0) as client:
            client.send(b"GET /spin?20 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            site.server.wait_for_log("has made no progress within timeout (4 s)")
