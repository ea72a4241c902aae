"""The check's findings as text: a table, and below it a paragraph for whatever is not fine."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from ..ops.limits import OK, SHORT, UNKNOWN, Limit

WRONG = "wrong"
_WIDTH = 110
_WIDEST = 76  # of the table's second column


@dataclass(frozen=True)
class Finding:
    """One row. `more` is for what is not fine: paragraphs that say why. `commands` are lines that say what to do."""

    verdict: str  # ok, wrong, short, unknown
    what: str
    value: str = ""
    wanted: str = ""
    more: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    counts: bool = True  # for the exit code
    untried: str = ""  # what a start needs beside, and only a start can tell: "the application loads"

    @property
    def is_bad(self) -> bool:
        return self.counts and self.verdict in (WRONG, SHORT)


def of_limit(limit: Limit) -> Finding:
    """A limit of the kernel as a row."""
    more: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    if limit.verdict == SHORT:
        aside = (
            " It hinders nothing that serves, and does not count for the exit code." if limit.concerns_clients else ""
        )
        more = (f"{limit.name}: {limit.why}.{aside}",)
        if limit.remedy is not None:
            commands = (f"now:     {limit.remedy.now}", f"to last: {limit.remedy.lasting}")
    elif limit.verdict == UNKNOWN:
        more = (f"{limit.name}: it is not known whether it is enough. {limit.why[:1].upper()}{limit.why[1:]}.",)
    return Finding(
        limit.verdict, limit.name, limit.value, limit.wanted, more, commands, counts=not limit.concerns_clients
    )


def table(title: str, findings: Sequence[Finding]) -> str:
    """The whole text."""
    rows = [("", "what", "is", "wanted"), *((one.verdict, one.what, one.value, one.wanted) for one in findings)]
    widths = [min(_WIDEST, max(len(row[column]) for row in rows)) for column in range(3)]
    lines = [title, ""]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, (*widths, 0), strict=True)]
        lines.append("  ".join(cells).rstrip())
    for finding in findings:
        mark = "note" if finding.verdict == OK else finding.verdict
        for paragraph in finding.more:
            lines += ["", *_wrapped(paragraph, f"{mark}: ")]
        lines += [f"    {command}" for command in finding.commands]
    return "\n".join([*lines, "", *textwrap.wrap(_verdict(findings), _WIDTH)]) + "\n"


def _wrapped(paragraph: str, mark: str) -> list[str]:
    return textwrap.wrap(
        f"{mark}{paragraph}", _WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def _verdict(findings: Sequence[Finding]) -> str:
    bad = [one for one in findings if one.is_bad]
    wrong = sum(one.verdict == WRONG for one in bad)
    if wrong:
        return f"{wrong} wrong, {len(bad) - wrong} short: a server would not start with this."
    untried = " and ".join(one.untried for one in findings if one.untried)
    unless = f" if {untried}, which is not tried here" if untried else ""
    if not bad:
        return f"A server would start with this{unless}. Nothing that it needs falls short."
    return f"{len(bad)} short: a server would start with this{unless}, and not do all that it says."


__all__ = ["OK", "SHORT", "UNKNOWN", "WRONG", "Finding", "of_limit", "table"]
