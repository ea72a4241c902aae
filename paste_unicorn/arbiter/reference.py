"""The table of `decide.py` as the page `docs/signals.md`: `python -m paste_unicorn.arbiter.reference` prints it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence

from .decide import PHASES, TABLE, Rule, nothing
from .events import Signal
from .rules.balance import STEPS
from .state import Phase

_HEAD = """\
# Signals, and what else happens

Printed from the table in `paste_unicorn/arbiter/decide.py` by `python -m paste_unicorn.arbiter.reference`; a test
compares them. Send signals to the arbiter, the process titled `unicorn: arbiter [...]`; its pid is the one that the
runner prints and writes into its pid file. Templates ignore signals; workers are told by the arbiter.
What whoever starts the server, or the application while it is loaded, has blocked or ignored is heeded all the same.

The columns are what the arbiter is doing: **starting** (not all workers have been ready yet), **serving**, **stopping**
(what was accepted is finished), **quitting** (nothing is finished).

INT comes from a terminal when `/dev/tty` can be opened and this process is in its foreground: then somebody pressed
Ctrl-C. Otherwise it is somebody's `kill`; `paster serve ... stop` sends one a second for ten seconds.

While it starts or serves, the rule of an event is followed by `balance` (`arbiter/rules/balance.py`), which makes agree
what the arbiter has and what is wanted. Its steps, in this order:

{steps}
Under a reloader (`--reload`) a graceful stop takes half a second at most, since the reloader would kill after a second.
"""

_EVENTS = """
## Events

What the arbiter hears from its processes, and the passing of time, by the same table.
"""


def page() -> str:
    """The whole page, as text."""
    signals = {key: row for key, row in TABLE.items() if isinstance(key, Signal)}
    others = {key: row for key, row in TABLE.items() if not isinstance(key, Signal)}
    named = [(key.value, row) for key, row in signals.items()]
    named_events = [(_words(key.__name__), row) for key, row in others.items()]
    parts = [
        _HEAD.format(steps=_steps()),
        "## Signals\n",
        _table(named),
        _EVENTS,
        _table(named_events),
        "## Where the rules are\n",
        _rules(),
    ]
    return "\n".join(parts)


def _table(rows: Sequence[tuple[str, tuple[Rule, ...]]]) -> str:
    lines = [
        "| | " + " | ".join(phase.value for phase in PHASES) + " |",
        "| --- |" + " --- |" * len(Phase),
    ]
    for name, row in rows:
        cells = []
        for index, rule in enumerate(row):
            same = index > 0 and rule is row[index - 1] and rule is not nothing
            cells.append("the same" if same else _sentence(rule))
        lines.append(f"| **{name}** | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _steps() -> str:
    return "".join(f"{number}. `{step.__name__}`: {_sentence(step)}.\n" for number, step in enumerate(STEPS, 1))


def _rules() -> str:
    rules = dict.fromkeys(rule for row in TABLE.values() for rule in row if rule is not nothing)
    lines = []
    for rule in rules:
        room = rule.__module__.rpartition(".")[2]
        lines.append(f"- `arbiter/rules/{room}.py`, `{rule.__name__}`: {_sentence(rule)}")
    return "\n".join(lines) + "\n"


def _sentence(rule: Callable[..., object]) -> str:
    if rule is nothing:
        return "nothing"
    return " ".join((inspect.getdoc(rule) or "").split()).rstrip(".")


def _words(name: str) -> str:
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()


if __name__ == "__main__":
    sys.stdout.write(page())
