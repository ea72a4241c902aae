"""`host` and `port`, as Paste's own servers say where to listen, and what they make of `bind`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .addresses import DEFAULT_BIND, DEFAULT_HOST, DEFAULT_PORT, Address, divided, parse_address, port_number
from .kinds import Kind, quoted
from .problems import Place, Problem
from .row import Row
from .surroundings import Surroundings


class Hosts(Kind[tuple[str, ...]]):
    """One or many hosts; each is judged once the port is known."""

    what = "list of hosts"

    def parse(self, text: str, around: Surroundings) -> tuple[str, ...]:
        return tuple(divided(text))


class Port(Kind[int | None]):
    """One port, for all hosts."""

    what = "port"

    def parse(self, text: str, around: Surroundings) -> int | None:
        return port_number(text, text)


HOST: Row[tuple[str, ...]] = Row("host", Hosts(), (), "Hosts to listen on.", empty=())
PORT: Row[int | None] = Row("port", Port(), None, "The port to listen on.")
NAMES: Mapping[str, Row[Any]] = {row.name: row for row in (HOST, PORT)}


class Listening:
    """What to listen on, out of `bind`, `host`, `port` and $PORT."""

    def __init__(self, values: Mapping[str, Any], places: Mapping[str, Place], around: Surroundings) -> None:
        self._values, self._places, self._around = values, places, around
        self.problems: list[Problem] = []

    def result(self) -> tuple[tuple[Address, ...], Place]:
        """The addresses, and where they were said; after it, `problems` says what was wrong."""
        hosts, port = self._values.get("host") or (), self._values.get("port")
        spoken = [name for name in ("host", "port") if name in self._places]
        bind = self._places.get("bind")
        if bind and bind.layer == "ini":
            for name in spoken:
                where = bind.seen_from(self._places[name])
                self._problem(name, f"bind ({where}) says where to listen already; keep one of the two")
        elif hosts or port is not None:
            return self._each_host(hosts or (DEFAULT_HOST,), port), self._places[spoken[0]]
        if bind:
            return self._values["bind"] or DEFAULT_BIND, bind
        if text := self._around.environ.get("PORT"):
            return self._from_environ(text), Place("env", "PORT")
        return DEFAULT_BIND, Place("default")

    def _each_host(self, hosts: tuple[str, ...], port: int | None) -> tuple[Address, ...]:
        found: list[Address] = []
        for host in hosts:
            try:
                address = parse_address(host, self._around, DEFAULT_PORT if port is None else port)
            except ValueError as error:
                self._problem("host", str(error))
                continue
            if port is not None and (address.kind != "tcp" or address.port != port):
                self._problem(
                    "port",
                    f"{quoted(host)} in host ({self._where('host', 'port')}) leaves no room for the port {port}",
                )
            if address in found:
                self._problem("host", f"{quoted(host)} is there twice; give each host once")
            found.append(address)
        return tuple(found)

    def _from_environ(self, text: str) -> tuple[Address, ...]:
        try:
            return (Address("tcp", "0.0.0.0", port_number(text, text.strip())),)
        except ValueError as error:
            self.problems.append(Problem(Place("env", "PORT"), "bind", str(error)))
            return DEFAULT_BIND

    def _where(self, name: str, seen_from: str) -> str:
        return self._places[name].seen_from(self._places[seen_from])

    def _problem(self, name: str, sentence: str) -> None:
        self.problems.append(Problem(self._places[name], name, sentence))
