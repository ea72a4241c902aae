"""The Python file of settings that `config` names: run, and asked for the names of our table.

Names that the table doesn't have are the file's own affair, as they always were, unless one looks like a
slip.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any

from .problems import nearest

UNASKED = "gunicorn.conf.py"  # read from the current folder when nothing is said


class ConfigFileError(ValueError):
    """The file can't be used; the message says why."""


@dataclass(frozen=True)
class ConfigFile:
    """What a file said: name to value, and name to line."""

    shown: str
    values: Mapping[str, object]
    lines: Mapping[str, int]

    def slips(self, known: Iterable[str]) -> list[tuple[str, str]]:
        """Names that hold plain data and are nearly, but not quite, those of a setting."""
        known = list(known)
        found = []
        for name, value in self.values.items():
            if name in known or name.startswith("_") or not isinstance(value, bool | int | float | str | list | tuple):
                continue
            if name in self.lines and len(name) > 4 and (meant := nearest(name, known)) and meant not in self.values:
                found.append((name, meant))
        return found


def read(path: str, shown: str) -> ConfigFile:
    """Run the file (or the module, as `python:NAME`). Raises ConfigFileError."""
    if path.startswith("python:"):
        return _module(path.removeprefix("python:"), shown)
    try:
        with open(path, "rb") as file:
            text = file.read()
        tree = ast.parse(text, path)
        code: CodeType = compile(tree, path, "exec")
    except (OSError, SyntaxError, ValueError) as error:  # ValueError: NUL, or a wrong coding line
        raise ConfigFileError(_why(error, path)) from error
    names: dict[str, Any] = {"__name__": "__config__", "__file__": path, "__builtins__": __builtins__}
    try:
        exec(code, names)
    except (Exception, SystemExit) as error:  # a border: the file is somebody else's program
        raise ConfigFileError(_why(error, path)) from error
    return ConfigFile(shown, names, _lines(tree))


def _module(name: str, shown: str) -> ConfigFile:
    import importlib

    try:
        module = importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise ConfigFileError(_why(error, "")) from error
    return ConfigFile(
        shown, {key: value for key, value in vars(module).items() if not isinstance(value, ModuleType)}, {}
    )


def _why(error: BaseException, path: str) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"can't be read: {error.strerror}"
    if isinstance(error, SyntaxError):
        return f"is not Python: {error.msg} (line {error.lineno})" if error.lineno else f"is not Python: {error.msg}"
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"raised {type(error).__name__}: {error}" + (f" (line {line})" if line else "")


def _lines(tree: ast.Module) -> dict[str, int]:
    """The line at which each name of the module's top was given its last value."""
    lines: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            lines[node.name] = node.lineno
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            lines[node.id] = node.lineno
    return lines
