"""Text to value: each kind of value, with the sentence that it says when a text doesn't fit.

A kind knows no setting. `parse` raises ValueError with what was wrong and what to write; the name, the file
and the line are put before it by `resolve`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Generic, TypeVar

from .surroundings import Surroundings

T = TypeVar("T")

ON = frozenset({"true", "yes", "on", "1", "y", "t"})
OFF = frozenset({"false", "no", "off", "0", "n", "f"})
SECONDS = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BYTES = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
SHOWN = 60  # characters of a wrong value that are repeated in its message


def quoted(value: object) -> str:
    """A value as it may stand in a message: on one line, and not longer than a glance."""
    text = value if isinstance(value, str) else repr(value)
    return json.dumps(text if len(text) <= SHOWN else text[:SHOWN] + "...", ensure_ascii=False)


class Kind(Generic[T]):
    """A kind of value. `what` names it in the documentation."""

    what = "text"

    def parse(self, text: str, around: Surroundings) -> T:
        """The value that a text of an ini file means. Raises ValueError."""
        raise NotImplementedError

    def take(self, value: object, around: Surroundings) -> T:
        """The value that an object of a Python file means: by way of the text that would mean the same."""
        if isinstance(value, bool):
            return self.parse("true" if value else "false", around)
        if isinstance(value, float):
            return self.parse(f"{value:.6f}".rstrip("0").rstrip("."), around)
        if isinstance(value, int):
            return self.parse(str(int(value)), around)  # of an IntEnum, as ssl has them, its number
        if isinstance(value, str):
            return self.parse(value, around)
        raise ValueError(f"{quoted(value)} does not fit here; give a {self.what}")

    def show(self, value: T) -> str:
        """The value as an ini file would say it."""
        return "" if value is None else str(value)


class Text(Kind[str]):
    """Any text."""

    def parse(self, text: str, around: Surroundings) -> str:
        return text


class MaybeText(Kind[str | None]):
    """Any text, or nothing."""

    def parse(self, text: str, around: Surroundings) -> str | None:
        return text


class Line(Kind[str]):
    """Text that goes into a header field as it is, so without control characters."""

    what = "a line of printable text"

    def parse(self, text: str, around: Surroundings) -> str:
        if not (text.isascii() and text.isprintable()):
            raise ValueError(f"{quoted(text)} can't stand in a header field; give printable ASCII")
        return text


class Whole(Kind[int]):
    """A whole number within a range."""

    what = "whole number"

    def __init__(self, low: int = 0, high: int = 2**53, give: str = "") -> None:
        self.low, self.high = low, high
        self.give = give or f"a whole number from {low}" + (f" to {high}" if high < 2**53 else "")

    def parse(self, text: str, around: Surroundings) -> int:
        try:
            number = int(text, 0)
        except ValueError:
            raise ValueError(f"{quoted(text)} is not a number; give {self.give}") from None
        if not self.low <= number <= self.high:
            raise ValueError(f"{text} is too {'small' if number < self.low else 'large'}; give {self.give}")
        return number


class Switch(Kind[bool]):
    """Yes or no, in the words of any of the servers that people come from."""

    what = "true or false"

    def parse(self, text: str, around: Surroundings) -> bool:
        word = text.lower()
        if word in ON or word in OFF:
            return word in ON
        raise ValueError(
            f"{quoted(text)} is neither yes nor no; give true or false (yes, no, on, off, 1, 0 do as well)"
        )

    def show(self, value: bool) -> str:
        return "true" if value else "false"


class Duration(Kind[float]):
    """A time span in seconds; a plain number is seconds, as existing files have it."""

    what = "duration"
    pattern = re.compile(r"([0-9][0-9_]*(?:\.[0-9]*)?|\.[0-9]+)\s*(ms|s|m|h|d|)", re.ASCII | re.IGNORECASE)

    def __init__(self, low: float = 0.0, high: float = 3.2e8) -> None:
        self.low, self.high = low, high

    def parse(self, text: str, around: Surroundings) -> float:
        found = self.pattern.fullmatch(text)
        if not found:
            raise ValueError(f"{quoted(text)} is not a duration; give seconds, for example 30, or 250ms, 5m, 1h")
        seconds = float(found[1].replace("_", "")) * SECONDS[found[2].lower()]
        if not self.low <= seconds <= self.high:
            bound = f"{self.low:g} seconds or more" if seconds < self.low else f"{self.high:g} seconds or less"
            raise ValueError(f"{text} is too {'short' if seconds < self.low else 'long'}; give {bound}")
        return seconds

    def show(self, value: float) -> str:
        return f"{value:g}"


class Size(Kind[int]):
    """A number of bytes; k, m, g and t are powers of 1024."""

    what = "size"
    pattern = re.compile(r"([0-9][0-9_]*|0[xX][0-9a-fA-F]+)\s*([kmgt]?)(?:i?b)?", re.ASCII | re.IGNORECASE)

    def __init__(self, low: int = 0, high: int = 2**53) -> None:
        self.low, self.high = low, high

    def parse(self, text: str, around: Surroundings) -> int:
        found = self.pattern.fullmatch(text)
        if not found:
            raise ValueError(f"{quoted(text)} is not a size; give bytes, for example 8190, or 64k, 16m, 1g")
        digits = found[1].replace("_", "")
        size = (int(digits, 0) if digits[:2].lower() == "0x" else int(digits)) * BYTES[found[2].lower()]
        if not self.low <= size <= self.high:
            bound = f"{self.low} bytes or more" if size < self.low else f"{self.high} bytes or less"
            raise ValueError(f"{text} is too {'small' if size < self.low else 'large'}; give {bound}")
        return size

    def show(self, value: int | None) -> str:
        if value is None:
            return ""
        for unit in "gmk":
            if value and value % BYTES[unit] == 0:
                return f"{value // BYTES[unit]}{unit}"
        return str(value)


class MaybeSize(Kind[int | None]):
    """A number of bytes, or off; `off` says which words and numbers mean off."""

    what = "size, or off"

    def parse(self, text: str, around: Surroundings) -> int | None:
        return None if text.lower() in OFF else Size().parse(text, around)

    def show(self, value: int | None) -> str:
        return "" if value is None else Size().show(value)


class Mode(Kind[int | None]):
    """Permission bits, the one octal kind: with a leading 0 or 0o; without, decimal as it always was."""

    what = "octal mode"

    def parse(self, text: str, around: Surroundings) -> int | None:
        digits = text.lower().removeprefix("0o")
        octal = digits != text.lower() or text.startswith("0")
        try:
            mode = int(digits, 8 if octal else 10)
        except ValueError:
            raise ValueError(f"{quoted(text)} is not a mode; give octal digits, for example 0o022") from None
        said = text if octal or mode <= 7 else f"{text} has no leading zero, so it is decimal, that is 0o{mode:03o}"
        if not 0 <= mode <= 0o777:
            raise ValueError(f"{said}: not a mode; give octal digits from 0o000 to 0o777")
        if said != text:
            # With an 8 or a 9 nothing octal can have been meant.
            meant = f"0o{mode:03o}, which says so" if set(text) & {"8", "9"} else f"0o{text} if that was meant"
            around.warn(f"{said}; write {meant}")
        return mode

    def take(self, value: object, around: Surroundings) -> int | None:
        return self.parse(f"0o{value:o}" if type(value) is int and value >= 0 else str(value), around)

    def show(self, value: int | None) -> str:
        return "" if value is None else f"0o{value:03o}"


class Choice(Kind[str]):
    """One of a few words; `same` are other words for them, `refused` words with an answer of their own."""

    def __init__(
        self,
        *words: str,
        same: Mapping[str, str] | None = None,
        refused: Mapping[str, str] | None = None,
    ) -> None:
        self.words, self.same, self.refused = words, same or {}, refused or {}
        self.what = "one of " + ", ".join(words)

    def parse(self, text: str, around: Surroundings) -> str:
        word = text.lower()
        word = self.same.get(word, word)
        if word in self.words:
            return word
        if word in self.refused:
            raise ValueError(f"{quoted(text)} {self.refused[word]}")
        raise ValueError(f"{quoted(text)} is not known; give {self.what}")
