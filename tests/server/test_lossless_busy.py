"""A worker that is busy does not keep its other connections waiting."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from support.changing import changing_site
from support.processes import standing_still
from support.server import wait_for
from support.traffic import Load, Traffic

FAST = [Load(f"fast {number}", 1, every_s=0.05) for number in range(10)]
ANSWERS = 40  # to each of them, in two seconds; who waits behind the slow request gets none


def test_a_slow_request_does_not_hold_up_the_connections_of_its_worker(worker_class: str, tmp_path: Path) -> None:
    gate, begun = tmp_path / "gate", tmp_path / "gate.begun"
    with changing_site(tmp_path, worker_class) as site, Traffic(site.server.address, FAST) as traffic:
        wait_for(lambda: traffic.counts().answered > 100, "100 answers")
        bodies = Counter[str]()
        for counts in traffic.counts().loads.values():
            bodies.update({body: often for body, (often, _, _) in counts.bodies.items()})
        ((busiest, _),) = bodies.most_common(1)
        with standing_still(pid for pid in site.workers() if pid != int(busiest.split()[1])):
            client = site.server.connect(30.0)
            client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.read_answer().body.decode().strip() == busiest
        with client:
            client.send(f"GET /wait?{gate} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            wait_for(begun.exists, "the slow request to begin")
            before = traffic.counts()

            def all_go_on() -> bool:
                now = traffic.counts()
                return all(now[load.name].answered >= before[load.name].answered + ANSWERS for load in FAST)

            wait_for(all_go_on, f"{ANSWERS} answers more for each, while the slow request runs")
            gate.touch()
            assert client.read_answer().status == 200
        report = traffic.finish()
    assert report.losses == {}
