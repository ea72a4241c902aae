"""The rows as the page `docs/settings.md`: `python -m paste_unicorn.settings.reference` prints it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .row import Row, Stage, rows_of
from .table import without_effect
from .table.elsewhere import ELSEWHERE, Elsewhere
from .table.whole import PARTS

TOP = """\
# Settings

This page is printed by `python -m paste_unicorn.settings.reference`; a test fails when it is stale.

Settings are written in the server's section of the ini file:

```ini
[server:main]
use = egg:gunicorn#main
bind = 127.0.0.1:8080
workers = auto
```

- **Names** may be written in any case, and with `-` for `_`. A name that nobody knows is an error that names the
  nearest one; names that begin with `x_` are for your own use. All mistakes of a file are reported at once, each with
  its line, before anything is bound; the exit code is 1.
- **What counts**, from weak to strong: the default here, the environment variable named here, the Python file of
  `config` (or `gunicorn.conf.py` in the current folder), the ini file.
- **Values.** Numbers: `8`, `0x10`, `1_000`. Durations: `30` (seconds), `250ms`, `5m`, `1h`. Sizes: `8190`, `64k`,
  `16m`, `1g` (powers of 1024). Switches: `true`/`false`, `yes`/`no`, `on`/`off`, `1`/`0`. Lists: commas or lines.
  Maps: lines of `name = value`. Modes are octal with a leading `0` or `0o`. An empty value, or `none`, is as if the
  setting were not there, where its row says nothing else.
- **Paths** are relative to the ini file's folder. Where there is nothing of that name, but there is in the current
  folder, that is taken, and a line says so.
- In an ini file each `%` is doubled: PasteDeploy takes a single one for its own.
- **Stage**: *works*; *later* (known, not there yet: a warning at start); *later, refused until then* (going on without
  it would change the protocol, the trust or the kind of worker); *no effect* (accepted, because existing files have
  it, with one line); *refused*.
"""


def page() -> str:
    """The whole page."""
    parts = [TOP]
    for part in PARTS.values():
        for group in part.__mro__[:-1]:
            inherited = {field for base in group.__bases__ if base is not object for field, _ in rows_of(base)}
            own = [row for field, row in rows_of(group) if field not in inherited]
            parts.append(f"## {group.__doc__}\n\n" + _table(own))
    idle = [row for row in without_effect.ROWS.values() if row.stage is Stage.IGNORED]
    refused = [row for row in without_effect.ROWS.values() if row.stage is Stage.REFUSED]
    parts.append("## Accepted, without effect\n\n" + "\n".join(_idle_lines(idle)) + "\n")
    parts.append("## Refused\n\n" + "\n".join(_refused_lines(refused)) + "\n")
    parts.append("## Names of other servers\n\n" + "\n".join(_elsewhere_lines(ELSEWHERE.values())) + "\n")
    return "\n".join(parts)


def _table(rows: Iterable[Row[Any]]) -> str:
    lines = ["| setting | value | default | what it is | stage |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        cells = (f"`{row.name}`", _cell(row.kind.what), _default(row), _cell(_text(row)), _stage(row))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _default(row: Row[Any]) -> str:
    shown = row.kind.show(row.default)
    return f"`{_cell(shown)}`" if shown else ""


def _text(row: Row[Any]) -> str:
    text = row.text
    if row.env:
        text += f" Environment: `{row.env}`."
    if row.also:
        text += " Also written " + ", ".join(f"`{name}`" for name in row.also) + "."
    return text


def _stage(row: Row[Any]) -> str:
    if row.stage is Stage.WORKS:
        return "works"
    return f"{row.stage.value}: {_cell(row.advice)}"


def _idle_lines(rows: Iterable[Row[Any]]) -> Iterator[str]:
    yield "A line at start says why, where the value is not the harmless one."
    yield ""
    yield "| setting | why |"
    yield "| --- | --- |"
    for row in rows:
        also = "".join(f", `{name}`" for name in row.also)
        yield f"| `{row.name}`{also} | {_cell(row.advice)} |"


def _refused_lines(rows: Iterable[Row[Any]]) -> Iterator[str]:
    yield "| setting | harmless value | instead |"
    yield "| --- | --- | --- |"
    for row in rows:
        yield f"| `{row.name}` | {_default(row)} | {_cell(row.advice)} |"


def _elsewhere_lines(names: Iterable[Elsewhere]) -> Iterator[str]:
    yield "Accepted from this table alone, with a line that gives our name; never guessed."
    yield ""
    yield "| name | from | here |"
    yield "| --- | --- | --- |"
    for each in names:
        if each.rows:
            here = " and ".join(f"`{row}`" for row in each.rows)
        else:
            here = ("refused: " if each.level == "error" else "no effect: ") + each.sentence
        yield f"| `{each.name}` | {each.server or 'command lines'} | {_cell(here)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    print(page(), end="")
