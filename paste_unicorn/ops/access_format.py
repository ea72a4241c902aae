"""The formats of the access log: from what an ini file says to a function that makes a line.

A format is a preset (``common``, ``combined``, ``json``), or text with atoms in the style ``%(h)s`` (written
``%%(h)s`` in an ini, where a single ``%`` is interpolation), or in the style ``{h}`` that needs no doubling.
Compiled once, at start; `compile_format` raises what is wrong with it. Hot: `Line` runs once a request. Every
value that a client can choose goes through `escaping` first.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from paste_unicorn.ops.escaping import Escaped
from paste_unicorn.ops.sink import LogsProblem

PRESETS: Mapping[str, str] = {
    "common": '{h} {l} {u} {t} "{r}" {s} {b}',
    "combined": '{h} {l} {u} {t} "{r}" {s} {b} "{f}" "{a}"',
}
JSON = "json"
"""The third preset; not text with atoms, since its values are escaped by the rules of JSON."""


class Served(NamedTuple):
    """One request, however it ended: all that a line of the access log can tell."""

    peer: str  # address of the client; "" over a Unix socket
    request_line: str  # as received, latin-1; "" where none arrived
    environ: Mapping[str, object] | None  # None where the application never saw it
    fields: tuple[tuple[str, str], ...]  # the request's, names as received
    status: int  # 0: nothing was answered
    status_text: str
    response_fields: list[tuple[str, str]]
    body_bytes: int  # of the response, as sent
    duration_s: float
    wall_time: float  # time.time() of the line
    pid: int
    generation: int
    how: str  # "ok", "refused", "client-gone", "app-error", "aborted", "timeout", "worker-died"


class AccessLogFormatProblem(LogsProblem):
    """A format that isn't one; ``str()`` says what to write instead."""


Line = Callable[[Served], str]
_Getter = Callable[[Served, dict[str, str]], object]

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_PERCENT = re.compile(
    r"%(?:(?P<literal>%)|\((?:\{(?P<field>[^{}()]+)\}(?P<where>[ioe])|(?P<atom>[^()]*))\)"
    r"(?P<layout>[-+#0 ]*\d*(?:\.\d+)?)(?P<kind>[a-zA-Z])|)"
)
_BRACES = re.compile(
    # A letter that is an atom is that, also before an "i", "o" or "e"; all else is a field or a variable.
    r"(?P<literal>\{\{|\}\})|\{(?:(?P<atom>[hlurtsmUqHbBfaTDMLpgX])\}|(?P<field>[^{}]*)\}(?P<where>[ioe]?))|[{}]"
)

_escaped = Escaped()


# --- values -------------------------------------------------------------------------------------------------


class _Stamps(dict[int, str]):
    """The second as ``[24/Nov/2026:13:00:01 +0000]`` (English months, whatever the locale); keeps the last
    few.
    """

    def __missing__(self, second: int) -> str:
        now = time.localtime(second)
        minutes = now.tm_gmtoff // 60
        sign, minutes = ("-", -minutes) if minutes < 0 else ("+", minutes)
        text = (
            f"[{now.tm_mday:02d}/{_MONTHS[now.tm_mon - 1]}/{now.tm_year}:{now.tm_hour:02d}:{now.tm_min:02d}:"
            f"{now.tm_sec:02d} {sign}{minutes // 60:02d}{minutes % 60:02d}]"
        )
        if len(self) >= 16:
            self.clear()
        self[second] = text
        return text


_stamps = _Stamps()


class _Fields:
    """The fields that a format asks for, escaped, from a request's fields.

    The parser keeps field blocks that it has seen, so the same tuple comes again and again: remembered by
    identity (the memory holds the tuple itself, so its number can't be reused), bounded.
    """

    _ENTRIES = 256

    def __init__(self, names: Iterable[str]) -> None:
        self._wanted = _Names((*names, "referer", "user-agent", "authorization"))
        self._seen: dict[int, tuple[tuple[tuple[str, str], ...], dict[str, str]]] = {}

    def __call__(self, fields: tuple[tuple[str, str], ...]) -> dict[str, str]:
        seen = self._seen.get(id(fields))
        if seen is not None and seen[0] is fields:
            return seen[1]
        wanted = self._wanted
        found: dict[str, str] = {}
        for name, value in fields:
            lower = wanted[name]
            if lower is None:
                continue
            if lower == "authorization":
                found["user of authorization"] = _escaped[_basic_user(value)]
            safe = _escaped[value] or "-"
            found[lower] = f"{found[lower]}, {safe}" if lower in found else safe
        if len(self._seen) >= self._ENTRIES:
            self._seen.clear()
        self._seen[id(fields)] = (fields, found)
        return found


class _Names(dict[str, "str | None"]):
    """The name of a field as received → its lower case, or None where no format asks for it; bounded."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self._names = frozenset(names)

    def __missing__(self, name: str) -> str | None:
        lower = name.lower()
        wanted = lower if lower in self._names else None
        if len(self) >= 1024:
            self.clear()
        self[name] = wanted
        return wanted


def _basic_user(authorization: str) -> str:
    """The user of ``Basic`` credentials (RFC 7617 §2), or "-"; never the password."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "-"
    try:
        user = base64.b64decode(credentials.strip(), validate=True).partition(b":")[0]
    except (binascii.Error, ValueError):
        return "-"
    return user.decode("utf-8", "replace") or "-"


