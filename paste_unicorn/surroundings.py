"""What can be known of the runner that started us: what it loaded, from where, and whether it watches us.

`serve` is told neither the section of the application nor the variables of the command line. But all runners
import our module before they load the application, and every load goes through
`paste.deploy.loadwsgi.loadobj`; so that is wrapped when this module is imported.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from paste.deploy import loadwsgi

from .process.messages import Recipe

_loaded: list[tuple[Recipe, object, tuple[int, ...]]] = []  # what was loaded, in order, and what that opened
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
        before = _open_descriptors()
        result = original(object_type, uri, name=name, relative_to=relative_to, global_conf=global_conf)
        if object_type is loadwsgi.APP:
            recipe = Recipe(uri, name, relative_to, variables)
            _loaded.append((recipe, result, tuple(sorted(_open_descriptors() - before))))
        return result

    loadobj.records_for_paste_unicorn = True  # type: ignore[attr-defined]
    loadwsgi.loadobj = loadobj
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is original.__code__:
            _record_server(frame.f_locals["uri"], frame.f_locals["name"])
            break
        frame = frame.f_back


def _open_descriptors() -> set[int]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return {fd for fd in map(int, os.listdir(folder)) if _is_open(fd)}  # the listing's own is closed by now
    return set()


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _record_server(uri: str, name: str | None) -> None:
    global _server
    _server = (uri, name)


_record_loads()


@dataclass(frozen=True)
class Surroundings:
    """What was found out. `recipe` is None where the application can't be loaded again."""

    recipe: Recipe | None
    recipe_is_guessed: bool
    server: Recipe | None  # of its section; None where there is no file
    ini_path: str | None
    section: str
    cwd: str
    umask: int
    sys_path: tuple[str, ...]
    environ: dict[str, str]
    watch_files: Callable[[tuple[str, ...]], None] | None  # tells the reloader; None without one
    opened: tuple[int, ...]  # descriptors that loading the application opened
    is_monitored: bool  # somebody starts us again when we end


def look_around(application: object, global_conf: dict[str, str]) -> Surroundings:
    """For the application and the `global_conf` that `serve` was given."""
    recipe, opened = next(
        ((recipe, opened) for recipe, loaded, opened in reversed(_loaded) if loaded is application), (None, ())
    )
    path = global_conf.get("__file__")
    ini_path = os.path.abspath(path) if path else None
    folder = _Folder.of_the_start(ini_path)
    ini_path = folder.rename(ini_path) if ini_path is not None else None
    guessed = recipe is None
    if guessed and ini_path is not None:
        recipe = Recipe(f"config:{ini_path}", "main", folder.name, {})
    recipe = folder.rename_all(recipe) if recipe is not None else None
    return Surroundings(
        recipe=recipe,
        recipe_is_guessed=guessed,
        ini_path=ini_path,
        server=_server_recipe(recipe, ini_path, folder),
        section=f"server:{_server_name()}",
        cwd=folder.name,
        umask=_umask(),
        sys_path=folder.rename_import_path(sys.path),
        environ=dict(os.environ),
        watch_files=_reloader(),
        opened=opened,
        is_monitored="PASTE_MONITOR_SHOULD_RUN" in os.environ,
    )


@dataclass(frozen=True)
class _Folder:
    """The current one. A symlink in its name may lead to another release by the next load, which shall be that one's.

    The kernel only knows where the symlink led, and the runners make their absolute names of that.
    """

    real: str
    name: str  # by which it was entered

    @classmethod
    def of_the_start(cls, ini_path: str | None) -> _Folder:
        """By its name in $PWD, which shells keep; else, as service managers don't, by that in the ini's path."""
        for name in (os.environ.get("PWD", ""), *map(str, Path(ini_path or "").parents)):
            with contextlib.suppress(OSError):
                if os.path.isabs(name) and os.path.samefile(os.path.normpath(name), os.curdir):
                    return cls(os.getcwd(), os.path.normpath(name))
        return cls(os.getcwd(), os.getcwd())

    def rename(self, path: str) -> str:
        """A path in it, by its name; any other path as it is."""
        is_inside = path == self.real or path.startswith(self.real.rstrip(os.sep) + os.sep)
        return self.name + path[len(self.real) :] if is_inside else path

    def rename_all(self, recipe: Recipe) -> Recipe:
        """What it names of this folder."""
        uri = recipe.uri
        if uri.startswith("config:"):
            uri = f"config:{self.rename(uri.removeprefix('config:'))}"
        # These two are pserve's.
        variables = {
            key: self.rename(value) if key in ("here", "__file__") else value for key, value in recipe.variables.items()
        }
        relative_to = self.rename(recipe.relative_to) if recipe.relative_to is not None else None
        return replace(recipe, uri=uri, relative_to=relative_to, variables=variables)

    def rename_import_path(self, paths: list[str]) -> tuple[str, ...]:
        """But for what belongs to this Python, of which the next interpreter is one too."""
        ours = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
        return tuple(
            path if any(path.startswith(one) for one in ours) else self.rename(path) for path in map(str, paths)
        )


def _umask() -> int:
    mask = os.umask(0)  # it can't be asked for without being set
    os.umask(mask)
    return mask


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


def pid_files() -> tuple[str, ...]:
    """Files of the runner that name this process: what its command line mentions, and paster's default."""
    words = [word.partition("=")[2] or word for word in sys.argv[1:]]
    found = []
    for path in dict.fromkeys(os.path.abspath(word) for word in (*words, "paster.pid") if word):
        with contextlib.suppress(OSError, ValueError):
            if os.path.getsize(path) < 32:
                with open(path, encoding="ascii") as file:
                    if int(file.read()) == os.getpid():
                        found.append(path)
    return tuple(found)


def keep_pid_files() -> None:
    """At the end of this process the runner shall not look after its pid file: it names another arbiter."""
    keepers: list[object] = [sys.modules.get("paste.script.serve")]
    frame: FrameType | None = sys._getframe()
    while frame is not None:  # gearbox registers a method of its command
        keepers.append(frame.f_locals.get("self"))
        frame = frame.f_back
    for keeper in keepers:
        remove = getattr(keeper, "_remove_pid_file", None)
        if remove is not None:
            atexit.unregister(remove)


def _server_recipe(application: Recipe | None, ini_path: str | None, folder: _Folder) -> Recipe | None:
    """How to read the server's section again: with the variables of the application, which came from the same command
    line.
    """
    if ini_path is None or application is None:
        return None
    uri, name = _server or (f"config:{ini_path}", None)
    return folder.rename_all(Recipe(uri, name, application.relative_to, application.variables))


def _server_name() -> str:
    """As PasteDeploy understands uri and name (`loadwsgi.loadcontext`)."""
    uri, name = _server or ("", None)
    return name or uri.partition("#")[2] or "main"


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
