"""What can be known of the runner that started us: what it loaded, from where, and whether it watches us.

`serve` is told neither the section of the application nor the variables of the command line. But all runners
import our module before they load the application, and every load goes through
`paste.deploy.loadwsgi.loadobj`; so that is wrapped when this module is imported.
"""

from __future__ import annotations

import configparser
import contextlib
import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

from paste.deploy import loadwsgi

from .process.messages import Recipe

_loaded: list[tuple[Recipe, object]] = []  # what was loaded, in order
_server: tuple[str, str | None] | None = None  # uri and name of the server section


def _record_loads() -> None:
    """Wrap `loadobj`, once; see which call of it is importing us now."""
    original = loadwsgi.loadobj
    if hasattr(original, "records_for_paste_unicorn"):
        return

    @functools.wraps(original)
    def loadobj(
        object_type: Any, uri: str, name: str | None = None, relative_to: str | None = None, global_conf: Any = None
    ) -> Any:
        # A copy now: PasteDeploy adds the file's [DEFAULT] to it.
        variables = {str(key): str(value) for key, value in (global_conf or {}).items()}
        if object_type is loadwsgi.SERVER:
            _record_server(uri, name)
        result = original(object_type, uri, name=name, relative_to=relative_to, global_conf=global_conf)
        if object_type is loadwsgi.APP:
            _loaded.append((Recipe(uri, name, relative_to, variables), result))
        return result

    loadobj.records_for_paste_unicorn = True  # type: ignore[attr-defined]
    loadwsgi.loadobj = loadobj
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is original.__code__:
            _record_server(frame.f_locals["uri"], frame.f_locals["name"])
            break
        frame = frame.f_back


def _record_server(uri: str, name: str | None) -> None:
    global _server
    _server = (uri, name)


_record_loads()


@dataclass(frozen=True)
class Surroundings:
    """What was found out. `recipe` is None where the application can't be loaded again."""

    recipe: Recipe | None
    recipe_is_guessed: bool
    ini_path: str | None
    section: str
    ini_has_loggers: bool
    cwd: str
    watch_files: Callable[[tuple[str, ...]], None] | None  # tells the reloader; None without one
    is_monitored: bool  # somebody starts us again when we end


def look_around(application: object, global_conf: dict[str, str]) -> Surroundings:
    """For the application and the `global_conf` that `serve` was given."""
    recipe = next((recipe for recipe, loaded in reversed(_loaded) if loaded is application), None)
    path = global_conf.get("__file__")
    ini_path = os.path.abspath(path) if path else None
    guessed = recipe is None
    if guessed and ini_path is not None:
        recipe = Recipe(f"config:{ini_path}", "main", os.getcwd(), {})
    return Surroundings(
        recipe=recipe,
        recipe_is_guessed=guessed,
        ini_path=ini_path,
        section=f"server:{_server_name()}",
        ini_has_loggers=_has_loggers(ini_path),
        cwd=os.getcwd(),
        watch_files=_reloader(),
        is_monitored="PASTE_MONITOR_SHOULD_RUN" in os.environ,
    )


def release_descriptors() -> None:
    """In a process that we forked: hupper waits until everybody who has its pipes is gone."""
    hupper = _hupper()
    if hupper is None:
        return
    pipe = hupper.get_reloader().pipe
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in (pipe.r_fd, pipe.w_fd):
        # Replaced, not closed: hupper's object must not close another file under the same number.
        with contextlib.suppress(OSError):
            os.dup2(null, fd, inheritable=False)
    os.close(null)


def _server_name() -> str:
    """As PasteDeploy understands uri and name (`loadwsgi.loadcontext`)."""
    uri, name = _server or ("", None)
    return name or uri.partition("#")[2] or "main"


def _has_loggers(ini_path: str | None) -> bool:
    parser = configparser.RawConfigParser(strict=False)
    with contextlib.suppress(configparser.Error, OSError, UnicodeError):
        parser.read([ini_path] if ini_path else [])
    return parser.has_section("loggers")


def _hupper() -> Any:
    hupper = sys.modules.get("hupper")
    return hupper if hupper is not None and hupper.is_active() else None


def _reloader() -> Callable[[tuple[str, ...]], None] | None:
    """How to tell the reloader that watches us of more files; it sees the modules of this process by itself."""
    hupper = _hupper()
    if hupper is not None:
        proxy = hupper.get_reloader()
        return lambda paths: proxy.watch_files(list(_unknown(paths)))
    if "PYTHON_RELOADER_SHOULD_RUN" in os.environ and "paste.reloader" in sys.modules:
        watch = sys.modules["paste.reloader"].watch_file

        def watch_each(paths: tuple[str, ...]) -> None:
            for path in _unknown(paths):
                watch(path)

        return watch_each
    return None


def _unknown(paths: tuple[str, ...]) -> list[str]:
    known = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return [path for path in paths if path not in known]
