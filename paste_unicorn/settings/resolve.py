"""All settings, or all that is wrong with them at once.

What counts is, from weak to strong: the row's default, the environment, the config file, the ini. Names are
put to rows by `given`, texts become values by the rows' kinds; this module decides between them and asks each
row how far it has come.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import configfile
from .checks import Checks
from .given import Given, Heard, as_row_name
from .hooks import ARGUMENTS, HookError, load
from .inifile import IniLines, Source
from .kinds import Choice, quoted
from .listening import Listening
from .problems import Place, Problem, in_order, printable
from .row import Row, Stage
from .surroundings import Surroundings
from .table.whole import ROWS, Settings, settings_of

_NAMED = re.compile(r"\w+(?=: | = )")
THREADS = 4  # of a worker of that class, where nobody says how many

__all__ = ["Resolved", "Settings", "Source", "hook_problems", "resolve"]


@dataclass(frozen=True)
class Resolved:
    """The settings, or None and the `problems`; `notes` are warnings and infos either way.

    `origins` says of each row, by name, where its value was said.
    """

    place: Place  # the section as a whole
    settings: Settings | None
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    origins: Mapping[str, Place]
    readable: Settings  # with defaults in place of what is wrong
    wrong: frozenset[str]  # rows whose value is a problem, or whose name seems to have been meant by an unknown one

    def placed(self, said: str) -> str:
        """What came of using the settings, line by line: before a line that begins with a setting's name, its place."""
        return "\n".join(printable(self._placed(line)) for line in said.splitlines())

    def _placed(self, line: str) -> str:
        named = _NAMED.match(line)
        if named is None or named[0] not in self.origins:
            return line
        place = self.origins[named[0]]
        return f"{self.place if place.layer == 'default' else place} {line}"


def resolve(
    local_conf: Mapping[str, str], source: Source, environ: Mapping[str, str], cwd: str | None = None
) -> Resolved:
    """Settings out of what Paste hands over, the file that it came from, the config file and the environment.

    `cwd` is the folder that relative paths start from: where the server was started, which `chdir` may have left.
    Never raises for what somebody wrote; runs the config file, and imports nothing else.
    """
    cwd = cwd or os.getcwd()
    folder = os.path.dirname(os.path.join(cwd, source.path)) if source.path else cwd
    return _Resolution(Surroundings(folder, cwd, environ)).run(local_conf, source)


