"""Imports go downwards only; neighbours on a floor do not import each other; floor 0 touches nothing outside."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "paste_unicorn"

FLOORS = {
    "runner": 6,
    "check": 5, "plugins": 5,
    "arbiter": 4, "surroundings": 4,
    "template": 3,
    "workers": 2,
    "wsgi": 1, "ops": 1, "process": 1,
    "http": 0, "settings": 0, "scoreboard": 0,
}  # fmt: skip

# What the arbiter must not even name: it serves no request, and that can be seen in its imports.
NOT_FOR = {"arbiter": {"http", "wsgi", "workers"}}

# Only these modules of the arbiter act; the others decide, and need no process to be tested.
ACTING = {
    "perform", "generations", "obituary", "listeners", "binding", "own_logs", "signals", "succession", "pidfile",
    "arbiter", "__main__", "limits",
}  # fmt: skip
FORBIDDEN_MODULES = {
    "http": {"os", "signal", "socket", "time", "logging", "select", "threading", "subprocess"},
    "settings": {"signal", "socket", "time", "logging", "select", "threading", "subprocess"},
}


def room_of(path: Path) -> str:
    """The folder, or the module where it lies in no folder, below the package."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything that a module imports, also inside functions."""
    parents = ["paste_unicorn", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parents[: len(parents) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{stem}.{alias.name}") for alias in node.names)


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def complaints(path: Path) -> list[str]:
    found, room = [], room_of(path)
    here = path.relative_to(PACKAGE.parent)
    for line, name in imports_of(path):
        parts = name.split(".")
        if parts[0] != "paste_unicorn":
            if parts[0] in FORBIDDEN_MODULES.get(room, ()):
                found.append(f"{here}:{line} imports {parts[0]}, which {room}/ must not know")
            if room == "arbiter" and path.stem not in ACTING and parts[0] in {"os", "signal", "socket", "time"}:
                found.append(f"{here}:{line} imports {parts[0]}: this module decides, it does not act")
            continue
        if len(parts) < 2 or parts[1] not in FLOORS or parts[1] == room:
            continue
        target = parts[1]
        if FLOORS[target] >= FLOORS[room]:
            found.append(
                f"{here}:{line} imports {name}: {room} (floor {FLOORS[room]}) may not know {target} "
                f"(floor {FLOORS[target]})"
            )
        elif target in NOT_FOR.get(room, ()):
            found.append(f"{here}:{line} imports {name}: {room}/ must not name {target}/")
    return found


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in modules()}
    assert rooms <= set(FLOORS), (
        f"no floor for {rooms - set(FLOORS)}: say in this file, and in docs/architecture.md, where they stand"
    )


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downwards_only(path: Path) -> None:
    assert complaints(path) == []
