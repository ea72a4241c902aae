"""From a recipe to the application: what a fresh interpreter does before it can fork workers."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from paste.deploy import loadwsgi

from ..process.messages import Origin, Recipe


class LoadProblem(Exception):
    """The application, or a setting, can't be loaded; `str()` is what the operator should read."""


def load_application(recipe: Recipe) -> Callable[..., Any]:
    """Load the application with exactly the runner's arguments. Raises LoadProblem with the traceback."""
    try:
        application: Callable[..., Any] = loadwsgi.loadapp(
            recipe.uri,
            name=recipe.name,
            relative_to=recipe.relative_to,
            # A copy: PasteDeploy writes into what it is given.
            global_conf=dict(recipe.variables),
        )
    except BaseException:  # SystemExit of a factory, too: it must not end in silence
        raise LoadProblem(traceback.format_exc()) from None
    return application


def origin_of_now(origin: Origin) -> Origin:
    """From the ini's folder, where the one of the start is gone, as an old release is, and the ini is not."""
    server = origin.server
    if server is None or origin.ini_path is None or os.path.isdir(origin.cwd):
        return origin
    path = server.uri.removeprefix("config:").partition("#")[0]
    if not os.path.exists(os.path.join(server.relative_to or "", path)):
        return origin
    return replace(origin, cwd=os.path.dirname(origin.ini_path))


def restore_interpreter(origin: Origin, python_path: str | None) -> None:
    """Give this interpreter import path, directory and mask as the runner's had them when it called us. Raises
    LoadProblem.
    """
    sys.path[:] = origin.sys_path
    try:
        os.chdir(origin.cwd)
    except OSError as error:
        raise LoadProblem(
            f"The folder that the server was started in is gone ({origin.cwd}: {error.strerror}), and no ini is found "
            "without it. Put it back (a symlink to the new one will do), or restart the server in the new one"
        ) from None
    os.umask(origin.umask)
    if python_path is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = python_path


def threads_of_the_application() -> list[str]:
    """Names of threads that were started while the application was loaded: they don't exist in workers."""
    ours = {threading.main_thread().name, "lifeline"}
    return sorted(thread.name for thread in threading.enumerate() if thread.name not in ours)
