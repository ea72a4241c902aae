"""The man page gunicorn_paster(1), out of the rows and docs/kernel.md.

`python -m paste_unicorn.settings.manual docs/kernel.md > docs/gunicorn_paster.1` prints it. Of Markdown it knows what
that page is written in: headings, paragraphs, lists of one level, fenced code, and marks within a line (`man 7 man`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from .. import __version__
from .row import Row, Stage, rows_of
from .table.whole import PARTS

_TOP = """\
.SH NAME
gunicorn_paster \\- pre-fork WSGI server for PasteDeploy ini files
.SH SYNOPSIS
.B paster serve
.I prod.ini
.br
.B pserve
.I prod.ini
.br
.B gearbox serve \\-c
.I prod.ini
.br
.B paster unicorn\\-check
[\\fB\\-\\-server\\-name\\fR=\\fINAME\\fR] [\\fB\\-\\-app\\-name\\fR=\\fINAME\\fR]
\\fIprod.ini\\fR [\\fIname\\fR=\\fIvalue\\fR ...]
.br
.B python \\-m paste_unicorn.check
[\\fB\\-\\-server\\-name\\fR=\\fINAME\\fR] [\\fB\\-\\-app\\-name\\fR=\\fINAME\\fR]
\\fIprod.ini\\fR [\\fIname\\fR=\\fIvalue\\fR ...]
.SH DESCRIPTION
The server that
.B use = egg:gunicorn#main
names in a section
.B [server:main]
of an ini file: an arbiter watches over worker processes, which share the listening sockets and one application that was
loaded once. It serves no request itself, and replaces whatever dies. HUP reloads application and settings, TERM stops
when all requests are finished, USR2 starts a new arbiter beside this one.
.SH SETTINGS
Lines of the server's section. Names may be written in any case, and with \\- for _. Durations are seconds, or
250ms, 5m, 1h; sizes are bytes, or 64k, 16m, 1g. Those that are not named here are in docs/settings.md.
"""
_END = """\
.SH EXIT STATUS
Of the server: 0 after a graceful stop, 1 where it can't start. Of the check: 0, or 1 where something is wrong or falls
short.
.SH SEE ALSO
.BR paster (1),
.BR prlimit (1),
.BR ss (8),
.BR sysctl (8),
.BR listen (2),
.BR tcp (7),
.BR cgroups (7)
.PP
Of the same project: docs/settings.md, docs/signals.md, docs/deployment.md.
"""
_MARKS = re.compile(r"`(?P<code>[^`]+)`|\*\*(?P<bold>.+?)\*\*|\*(?P<em>[^*\s][^*]*)\*|\[(?P<link>[^]]+)\]\([^)]*\)")


def page(kernel: str) -> str:
    """The whole page; `kernel` is the text of docs/kernel.md."""
    parts = [f'.TH GUNICORN_PASTER 1 "" "gunicorn (paste_unicorn) {__version__}" "User Commands"\n', _TOP]
    for part in PARTS.values():
        for group in part.__mro__[:-1]:
            inherited = {field for base in group.__bases__ if base is not object for field, _ in rows_of(base)}
            own = [row for field, row in rows_of(group) if field not in inherited and row.stage is Stage.WORKS]
            parts.append(f".SS {_plain(group.__doc__ or '')}\n")
            parts += map(_row, own)
    parts.append("".join(f"{line}\n" for line in _from_markdown(kernel.splitlines())))
    return "".join([*parts, _END])


def _row(row: Row[Any]) -> str:
    default = row.kind.show(row.default).replace("\n", " ")
    shown = f"; default {_code(default)}" if default else ""
    also = f" Also written {', '.join(f'`{name}`' for name in row.also)}." if row.also else ""
    env = f" Environment: `{row.env}`." if row.env else ""
    return f".TP\n{_code(row.name)} ({_plain(row.kind.what)}{shown})\n{_guarded(_marked(row.text + env + also))}\n"


def _from_markdown(lines: Iterable[str]) -> Iterator[str]:
    text: list[str] = []  # of a paragraph or an item that goes on
    in_code = False
    for line in lines:
        if line.startswith("```"):
            yield from _flush(text)
            yield ".EE\n.RE" if in_code else ".PP\n.RS 4\n.EX"
            in_code = not in_code
        elif in_code:
            yield _guarded(_plain(line))
        elif line.startswith("#"):
            yield from _flush(text)
            level, _, title = line.partition(" ")
            yield f".SH {_plain(title.upper())}" if level == "#" else f".SS {_plain(title)}"
        elif line.startswith("- "):
            yield from _flush(text)
            text += [".IP \\(bu 3", line[2:]]
        elif not line.strip():
            yield from _flush(text)
        else:
            if not text:
                text.append(".PP")
            text.append(line.strip())
    yield from _flush(text)


def _flush(text: list[str]) -> Iterator[str]:
    """The request, then all of its text: marks may span lines."""
    if text:
        yield text[0]
        yield from map(_guarded, _marked("\n".join(text[1:])).split("\n"))
        text.clear()


def _marked(text: str) -> str:
    """Markdown's marks within a line, as fonts."""
    made, end = [], 0
    for found in _MARKS.finditer(text):
        made.append(_plain(text[end : found.start()]))
        kind, content = str(found.lastgroup), found[str(found.lastgroup)]
        made.append({"code": _code, "bold": _code, "em": _italic, "link": _plain}[kind](content))
        end = found.end()
    return "".join([*made, _plain(text[end:])])


def _code(text: str) -> str:
    return f"\\fB{_plain(text)}\\fR"


def _italic(text: str) -> str:
    return f"\\fI{_plain(text)}\\fR"


def _plain(text: str) -> str:
    """Signs that troff would change; `-` and `'` shall be those of the keyboard, since commands are copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    text = text.replace("^", "\\(ha").replace("~", "\\(ti").replace("`", "\\(ga")
    return "".join(sign if sign.isascii() else f"\\[u{ord(sign):04X}]" for sign in text)


def _guarded(line: str) -> str:
    """A line of text that must not be taken for a request."""
    return f"\\&{line}" if line[:1] in (".", "'") else line


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        print(page(file.read()), end="")
