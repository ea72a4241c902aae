"""All settings as one frozen value, and the index of all rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..row import Row, rows_of
from .logs import LogSettings
from .processes import ProcessSettings
from .proxies_tls import ProxySettings
from .requests import RequestSettings
from .sockets import SocketSettings


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server runs with. Durations are in seconds (`_s`), sizes in bytes."""

    processes: ProcessSettings = field(default_factory=ProcessSettings)
    sockets: SocketSettings = field(default_factory=SocketSettings)
    requests: RequestSettings = field(default_factory=RequestSettings)
    logs: LogSettings = field(default_factory=LogSettings)
    proxies: ProxySettings = field(default_factory=ProxySettings)

    def flat(self) -> dict[str, object]:
        """Row name to value, in the order of the table."""
        return {name: getattr(getattr(self, part), attribute) for name, (part, attribute) in PLACES.items()}


PARTS: Mapping[str, type[Any]] = {
    "sockets": SocketSettings,
    "processes": ProcessSettings,
    "requests": RequestSettings,
    "logs": LogSettings,
    "proxies": ProxySettings,
}
ROWS: Mapping[str, Row[Any]] = {row.name: row for part in PARTS.values() for _, row in rows_of(part)}
PLACES: Mapping[str, tuple[str, str]] = {
    row.name: (part, attribute) for part, kind in PARTS.items() for attribute, row in rows_of(kind)
}


def settings_of(values: Mapping[str, object]) -> Settings:
    """Settings with these values by row name; defaults for all others."""
    by_part: dict[str, dict[str, object]] = {part: {} for part in PARTS}
    for name, value in values.items():
        part, attribute = PLACES[name]
        by_part[part][attribute] = value
    return Settings(**{part: kind(**by_part[part]) for part, kind in PARTS.items()})
