"""What the arbiter is given by whoever starts it, beside the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..process.messages import Recipe


@dataclass(frozen=True)
class Origin:
    """Where all came from, so that a later template can load it again; `recipe` is None where nobody knows."""

    recipe: Recipe | None
    ini_path: str | None
    section: str  # of the server
    local_conf: dict[str, str]  # its settings, as texts
    ini_has_loggers: bool
    cwd: str  # when the server was started, before `chdir`


@dataclass(frozen=True)
class Runner:
    """What the arbiter needs of the runner."""

    watch_files: Callable[[tuple[str, ...]], None] | None  # tells its reloader; None without one
    release: Callable[[], None]  # in template 1: lets go of descriptors that are the runner's
