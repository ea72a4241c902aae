"""Reloads, failing reloads, upgrades, more and fewer workers and killed templates, one on top of the other."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest
from support.changing import PATIENT, Site, changing_site, new_arbiter
from support.kills import kill
from support.processes import is_alive, send_signal, wait_until_gone
from support.server import wait_for
from support.traffic import STEADY, Load, Traffic, idle

IDLE = 100
STEPS = 8
SLOWER = Load("slower", 1, every_s=0.2, target="/sleep?0.05")
MOST_WORKERS = 6


class Operator:
    """Does one thing after the other to a site, without waiting for the end of any but an upgrade."""

    def __init__(self, site: Site, seed: int) -> None:
        self.site = site
        self.random = random.Random(seed)
        self.in_charge = site.server.pid
        self.version = 1

    def act(self) -> str:
        """Do something; its name."""
        doings = (self.reload, self.reload, self.break_and_reload, self.upgrade, self.resize, self.kill_a_template)
        doing = self.random.choice(doings)
        doing()
        return doing.__name__

    def new_code(self) -> None:
        self.version += 1
        self.site.code.write(f"v{self.version}")

    def reload(self) -> None:
        """Several times, as often as not."""
        for _ in range(self.random.choice((1, 1, 3))):
            self.new_code()
            send_signal(self.in_charge, signal.SIGHUP)

    def break_and_reload(self) -> None:
        """The code is in order again sooner or later, perhaps before it is loaded."""
        self.site.code.break_it()
        send_signal(self.in_charge, signal.SIGHUP)
        time.sleep(self.random.choice((0.0, 0.3)))
        self.new_code()

    def resize(self) -> None:
        grow = self.random.random() < 0.5 and len(self.site.workers()) < MOST_WORKERS
        send_signal(self.in_charge, signal.SIGTTIN if grow else signal.SIGTTOU)

    def kill_a_template(self) -> None:
        templates = self.site.server.titled("unicorn: template")
        if templates:
            kill(self.random.choice(templates).pid)

    def upgrade(self) -> None:
        """Where the new arbiter does not come, for the old one has other trouble, the old one goes on."""
        server, before = self.site.server, self.in_charge
        self.new_code()
        said = len(server.log_text())
        send_signal(before, signal.SIGUSR2)
        # Not just "goes on serving": a reload that has failed meanwhile says so of a generation.
        answers = (") serves; TERM ends this one", "this one goes on serving", "Got USR2: the arbiter before is still")
        wait_for(lambda: any(text in server.log_text()[said:] for text in answers), "an answer to USR2", 30.0)
        if answers[0] in server.log_text()[said:]:
            self.in_charge = new_arbiter(server.log_text()[said:])
            send_signal(before, signal.SIGTERM)
            wait_for(lambda: not is_alive(before), "the end of the arbiter that was there before", 30.0)


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_an_operator_does_nothing_is_lost(seed: int, worker_class: str, tmp_path: Path) -> None:
    with changing_site(tmp_path, worker_class, **PATIENT) as site:
        operator = Operator(site, seed)
        done: list[str] = []
        try:
            with Traffic(site.server.address, [*STEADY, SLOWER, idle(IDLE)]) as traffic:
                for _ in range(STEPS):
                    done.append(operator.act())
                    time.sleep(operator.random.choice((0.0, 0.05, 0.3, 1.0)))
                operator.new_code()
                send_signal(operator.in_charge, signal.SIGHUP)
                newest = f"v{operator.version} "

                def only_the_newest() -> bool:
                    mine = [one.title.rpartition(" g")[2] for one in site.server.titled("unicorn: worker")]
                    return len(set(mine)) == 1 and site.server.get("/").body.decode().startswith(newest)

                wait_for(only_the_newest, "workers of the newest code alone", 30.0)
                report = traffic.finish()
        finally:
            send_signal(operator.in_charge, signal.SIGTERM)
            left = wait_until_gone([operator.in_charge], 20.0)
        assert left == []
        assert report.losses == {}, done
        assert report["idle"].answered == 2 * IDLE
