"""The process in which the clients of `traffic.py` live: one epoll loop, loads on its command line, reports on stdout.

It is a process of its own so that the server's processor, and the interpreter lock of a test, are not in what it
measures.
"""

from __future__ import annotations

import functools
import gc
import heapq
import itertools
import json
import os
import resource
import select
import sys
import time
from array import array
from typing import Any

from support.traffic_client import IDLE, Client, Tally, summary

AT_ONCE = 64  # idle connections that are opened, or used, at a time
LONGEST_WAIT_S = 0.25


class Loop:
    """All clients, in one thread."""

    def __init__(self, address: tuple[str, int], loads: list[dict[str, Any]]) -> None:
        self.address = address
        self.epoll = select.epoll()
        self.by_fd: dict[int, Client] = {}
        self.timers: list[tuple[float, int, Client]] = []
        self.turns = 0
        self.tallies = {load["name"]: Tally() for load in loads}
        self.steady = [load["name"] for load in loads if load["every_s"] is not None]
        self.clients = [
            Client(self, load, self.tallies[load["name"]], _source(load["sources"], number))
            for load in loads
            for number in range(load["clients"])
        ]
        self.lateness = array("d")  # how late we were ourselves
        self.finishing = False
        self.next_look = 0.0

    # -- what clients use --------------------------------------------------------------------------------------

    def watch(self, client: Client, events: int) -> None:
        assert client.sock is not None
        self.by_fd[client.sock.fileno()] = client
        self.epoll.register(client.sock.fileno(), events)

    def watch_again(self, client: Client, events: int) -> None:
        assert client.sock is not None
        self.epoll.modify(client.sock.fileno(), events)

    def forget(self, client: Client) -> None:
        assert client.sock is not None
        if self.by_fd.pop(client.sock.fileno(), None) is not None:
            self.epoll.unregister(client.sock.fileno())

    def at(self, due: float, client: Client) -> None:
        self.turns += 1
        heapq.heappush(self.timers, (due, self.turns, client))

    # -- the run -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Connect those that stay connected, keep the load steady until told to finish, then use the idle ones."""
        self._each_once([client for client in self.clients if client.kept])
        start = time.monotonic()
        steady = [client for client in self.clients if client.every_s is not None]
        for number, client in enumerate(steady):
            assert client.every_s is not None
            self.at(start + client.every_s * number / len(steady), client)
        self._report()
        self.epoll.register(0, select.EPOLLIN)
        while not self.finishing:
            self._turn()
        while any(client.state is not IDLE for client in self.clients):
            self._turn()
        self._each_once([client for client in self.clients if client.every_s is None])
        self._report()

    def _turn(self) -> None:
        now = time.monotonic()
        while self.timers and self.timers[0][0] <= now:
            due, _, client = heapq.heappop(self.timers)
            if self.finishing:
                continue
            if client.was_kept_waiting:
                client.begin(due, due)
            else:
                # A timer that fires late is our lateness, not the server's.
                self.lateness.append(now - due)
                client.begin(due, time.monotonic())
        wait_s = min(max(0.0, self.timers[0][0] - now), LONGEST_WAIT_S) if self.timers else LONGEST_WAIT_S
        for fd, events in self.epoll.poll(wait_s):
            if fd == 0:
                self._obey()
            elif (client_of_fd := self.by_fd.get(fd)) is not None:
                client_of_fd.ready(events)
        if now >= self.next_look:
            self.next_look = now + 0.5
            for client in self.clients:
                client.give_up_if_overdue(now)

    def _each_once(self, clients: list[Client]) -> None:
        """A request on each, some at a time: a queue of ordinary length takes that."""
        waiting = iter(clients)
        under_way: set[Client] = set()
        none_left = False
        while under_way or not none_left:
            while len(under_way) < AT_ONCE and not none_left:
                client = next(waiting, None)
                if client is None:
                    none_left = True
                    break
                under_way.add(client)
                client.done = functools.partial(under_way.discard, client)
                now = time.monotonic()
                client.begin(now, now)
            self._turn()

    def _obey(self) -> None:
        """A command: `c` asks for the counts, `f` to finish; so does the end of whoever gives commands."""
        for command in os.read(0, 4096) or b"f":
            if command == ord("c"):
                self._report()
            else:
                self.finishing = True
                self.epoll.unregister(0)

    def _report(self) -> None:
        loads = {name: tally.as_dict() for name, tally in self.tallies.items()}
        steady = itertools.chain.from_iterable(self.tallies[name].latencies for name in self.steady)
        print(json.dumps({"loads": loads, "steady": summary(steady), "late": summary(self.lateness)}), flush=True)


def _source(count: int, number: int) -> str:
    """Each client's own address, where a load uses several: 127.0.0.2 and those that follow."""
    return f"127.0.0.{2 + number % count}" if count > 1 else ""


def main() -> None:
    """`python -m support.traffic_loop '{"address": [HOST, PORT], "loads": [...]}'`"""
    given = json.loads(sys.argv[1])
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gc.freeze()
    Loop((given["address"][0], given["address"][1]), given["loads"]).run()


if __name__ == "__main__":
    main()
