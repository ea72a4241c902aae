"""The server's settings, read once more from where the runner read them: by whoever is a fresh interpreter."""

from __future__ import annotations

import os
import traceback

from paste.deploy import loadwsgi

from ..process.identity import IdentityProblem, check_user
from ..process.messages import Origin
from ..settings.resolve import Resolved, Settings, Source, resolve
from .judging import settle_and_judge
from .loading import LoadProblem

_OURS = "paste_unicorn.runner"


class AnotherServer(LoadProblem):
    """The section is for another server than this one."""


def read_local_conf(origin: Origin) -> dict[str, str]:
    """The texts of the server's section as they are in the file now. Raises LoadProblem.

    PasteDeploy reads them as it did for the runner, with `[DEFAULT]`, `use` and variables; never the `global_conf` that
    the server was given at the start, whose values of then would win.
    """
    recipe = origin.server
    if recipe is None:
        return origin.local_conf
    try:
        context = loadwsgi.loadcontext(
            loadwsgi.SERVER,
            recipe.uri,
            name=recipe.name,
            relative_to=recipe.relative_to,
            global_conf=dict(recipe.variables),
        )
    except Exception:
        raise LoadProblem(f"[{origin.section}] can't be read again\n{traceback.format_exc()}") from None
    if getattr(context.object, "__module__", "") != _OURS:
        raise AnotherServer(f"[{origin.section}] names another server than egg:gunicorn#main now; restart for that")
    return {str(name): str(value) for name, value in context.local_conf.items()}


def resolve_again(origin: Origin, local_conf: dict[str, str]) -> Resolved:
    """What these texts say, right or wrong; no hook has been imported yet."""
    return resolve(local_conf, Source(origin.ini_path, origin.section), os.environ, origin.cwd)


def settle_again(resolved: Resolved) -> Settings:
    """The settings, and this process made what they say: directory, mask, environment, import path. Raises LoadProblem
    with everything that is wrong, hooks that can't be imported included.
    """
    problems, settings = settle_and_judge(resolved), resolved.settings
    if problems or settings is None:
        raise LoadProblem("\n".join(str(problem) for problem in problems))
    try:
        check_user(settings.processes)
    except IdentityProblem as problem:
        raise LoadProblem(resolved.placed(str(problem))) from None
    return settings