class _Resolution:
    """One run: values and places by row name, and what there is to say."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._values: dict[str, Any] = {name: row.default for name, row in ROWS.items()}
        self._places: dict[str, Place] = {}
        self._said: list[Problem] = []
        self._wrong: set[str] = set()

    def run(self, local_conf: Mapping[str, str], source: Source) -> Resolved:
        heard = Heard(_warns_of_unknown(local_conf))
        lines = IniLines(source, self._around.cwd)
        heard.ini(local_conf, lines)
        file = self._config_file(heard)
        if file is not None:
            heard.config_file(file)
        heard.environ(self._around.environ)
        for several in heard.by_row():
            self._settle(several)
        self._listen()
        self._choose_class()
        self._said += heard.problems
        self._said += Checks(self._values, self._places, self._around).problems()
        errors = in_order(problem for problem in self._said if problem.level == "error")
        readable = settings_of({name: self._values[name] for name in ROWS})
        return Resolved(
            lines.place(""),
            None if errors else readable,
            errors,
            in_order(problem for problem in self._said if problem.level != "error"),
            {name: self._places.get(name, Place("default")) for name in ROWS},
            readable,
            frozenset(self._wrong | heard.meant),
        )

    def _config_file(self, heard: Heard) -> configfile.ConfigFile | None:
        given = [given for given in heard.given if given.row.name == "config"]
        if given and str(given[-1].value).strip():
            path = self._value(given[-1])
            return self._read(path, given[-1]) if path else None
        path = os.path.join(self._around.cwd, configfile.UNASKED)
        if not os.path.isfile(path):
            return None
        here = Given(ROWS["config"], "config", path, Place("py", configfile.UNASKED))
        file = self._read(path, here)
        if file is not None:
            names = ", ".join(name for name in file.values if name in ROWS) or "nothing"
            self._say(here, f"read, because it is in the current folder; it sets {names}", "info")
        return file

    def _read(self, path: str, given: Given) -> configfile.ConfigFile | None:
        shown = os.path.relpath(path, self._around.cwd) if os.path.isabs(path) else path
        try:
            return configfile.read(path, path if shown.startswith("..") else shown)
        except configfile.ConfigFileError as error:
            self._say(given, f"{quoted(given.value)} {error}")
            return None

    def _settle(self, several: list[Given]) -> None:
        """Take the value of one row, from all that was said about it in the strongest layer."""
        row, first = several[0].row, several[0]
        self._places[row.name] = first.place
        before = len(self._said)
        values = [self._value(given) for given in several]
        if any(problem.level == "error" for problem in self._said[before:]):
            return
        for given, value in zip(several[1:], values[1:], strict=True):
            if value != values[0]:
                where = first.place.seen_from(given.place)
                said = f"{where} says {first.written} = {_on_one_line(first.value)}"
                self._say(given, f'{quoted(given.value)}, but {said}, and both are "{row.name}"; keep one')
        self._judge(several[0], values[0])
        self._values[row.name] = values[0]

    def _value(self, given: Given) -> Any:
        """The value that was given; the row's default, and a problem, where it doesn't fit."""
        row, raw = given.row, given.value
        text = raw.strip() if isinstance(raw, str) else None
        if raw is None or text == "" or (text is not None and text.lower() == "none" and not _knows_none(row)):
            return row.empty
        self._around.heard.clear()
        try:
            value = row.kind.parse(text, self._around) if text is not None else row.kind.take(raw, self._around)
        except (ValueError, TypeError) as error:
            if row.stage is Stage.IGNORED and given.place.layer != "ini":
                return raw  # nobody will look at it
            self._say(given, f"{error}{_comment_in(text, row, self._around)}")
            return row.default
        if given.place.layer != "env":
            for level, sentence in self._around.heard:
                self._say(given, sentence, level)
        return value

    def _judge(self, given: Given, value: object) -> None:
        """Say what the row's stage has to say about a value."""
        row = given.row
        if row.stage is Stage.WORKS or row.is_harmless(value):
            return
        if row.stage is Stage.LATER:
            self._say(given, f"not there yet: {row.advice}", "warning")
        elif row.stage is Stage.LATER_REFUSED:
            self._say(given, f"not there yet, so {quoted(given.value)} is refused; {row.advice}")
        elif row.stage is Stage.IGNORED:
            self._say(given, f"no effect: {row.advice}", row.level)
        else:
            self._say(given, f"{quoted(given.value)} is not supported; {row.advice}")

    def _choose_class(self) -> None:
        """The class and the number of threads speak for each other."""
        if self._values["worker_class"] == "sync" and self._values["threads"] > 1:
            self._values["worker_class"] = "threads"
            self._places["worker_class"] = self._places["threads"]
        elif self._values["worker_class"] == "threads" and "threads" not in self._places:
            self._values["threads"] = THREADS

    def _listen(self) -> None:
        listening = Listening(self._values, self._places, self._around)
        self._values["bind"], place = listening.result()
        if place.layer != "default":
            self._places["bind"] = place
        self._said += listening.problems

    def _say(self, given: Given, sentence: str, level: str = "error") -> None:
        self._said.append(Problem(given.place, given.written, sentence, level))
        if level == "error":
            self._wrong.add(given.row.name)


def hook_problems(resolved: Resolved) -> tuple[Problem, ...]:
    """What is wrong with the hooks; this imports them, so it is for a process that may run the application's code."""
    found = []
    for name in ARGUMENTS:
        hook = getattr(resolved.readable.processes, name)
        if hook is None:
            continue
        try:
            load(hook, name)
        except HookError as error:
            found.append(Problem(resolved.origins[name], name, str(error).removeprefix(f"{name}: ")))
    return tuple(found)


def _on_one_line(value: object) -> str:
    return quoted(" ".join(str(value).split()))[1:-1]


def _comment_in(text: str | None, row: Row[Any], around: Surroundings) -> str:
    """What to add to a message where the value would fit without the comment that follows it."""
    before = re.split(r"\s[#;]", text or "", maxsplit=1)[0].strip()
    if not before or before == text:
        return ""
    try:
        row.kind.parse(before, around)
    except ValueError:
        return ""
    return "; a comment needs a line of its own"


def _knows_none(row: Row[Any]) -> bool:
    return isinstance(row.kind, Choice) and ("none" in row.kind.words or "none" in row.kind.same)


def _warns_of_unknown(local_conf: Mapping[str, str]) -> bool:
    """`unknown_settings` has to be known before any other name is looked at."""
    return any(
        as_row_name(name) == "unknown_settings" and text.strip().lower().startswith("warn")
        for name, text in local_conf.items()
    )
