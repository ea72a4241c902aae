"""Kinds that hold several values: lists, maps, and the dictionary that only a Python file can give."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from .kinds import Kind, quoted
from .surroundings import Surroundings


class Texts(Kind[tuple[str, ...]]):
    """Several texts, divided by commas or by lines."""

    what = "list"

    def __init__(self, divider: str = r"[,\n]") -> None:
        self.divider = divider

    def parse(self, text: str, around: Surroundings) -> tuple[str, ...]:
        return tuple(item.strip() for item in re.split(self.divider, text) if item.strip())

    def take(self, value: object, around: Surroundings) -> tuple[str, ...]:
        if isinstance(value, Iterable) and not isinstance(value, str):
            return tuple(str(item) for item in value)
        return super().take(value, around)

    def show(self, value: Iterable[object]) -> str:
        return ", ".join(str(item) for item in value)


class Pairs(Kind[tuple[tuple[str, str], ...]]):
    """A map, as lines of `name = value`, or as JSON."""

    what = "lines of name = value"

    def __init__(self, example: str) -> None:
        self.example = example

    def parse(self, text: str, around: Surroundings) -> tuple[tuple[str, str], ...]:
        if text.startswith("{"):
            try:
                return self.take(json.loads(text), around)
            except json.JSONDecodeError as error:
                raise ValueError(f"{quoted(text)} is not JSON ({error}); lines of name = value do as well") from None
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return tuple(self._pair(line) for line in lines)

    def take(self, value: object, around: Surroundings) -> tuple[tuple[str, str], ...]:
        if isinstance(value, Mapping):
            return tuple((str(name), str(each)) for name, each in value.items())
        if isinstance(value, list | tuple):
            return tuple(self._pair(str(line)) for line in value)
        return super().take(value, around)

    def _pair(self, line: str) -> tuple[str, str]:
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"{quoted(line)} has no = in it; give one {self.example} a line")
        return name.strip(), value.strip()

    def show(self, value: Iterable[tuple[str, str]]) -> str:
        return ", ".join(f"{name} = {each}" for name, each in value)


class Dictionary(Kind[dict[str, object] | None]):
    """A dictionary, which only a Python file can give."""

    what = "a dictionary in the config file"

    def parse(self, text: str, around: Surroundings) -> dict[str, object] | None:
        raise ValueError(
            "a dictionary can't be written in an ini file; set it in the config .py, or use logconfig_json"
        )

    def take(self, value: object, around: Surroundings) -> dict[str, object] | None:
        if not isinstance(value, dict):
            raise ValueError(f"{quoted(value)} is not a dictionary")
        return value or None
