"""A dotted name in an ini file to the Python object that it names.

The folder of the ini file is importable, as the folder of a script is: a project served in place needs no
installation. Errors name the words of the ini, not our internals; an exception from within the module passes
unchanged, since its traceback is what helps.
"""

from __future__ import annotations

import difflib
import importlib
import os
import re
import sys
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)


class ApplicationProblem(ValueError):
    """A section that names no application; ``str()`` names the key, what was wrong and what to do."""


def add_folder_of_ini(global_conf: Mapping[str, str]) -> None:
    """Put the folder of the ini file (``here``) first on ``sys.path``, where Python puts the folder of a
    script.
    """
    here = global_conf.get("here")
    if here and os.path.abspath(here) not in sys.path:
        sys.path.insert(0, os.path.abspath(here))


def refuse_unknown(factory: str, known: str, local_conf: Mapping[str, str]) -> None:
    """Raise `ApplicationProblem` for keys that the section of ``factory`` can't have."""
    for key in local_conf:
        near = difflib.get_close_matches(key, [known], n=1, cutoff=0.5)
        raise ApplicationProblem(
            f"{key}: egg:gunicorn#{factory} knows no such key"
            + (f'; did you mean "{near[0]}"?' if near else f"; it knows {known}; server settings go to [server:main]")
        )


def import_module(key: str, name: str, global_conf: Mapping[str, str]) -> object:
    """Import ``name``, the value of ``key``. Raises `ApplicationProblem` if there is no such module."""
    if not _NAME.fullmatch(name):
        raise ApplicationProblem(f'{key}: "{name}" is not the name of a module, such as mysite.wsgi')
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name + ".").startswith(error.name + "."):
            raise  # the module is there, but misses one of its own imports
        raise ApplicationProblem(
            f'{key}: there is no module "{error.name}"; install it in {sys.prefix}, or put it into '
            f"{global_conf.get('here', 'the folder of the ini file')}"
        ) from None


def attribute(key: str, text: str, module: object, path: str) -> object:
    """``path`` ("app", "site.app") in ``module``. Raises `ApplicationProblem` that names what is missing."""
    found = module
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            near = difflib.get_close_matches(name, [*vars(found)] if hasattr(found, "__dict__") else [], n=1)
            raise ApplicationProblem(
                f'{key}: "{text}": there is no "{name}" in it'
                + (f'; did you mean "{near[0]}"?' if near else "; write module:name")
            ) from None
    return found
