"""A problem as one line: where, which name, what was wrong, what to write."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Where something was said: `layer` is default, env, py or ini; line 0 where it isn't known."""

    layer: str
    file: str = ""
    line: int = 0
    section: str = ""

    def __str__(self) -> str:
        if self.layer == "env":
            return f"${self.file}"
        if self.layer == "default":
            return "default"
        line = f":{self.line}" if self.line else ""
        section = f" [{self.section}]" if self.section else ""
        return f"{self.file}{line}{section}"

    def seen_from(self, other: Place) -> str:
        """This place as a line about another place would call it."""
        if self.line and self.file == other.file:
            return f"line {self.line}"
        return str(self)


@dataclass(frozen=True)
class Problem:
    """One line for the person who wrote the ini. `level` is error, warning or info."""

    place: Place
    name: str
    sentence: str
    level: str = "error"

    def __str__(self) -> str:
        return printable(f"{self.place} {self.name}: {self.sentence}")


def printable(line: str) -> str:
    """What somebody wrote must not look like a second line, nor steer a terminal."""
    if line.isprintable():
        return line
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in line)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """By place, as one reads a file; each once."""
    return tuple(sorted(dict.fromkeys(problems), key=lambda problem: (problem.place.file, problem.place.line)))


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The known name that somebody probably meant."""
    import difflib  # slow to import, and most starts have no typing error

    found = difflib.get_close_matches(name, list(names), 1, 0.7)
    return found[0] if found else None
