"""A worker that is busy does not keep its other connections waiting."""

from __future__ import annotations

from pathlib import Path

from support.changing import changing_site
from support.processes import standing_still
from support.server import wait_for
from support.traffic import Load, Traffic


def test_a_slow_request_does_not_hold_up_the_connections_of_its_worker(worker_class: str, tmp_path: Path) -> None:
    slow_s = 5.0
    fast = Load("fast", 10, every_s=0.05)
    with changing_site(tmp_path, worker_class) as site, Traffic(site.server.address, [fast]) as traffic:
        wait_for(lambda: traffic.counts().answered > 100, "100 answers")
        bodies = traffic.counts()["fast"].bodies
        busiest = max(bodies, key=lambda body: bodies[body][0])
        with standing_still(pid for pid in site.workers() if pid != int(busiest.split()[1])):
            client = site.server.connect(30.0)
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.read_answer().body.decode().strip() == busiest
        with client:
            client.send(f"GET /sleep?{slow_s} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert client.read_answer().status == 200
        before = traffic.counts().answered
        wait_for(lambda: traffic.counts().answered > before + 100, "100 answers more")
        report = traffic.finish()
    assert report.losses == {}
    # Who waits behind it waits for nearly all of its time.
    assert report["fast"].max_s < 0.8 * slow_s
    assert report["fast"].p50_s < slow_s / 6
