"""A section of an ini, followed as PasteDeploy follows it, to whatever it names; but nothing is imported.

So a section that is not there, or leads nowhere, is found without loading the application; and what is wrong with a
file is said with its line, where PasteDeploy has an exception of configparser.
"""

from __future__ import annotations

import ast
import configparser
import os
import sys
from importlib import metadata
from typing import Any
from urllib.parse import unquote

from paste.deploy import loadwsgi

from ..settings.inifile import normal, read_sections


class Astray(Exception):
    """The section can't be followed; `str()` is a sentence: file and, where it is known, line, and what is wrong."""


def follow(kind: Any, uri: str, name: str | None, variables: dict[str, str]) -> str:
    """To what a section leads that the runner would load: `kind` is `loadwsgi.APP` or `SERVER`.

    The section's name as it stands in the file. Raises Astray.
    """
    path, _, part = uri.removeprefix("config:").partition("#")
    loader = _open(unquote(path), variables, [])
    name = name or part or "main"
    try:
        section: str = loader.find_config_section(kind, name=name)
        loader.get_context(kind, name, dict(variables))
    except (configparser.Error, LookupError, ImportError, ValueError) as error:
        raise Astray(_sentence(error, loader.filename)) from None
    return section


class _Loader(loadwsgi.ConfigLoader):  # type: ignore[misc]
    """A file; `under_way` are the sections that are being followed, of this file and of those that led here."""

    def __init__(self, path: str, under_way: list[tuple[str, str]]) -> None:
        super().__init__(path)
        self._under_way = under_way

    def get_context(self, object_type: Any, name: str | None = None, global_conf: Any = None) -> Any:
        if self.absolute_name(name):
            assert name is not None
            scheme, _, target = name.partition(":")
            target, _, part = target.partition("#")
            context = self._elsewhere(object_type, scheme.lower(), target, part or "main", global_conf)
            return context or loadwsgi.LoaderContext(None, object_type, None, dict(global_conf or {}), {}, self)
        here = (self.filename, self.find_config_section(object_type, name=name))
        if here in self._under_way:
            raise Astray(f"{_shown(self.filename)} [{here[1]}]: `use` leads back to where it came from")
        self._under_way.append(here)
        try:
            return super().get_context(object_type, name, global_conf)
        except (configparser.Error, LookupError, ImportError, ValueError) as error:
            raise Astray(_sentence(error, self.filename, here[1])) from None
        finally:
            self._under_way.pop()

    def find_config_section(self, object_type: Any, name: str | None = None) -> str:
        try:
            found: str = super().find_config_section(object_type, name=name)
        except LookupError as error:
            if str(error).startswith("Ambiguous"):
                raise
            first, *others = (f"[{prefixes[0]}:{name}]" for prefixes in object_type.config_prefixes)
            raise LookupError(f"there is no {first}{''.join(f', nor {other}' for other in others)}") from None
        return found

    def _elsewhere(self, object_type: Any, scheme: str, target: str, name: str, global_conf: Any) -> Any:
        """The context of another file's section; None where it is code, which is there as far as can be told."""
        if scheme == "config":
            path = os.path.join(os.path.dirname(self.filename), unquote(target))
            return _open(path, global_conf or {}, self._under_way).get_context(object_type, name, global_conf)
        if scheme == "egg":
            distribution = metadata.distribution(target)
            protocols = [protocol for group in object_type.egg_protocols for protocol in group]
            if not any(loadwsgi.find_entry_point(distribution, protocol, name) for protocol in protocols):
                raise LookupError(f'the package "{target}" has no entry point "{name}" in {" or ".join(protocols)}')
        elif scheme != "call":
            raise LookupError(f'"{scheme}:" is not known; it may be config:, egg: or call:')
        return None

    def _context_from_use(self, object_type: Any, local_conf: Any, *others: Any) -> Any:
        use = local_conf["use"]
        try:
            return super()._context_from_use(object_type, local_conf, *others)
        except (LookupError, ImportError) as error:
            section = others[-1]
            raise Astray(f"{_place(self.filename, section, 'use')}: `use = {use}`: {_reason(error)}") from None

    def _context_from_explicit(
        self, object_type: Any, local_conf: Any, global_conf: Any, additions: Any, section: str
    ) -> Any:
        protocols = [next((name for name in group if name in local_conf), "") for group in object_type.egg_protocols]
        found = [name for name in protocols if name]
        if len(found) != 1:
            wanted = " or ".join(f"`{name}`" for name in ("use", object_type.egg_protocols[0][0]))
            said = f"has both {' and '.join(found)}" if found else f"says nothing of what to load; give it {wanted}"
            raise Astray(f"{_shown(self.filename)} [{section}] {said}")
        return loadwsgi.LoaderContext(None, object_type, found[0], global_conf, local_conf, self)


def _open(path: str, variables: dict[str, str], under_way: list[tuple[str, str]]) -> _Loader:
    try:
        loader = _Loader(path, under_way)
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        raise Astray(_sentence(error, path)) from None
    loader.update_defaults(variables, overwrite=False)
    return loader


def _sentence(error: Exception, path: str, section: str = "") -> str:
    """What is wrong with a file, where, and what to write."""
    shown = _shown(path)
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f"{shown}:{error.lineno}: {error.line.strip()!r} stands before the first [section]"
    if isinstance(error, configparser.ParsingError):
        line, text = error.errors[0]
        if sys.version_info < (3, 13):
            text = ast.literal_eval(text)
        return f"{shown}:{line}: {text.strip()!r} is neither a [section] nor `name = value`"
    if isinstance(error, configparser.DuplicateSectionError):
        return f"{shown}:{error.lineno}: [{error.section}] is there twice"
    if isinstance(error, configparser.DuplicateOptionError):
        return f"{shown}:{error.lineno} [{error.section}] {error.option} is there twice"
    if isinstance(error, configparser.InterpolationMissingOptionError):
        said = f"%({error.reference})s is not defined here or in [DEFAULT]; write %% for a percent sign"
        return f"{_place(path, error.section, error.option)} {error.option}: {said}"
    if isinstance(error, configparser.InterpolationDepthError):
        return f"{_place(path, error.section, error.option)} {error.option}: it refers to itself"
    if isinstance(error, configparser.InterpolationError):
        return f"{_place(path, error.section, error.option)} {error.option}: write %% for a percent sign, or %(name)s"
    if isinstance(error, UnicodeDecodeError):
        return f"{shown}:{_line_of(error, path)}: this is not {error.encoding} text; save the file as {error.encoding}"
    where = f"{shown} [{section}]" if section else shown
    return f"{where}: {_reason(error)}"


def _reason(error: Exception) -> str:
    if isinstance(error, metadata.PackageNotFoundError):
        return f'there is no package "{error.name}" in this Python'
    if isinstance(error, KeyError):  # of a `get`
        return f'there is no "{error.args[0]}" in [DEFAULT]'
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)


def _line_of(error: UnicodeDecodeError, path: str) -> int:
    """The exception's own offset is that in a piece of the file."""
    with open(path, "rb") as file:
        content = file.read()
    try:
        content.decode(error.encoding)
    except UnicodeDecodeError as whole:
        return content.count(b"\n", 0, whole.start) + 1
    return 1


def _place(path: str, section: str, name: str) -> str:
    written = read_sections(path).get(normal(section), {}).get(name)
    line = f":{written.line}" if written is not None else ""
    return f"{_shown(path)}{line} [{section}]"


def _shown(path: str) -> str:
    """As somebody in the current folder would write it."""
    inside = os.path.relpath(path)
    return os.path.abspath(path) if inside.startswith("..") else inside