def _user(served: Served, fields: dict[str, str]) -> str:
    """Who the application says it is (REMOTE_USER, which repoze.who and others set), else the Basic user."""
    environ = served.environ
    if environ is not None:
        user = environ.get("REMOTE_USER")
        if user and isinstance(user, str):
            return _escaped[user]
    return fields.get("user of authorization", "-")


def _variable(served: Served, name: str) -> str:
    """A variable of the environ; upstream's names are case-blind, so try as written, then upper, then
    lower.
    """
    environ = served.environ
    if environ is None:
        return "-"
    for key in (name, name.upper(), name.lower()):
        if key in environ:
            return _escaped[str(environ[key])]
    return "-"


def _response_field(served: Served, lower: str) -> str:
    values = [value for name, value in served.response_fields if name.lower() == lower]
    return _escaped[", ".join(values)] if values else "-"


def _parts(served: Served) -> tuple[str, str, str, str]:
    """Method, path, query and version of the request line, unescaped."""
    method, _, rest = served.request_line.partition(" ")
    target, _, version = rest.rpartition(" ")
    path, _, query = target.partition("?")
    if "://" in path:  # absolute form (RFC 9112 §3.2.2): the path begins after the authority
        path = "/" + path.partition("://")[2].partition("/")[2]
    return method, path, query, version


ATOMS: dict[str, tuple[str, _Getter]] = {
    "h": ("address of the client", lambda s, f: _escaped[s.peer] or "-"),
    "l": ("always -", lambda s, f: "-"),
    "t": ("time, [24/Nov/2026:13:00:01 +0000]", lambda s, f: _stamps[int(s.wall_time)]),
    "r": ("request line", lambda s, f: _escaped[s.request_line] or "-"),
    "s": ("status", lambda s, f: s.status or "-"),
    "m": ("method", lambda s, f: _escaped[_parts(s)[0]] or "-"),
    "U": ("path of the target, without the query", lambda s, f: _escaped[_parts(s)[1]] or "-"),
    "q": ("query of the target", lambda s, f: _escaped[_parts(s)[2]]),
    "H": ("protocol", lambda s, f: _escaped[_parts(s)[3]] or "-"),
    "b": ("bytes of the response's body, - for none", lambda s, f: s.body_bytes or "-"),
    "B": ("bytes of the response's body, 0 for none", lambda s, f: s.body_bytes),
    "T": ("duration in seconds, whole", lambda s, f: int(s.duration_s)),
    "M": ("duration in milliseconds, whole", lambda s, f: int(s.duration_s * 1000)),
    "D": ("duration in microseconds, whole", lambda s, f: int(s.duration_s * 1_000_000)),
    "L": ("duration in seconds, six decimals", lambda s, f: f"{s.duration_s:.6f}"),
    "p": ("process id, <4711>", lambda s, f: f"<{s.pid}>"),
    "g": ("generation", lambda s, f: s.generation),
    "X": ("how it ended", lambda s, f: s.how),
    "f": ("field Referer", lambda s, f: f.get("referer", "-")),
    "a": ("field User-Agent", lambda s, f: f.get("user-agent", "-")),
    "u": ("user: REMOTE_USER of the application, else of Basic credentials", _user),
}


# --- compilation --------------------------------------------------------------------------------------------


def _getter(atom: str | None, field: str | None, where: str | None, written: str) -> _Getter:
    if field and where:
        lower = field.lower()
        if where == "i":
            return lambda s, f: f.get(lower, "-")
        if where == "o":
            return lambda s, f: _response_field(s, lower)
        return lambda s, f: _variable(s, field)
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
    getters: list[_Getter] = []
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
                f'access_log_format: the single "{match[0]}" before "{template[end:][:12]}" stands for nothing; '
                f"double it, or write an atom as {'%%(h)s' if percent else '{h}'}"
            )
        getters.append(_getter(match["atom"], match["field"], match["where"], match[0]))
        layout.append(f"%{match['layout']}{match['kind']}" if percent else "%s")
    layout.append(template[end:].replace("%", "%%"))
    if not getters:
        near = difflib.get_close_matches(text, [*PRESETS, JSON], n=1)
        raise AccessLogFormatProblem(
            f'access_log_format: "{text}" names no atom such as {{h}}; '
            + (
                f'did you mean the preset "{near[0]}"?'
                if near
                else "write atoms, or common, combined or json"
            )
        )
    whole = "".join(layout)
    fields = _Fields(match["field"].lower() for match in matches if match["field"] and match["where"] == "i")

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
_record_fields = _Fields(())


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
    method, path, query, version = _parts(served)
    values: dict[str, Any] = dict.fromkeys(("referer", "user-agent", "authorization"))
    for name, value in served.fields:
        if (lower := name.lower()) in values:
            values[lower] = _text(value)
    user: object = served.environ.get("REMOTE_USER") if served.environ is not None else None
    if not user and values["authorization"]:
        user = _basic_user(values["authorization"])
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
