"""The formats of the access log: from what an ini file says to a function that makes a line.

A format is a preset (``common``, ``combined``, ``json``), or text with atoms in the style ``%(h)s`` (written
``%%(h)s`` in an ini, where a single ``%`` is interpolation), or in the style ``{h}`` that needs no doubling.
Compiled once, at start; `compile_format` raises what is wrong with it.
"""

from __future__ import annotations

import difflib
import json
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from paste_unicorn.ops.access_atoms import (
    ATOMS,
    Fields,
    Getter,
    Served,
    basic_user,
    parts,
    response_field,
    variable,
)
from paste_unicorn.ops.sink import LogsProblem

PRESETS: Mapping[str, str] = {
    "common": '{h} {l} {u} {t} "{r}" {s} {b}',
    "combined": '{h} {l} {u} {t} "{r}" {s} {b} "{f}" "{a}"',
}
JSON = "json"
"""The third preset; not text with atoms, since its values are escaped by the rules of JSON."""


class AccessLogFormatProblem(LogsProblem):
    """A format that isn't one; ``str()`` says what to write instead."""


Line = Callable[[Served], str]

_PERCENT = re.compile(
    r"%(?:(?P<literal>%)|\((?:\{(?P<field>[^{}()]+)\}(?P<where>[ioe])|(?P<atom>[^()]*))\)"
    r"(?P<layout>[-+#0 ]*\d*(?:\.\d+)?)(?P<kind>[a-zA-Z])|)"
)
_BRACES = re.compile(
    # A letter that is an atom is that, also before an "i", "o" or "e"; all else is a field or a variable.
    r"(?P<literal>\{\{|\}\})|\{(?:(?P<atom>[hlurtsmUqHbBfaTDMLpgX])\}|(?P<field>[^{}]*)\}(?P<where>[ioe]?))|[{}]"
)


def _getter(atom: str | None, field: str | None, where: str | None, written: str) -> Getter:
    if field and where:
        lower = field.lower()
        if where == "i":
            return lambda s, f: f.get(lower, "-")
        if where == "o":
            return lambda s, f: response_field(s, lower)
        return lambda s, f: variable(s, field)
    if atom in ATOMS:
        return ATOMS[atom][1]
    raise AccessLogFormatProblem(
        f'access_log_format: "{written}" is not an atom; known are '
        f"{' '.join(ATOMS)} and {{field}}i, {{field}}o, {{variable}}e"
    )


def compile_format(text: str) -> Line:
    """The function that makes a line (without newline) from a `Served`.

    Raises `AccessLogFormatProblem`, which names the atom or the preset that isn't one.
    """
    if text == JSON:
        return _json_line
    template = PRESETS.get(text, text)
    percent = "%(" in template
    matches = list((_PERCENT if percent else _BRACES).finditer(template))
    getters: list[Getter] = []
    layout: list[str] = []
    end = 0
    for match in matches:
        layout.append(template[end : match.start()].replace("%", "%%"))
        end = match.end()
        if match["literal"]:
            layout.append("%%" if percent else match["literal"][0])
            continue
        if match["atom"] is None and match["field"] is None:
            raise AccessLogFormatProblem(
                f'access_log_format: the "{match[0]}" before "{template[end:][:12]}" is no atom; '
                f"double it, or write an atom as {'%%(h)s' if percent else '{h}'}"
            )
        getters.append(_getter(match["atom"], match["field"], match["where"], match[0]))
        layout.append(f"%{match['layout']}{match['kind']}" if percent else "%s")
    layout.append(template[end:].replace("%", "%%"))
    if not getters:
        near = difflib.get_close_matches(text, [*PRESETS, JSON], n=1)
        raise AccessLogFormatProblem(
            f'access_log_format: "{text}" names no atom such as {{h}}; '
            + (f'did you mean the preset "{near[0]}"?' if near else "write atoms, or common, combined or json")
        )
    whole = "".join(layout)
    fields = Fields(match["field"].lower() for match in matches if match["field"] and match["where"] == "i")

    def line(served: Served) -> str:
        found = fields(served.fields)
        return whole % tuple([getter(served, found) for getter in getters])

    try:  # "%(h)d" only fails when it is used; so use it once, here
        line(_SAMPLE)
    except (TypeError, ValueError) as error:
        raise AccessLogFormatProblem(f'access_log_format: "{text}": {error}; write atoms as %%(h)s') from None
    return line


_SAMPLE = Served("::1", "GET / HTTP/1.1", None, (), 200, "200 OK", [], 1, 0.0, 0.0, 1, 1, "ok")

_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode
_record_fields = Fields(())


def _text(value: str) -> str:
    """A value as received, for JSON: UTF-8 where it is that, else latin-1."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def _json_line(served: Served) -> str:
    """One object a line; JSON's own escapes leave no control character and no quote that could end a
    value.
    """
    method, path, query, version = parts(served)
    values: dict[str, Any] = dict.fromkeys(("referer", "user-agent", "authorization"))
    for name, value in served.fields:
        if (lower := name.lower()) in values:
            values[lower] = _text(value)
    user: object = served.environ.get("REMOTE_USER") if served.environ is not None else None
    if not user and values["authorization"]:
        user = basic_user(values["authorization"])
    now, fraction = divmod(served.wall_time, 1)
    return _encode(
        {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(fraction * 1000):03d}Z",
            "remote_addr": served.peer,
            "remote_user": user if user and user != "-" else None,
            "method": _text(method),
            "path": _text(path),
            "query": _text(query),
            "protocol": _text(version),
            "status": served.status,
            "bytes": served.body_bytes,
            "duration_s": round(served.duration_s, 6),
            "referer": values["referer"],
            "user_agent": values["user-agent"],
            "pid": served.pid,
            "generation": served.generation,
            "how": served.how,
        }
    )


def atoms(served: Served) -> dict[str, object]:
    """All atoms of one letter, as filters and formatters of the standard logging find them in
    ``record.args``.
    """
    found = _record_fields(served.fields)
    return {name: getter(served, found) for name, (_, getter) in ATOMS.items()}
