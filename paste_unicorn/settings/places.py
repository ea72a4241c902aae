"""Kinds that the system has a say in: paths, users and groups, the number of processes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from .cpus import usable_cpus
from .kinds import Kind, Whole, quoted
from .surroundings import Surroundings
from .syslog import SYSLOG, parse_syslog

HIGHEST_ID = 2**32 - 2  # of users and groups; man 2 setuid
MOST_WORKERS = 512  # half of the scoreboard's slots: a generation must find room beside the one that it replaces


class Path(Kind[str | None]):
    """A file or folder, relative to the ini's folder; `plain` words and what has `prefixes` stay as they are.

    `exists` says what must be there: the "file", the "folder", or the "parent" of a file that is to be made.
    """

    what = "path"

    def __init__(self, *, exists: str = "", plain: tuple[str, ...] = (), prefixes: tuple[str, ...] = ()) -> None:
        self.exists, self.plain, self.prefixes = exists, plain, prefixes

    def parse(self, text: str, around: Surroundings) -> str | None:
        if text in self.plain or text.startswith(self.prefixes):
            return text
        if "\0" in text or "\n" in text:
            raise ValueError(f"{quoted(text)} is not a path")
        path = around.absolute(text)
        if self.exists == "folder" and not os.path.isdir(path):
            raise ValueError(f"{quoted(text)} is not a folder ({path}); make it, or give another one")
        if self.exists == "file" and not os.path.isfile(path):
            raise ValueError(f"there is no file {quoted(text)} ({path})")
        if self.exists == "parent" and not os.path.isdir(os.path.dirname(path)):
            raise ValueError(f"{quoted(text)} can't be made: there is no folder {os.path.dirname(path)}")
        return path


class LogPath(Kind[str]):
    """Where a log is written: `-`, `syslog:...`, or a file that can be made."""

    what = "path, or -"

    def parse(self, text: str, around: Surroundings) -> str:
        if text.startswith(SYSLOG):
            if text != SYSLOG:
                parse_syslog(text.removeprefix(SYSLOG))
            return text
        return Path(exists="parent", plain=("-",)).parse(text, around) or ""


class MaybeLogPath(Kind[str | None]):
    """The same, or none."""

    what = "path, or -"

    def parse(self, text: str, around: Surroundings) -> str | None:
        return LogPath().parse(text, around)


class Folders(Kind[tuple[str, ...]]):
    """Several folders, divided by commas or by lines; relative to the ini's folder."""

    what = "list of folders"

    def parse(self, text: str, around: Surroundings) -> tuple[str, ...]:
        return tuple(around.absolute(item.strip()) for item in re.split(r"[,\n]", text) if item.strip())

    def take(self, value: object, around: Surroundings) -> tuple[str, ...]:
        if isinstance(value, list | tuple):
            return tuple(around.absolute(str(item)) for item in value)
        return super().take(value, around)

    def show(self, value: Iterable[str]) -> str:
        return ", ".join(value)


def _identity_number(text: str) -> int:
    return Whole(0, HIGHEST_ID, "a number from 0 to 4294967294").parse(str(int(text)), Surroundings("", ""))


class User(Kind[int | None]):
    """A user, by name or number; the value is the number."""

    what = "user name or number"

    def parse(self, text: str, around: Surroundings) -> int | None:
        import pwd  # only a start that changes the user pays for it

        if text.isdecimal():
            return _identity_number(text)
        try:
            return pwd.getpwnam(text).pw_uid
        except KeyError:
            raise ValueError(f"there is no user {quoted(text)} on this machine; give a name or a number") from None


class Group(Kind[int | None]):
    """A group, by name or number; the value is the number."""

    what = "group name or number"

    def parse(self, text: str, around: Surroundings) -> int | None:
        import grp

        if text.isdecimal():
            return _identity_number(text)
        try:
            return grp.getgrnam(text).gr_gid
        except KeyError:
            raise ValueError(f"there is no group {quoted(text)} on this machine; give a name or a number") from None


class Workers(Kind[int]):
    """How many processes: a number, or `auto`, one for each processor that this process may use."""

    what = "whole number, or auto"
    whole = Whole(1, MOST_WORKERS, f'a whole number of processes from 1 to {MOST_WORKERS}, for example 4, or "auto"')

    def parse(self, text: str, around: Surroundings) -> int:
        return min(usable_cpus(), MOST_WORKERS) if text.lower() == "auto" else self.whole.parse(text, around)


class ConfigFile(Path):
    """A Python file, also as `file:PATH`, or a module as `python:NAME`."""

    def __init__(self) -> None:
        super().__init__(exists="file", prefixes=("python:",))

    def parse(self, text: str, around: Surroundings) -> str | None:
        return super().parse(text.removeprefix("file:"), around)
