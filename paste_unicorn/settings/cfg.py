"""What a hook sees as `cfg`: every setting under the name that files have, with values as hooks know them."""

from __future__ import annotations

from typing import Any

from .addresses import Address
from .table import without_effect
from .table.whole import Settings
from .warmup import WarmupRequest


class Cfg:
    """Settings as attributes: `cfg.workers`, `cfg.bind` (texts), `cfg.timeout` (seconds)."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._values = {row.name: row.default for row in without_effect.ROWS.values()} | {
            name: _plain(value) for name, value in settings.flat().items()
        }

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._values:
            raise AttributeError(f"there is no setting {name!r}")
        return self._values[name]

    @property
    def address(self) -> list[str]:
        """The addresses that are bound, as texts."""
        return [str(address) for address in self.settings.sockets.bind]

    @property
    def uid(self) -> int | None:
        return self.settings.processes.user

    @property
    def gid(self) -> int | None:
        return self.settings.processes.group

    @property
    def env(self) -> dict[str, str]:
        """`raw_env` as a dictionary."""
        return dict(self.settings.processes.raw_env)


def _plain(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, tuple):
        return [str(each) if isinstance(each, Address | WarmupRequest) else each for each in value]
    return value
