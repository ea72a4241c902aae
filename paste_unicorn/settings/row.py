"""What a row of the table is: everything that one setting has to say for itself.

A row is metadata of a dataclass field, written in one call. What it says is used by `resolve` (names, kind,
default, stage), by `report` and by `reference`; to add a setting is to add one row and to use it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, Generic, TypeVar

from .kinds import Kind

T = TypeVar("T")
SINCE = "2026.11.0"


class Stage(Enum):
    """How far a setting has come; a later capability changes this one word of its row."""

    WORKS = "works"
    LATER = "later"  # known, not there yet; one warning line, and the start goes on
    LATER_REFUSED = "later, refused until then"  # going on would change protocol, trust or worker
    IGNORED = "no effect"  # accepted because existing files have it; one line
    REFUSED = "refused"  # never; the line says what to use instead


@dataclass(frozen=True)
class Row(Generic[T]):
    """One setting."""

    name: str
    kind: Kind[T]
    default: T
    text: str
    also: tuple[str, ...] = ()  # other spellings, as options of command lines; accepted in silence
    stage: Stage = Stage.WORKS
    advice: str = ""  # what to do instead, or meanwhile
    harmless: tuple[object, ...] = ()  # values that need no word whatever the stage, as the default
    env: str = ""  # the environment variable that gives the default
    empty: Any = None  # what an empty value or "none" means; `unset` where that is the default
    level: str = "warning"  # of the line of an ignored setting
    since: str = SINCE

    def is_harmless(self, value: object) -> bool:
        return value == self.default or value in self.harmless


UNSET: Any = object()


def row(
    name: str,
    kind: Kind[T],
    default: T,
    text: str,
    *,
    also: tuple[str, ...] = (),
    stage: Stage = Stage.WORKS,
    advice: str = "",
    harmless: tuple[object, ...] = (),
    env: str = "",
    empty: Any = UNSET,
    level: str = "warning",
) -> T:
    """A dataclass field that is this row; typed as its value, so that the class is checked like any other."""
    made = Row(
        name, kind, default, text, also, stage, advice, harmless, env,
        default if empty is UNSET else empty, level,
    )  # fmt: skip
    return field(default=default, metadata={"row": made})


def rows_of(part: type[Any]) -> Iterator[tuple[str, Row[Any]]]:
    """Field name and row of each setting in a part."""
    for each in fields(part):
        yield each.name, each.metadata["row"]
