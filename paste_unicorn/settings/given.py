"""What was said, before anything is believed: names of ini, config file and environment, put to rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import listening
from .configfile import ConfigFile
from .inifile import IniLines
from .kinds import OFF
from .problems import Place, Problem, nearest
from .row import Row
from .table import without_effect
from .table.elsewhere import ELSEWHERE, Elsewhere
from .table.whole import ROWS

KNOWN: Mapping[str, Row[Any]] = {**ROWS, **without_effect.ROWS, **listening.NAMES}
SPELLINGS: Mapping[str, Row[Any]] = {
    **{other: row for row in KNOWN.values() for other in row.also},
    **KNOWN,
}
NOT_OURS = frozenset({"use", "here", "__file__"})


@dataclass(frozen=True)
class Given:
    """One value for one row, as somebody wrote it, under the name that they used."""

    row: Row[Any]
    written: str
    value: object
    place: Place


class Heard:
    """Everything that was said, and what is wrong with the names."""

    def __init__(self, warn_of_unknown: bool) -> None:
        self._level_of_unknown = "warning" if warn_of_unknown else "error"
        self.given: list[Given] = []
        self.problems: list[Problem] = []
        self.meant: set[str] = set()  # rows whose names unknown ones come near to

    def ini(self, local_conf: Mapping[str, str], lines: IniLines) -> None:
        """The names of the server's section."""
        for written, text in local_conf.items():
            name, place = as_row_name(written), lines.place(written)
            if name.startswith("x_") or name in NOT_OURS:
                continue
            if name in SPELLINGS:
                self.given.append(Given(SPELLINGS[name], written, text, place))
            elif name in ELSEWHERE:
                self._elsewhere(ELSEWHERE[name], written, text, place)
            else:
                self._unknown(name, written, place)
        self._kept_back(local_conf, lines)

    def _unknown(self, name: str, written: str, place: Place) -> None:
        meant = nearest(name, [*SPELLINGS, *ELSEWHERE])
        hint = f'did you mean "{meant}"?' if meant else "docs/settings.md has all names"
        self.problems.append(Problem(place, written, f"unknown setting; {hint}", self._level_of_unknown))
        if meant is not None and meant in SPELLINGS and self._level_of_unknown == "error":
            self.meant.add(SPELLINGS[meant].name)

    def _elsewhere(self, known: Elsewhere, written: str, text: str, place: Place) -> None:
        name = f"{known.server}'s name; " if known.server else ""
        if known.level == "error":
            self.problems.append(Problem(place, written, f"unknown setting; that is {name}{known.sentence}"))
            return
        if not known.rows:
            if not (known.only_when_on and text.strip().lower() in OFF):
                self.problems.append(Problem(place, written, f"{name}no effect here: {known.sentence}", known.level))
            return
        try:
            value = known.translate(text.strip())
        except ValueError as error:
            self.problems.append(Problem(place, written, str(error)))
            return
        if known.server:
            rows = " and ".join(f'"{row}"' for row in known.rows)
            self.problems.append(Problem(place, written, f"{name}it means {rows} here", "info"))
        self.given += [Given(ROWS[row], written, value, place) for row in known.rows]

    def _kept_back(self, local_conf: Mapping[str, str], lines: IniLines) -> None:
        """Lines of the section that PasteDeploy keeps to itself, since a global value has the same name."""
        for written, place in lines.names().items():
            name = as_row_name(written)
            if written not in local_conf and (name in SPELLINGS or name in ELSEWHERE):
                self.problems.append(Problem(
                    place, written,
                    "Paste doesn't pass this line on, because [DEFAULT] or the command line has the same "
                    "name; rename that one", "warning",
                ))  # fmt: skip

    def config_file(self, file: ConfigFile) -> None:
        """The names of a Python file: exactly those of rows, since others may be its own variables."""
        for name, value in file.values.items():
            row = ROWS.get(name) or without_effect.ROWS.get(name)
            if row and name not in ("config", "unknown_settings"):
                self.given.append(Given(row, name, value, Place("py", file.shown, file.lines.get(name, 0))))
        for name, meant in file.slips([*ROWS, *without_effect.ROWS]):
            place = Place("py", file.shown, file.lines.get(name, 0))
            self.problems.append(Problem(place, name, f'not a setting; did you mean "{meant}"?', "warning"))

    def environ(self, environ: Mapping[str, str]) -> None:
        """The environment variables that stand for defaults."""
        for row in ROWS.values():
            if row.env and environ.get(row.env):
                self.given.append(Given(row, row.name, environ[row.env], Place("env", row.env)))

    def by_row(self) -> Iterator[list[Given]]:
        """For each row that was spoken of, what counts: of the strongest layer, in the order of lines."""
        found: dict[str, list[Given]] = {}
        for given in self.given:
            found.setdefault(given.row.name, []).append(given)
        for several in found.values():
            strongest = max(STRENGTH[given.place.layer] for given in several)
            yield sorted(
                (given for given in several if STRENGTH[given.place.layer] == strongest),
                key=lambda given: given.place.line,
            )


STRENGTH = {"default": 0, "env": 1, "py": 2, "ini": 3}


def as_row_name(written: str) -> str:
    return written.strip().lower().replace("-", "_")
