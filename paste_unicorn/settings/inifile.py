"""At which line of an ini file a setting stands: Paste hands over values alone.

The file is read as configparser would read it, without interpolation, and `use = ` is followed to the
sections and files that it inherits from. It is only asked for lines: whatever is wrong with the file is the
runner's to say.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from .problems import Place

SECTION = re.compile(r"\[(?P<name>.+)\]")
OPTION = re.compile(r"(?P<name>.*?)\s*[=:]\s*(?P<value>.*)$")
DEEPEST = 8  # sections that inherit from each other


@dataclass(frozen=True)
class Source:
    """Which section of which file the settings come from; None where they don't come from a file."""

    path: str | None
    section: str


@dataclass(frozen=True)
class Written:
    """A setting as it stands in a file."""

    line: int
    value: str


def read_sections(path: str) -> dict[str, dict[str, Written]]:
    """Section to name to where it stands; {} where the file can't be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return {}
    sections: dict[str, dict[str, Written]] = {}
    current: dict[str, Written] | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip()[0] in "#;" or (line[0].isspace() and current):
            continue  # a blank, a comment, or a further line of the value before it
        if header := SECTION.match(line.strip()):
            current = sections.setdefault(normal(header["name"]), {})
        elif current is not None and (option := OPTION.match(line.strip())):
            # `get name = other` is PasteDeploy's: the value of a global one, under this name.
            name = re.sub(r"^get\s+", "", option["name"])
            current.setdefault(name, Written(number, option["value"]))
    return sections


def normal(section: str) -> str:
    """`server : main` and `server:main` are one section to PasteDeploy."""
    kind, colon, name = section.partition(":")
    return f"{kind.strip()}:{name.strip()}" if colon else section.strip()


class IniLines:
    """Answers where a name of the server's section stands."""

    def __init__(self, source: Source, cwd: str) -> None:
        self._cwd = cwd
        self._section = source.section
        self._places: dict[str, Place] = {}
        self._shown = self._show(source.path) if source.path else "settings"
        if source.path:
            self._read(source.path, normal(source.section), 0)

    def place(self, name: str) -> Place:
        """Where this name, as written, stands; without a line where that isn't found."""
        return self._places.get(name) or Place("ini", self._shown, 0, self._section)

    def names(self) -> Mapping[str, Place]:
        """All names of the section, also those that PasteDeploy didn't pass on."""
        return self._places

    def _read(self, path: str, section: str, depth: int) -> None:
        sections = read_sections(path)
        if section not in sections and section.endswith(":main"):
            section = section.removesuffix(":main")  # [server] is [server:main]
        options = sections.get(section, {})
        for name, written in options.items():
            self._places.setdefault(name, Place("ini", self._show(path), written.line, section))
        if "use" in options and depth < DEEPEST:
            self._follow(path, section, options["use"].value, depth)

    def _follow(self, path: str, section: str, use: str, depth: int) -> None:
        folder = os.path.dirname(path)
        use = use.replace("%(here)s", folder)
        kind = section.partition(":")[0]
        if use.startswith("config:"):
            file, _, name = use.removeprefix("config:").partition("#")
            self._read(os.path.join(folder, file.strip()), f"{kind}:{name.strip() or 'main'}", depth + 1)
        elif ":" not in use:
            self._read(path, f"{kind}:{use.strip()}", depth + 1)

    def _show(self, path: str) -> str:
        """The path as somebody in the current folder would write it."""
        absolute = os.path.join(self._cwd, path)
        inside = os.path.relpath(absolute, self._cwd)
        return absolute if inside.startswith("..") else inside
