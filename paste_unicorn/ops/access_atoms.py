"""The atoms of the access log: what one letter of a format means, as a function of the request served.

Hot: each atom of a format is one call a request. Every value that a client can choose is escaped here, so no
combination of atoms can forge a line.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from paste_unicorn.ops.escaping import Escaped


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
    # "ok", "upgraded", "refused", "client-gone", "app-error", "aborted", "timeout", "queue-timeout", "worker-died"
    how: str


Getter = Callable[[Served, dict[str, str]], object]
"""An atom's value, from the request and the fields that `Fields` found in it."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_escaped = Escaped()


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


class Fields:
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
                found["user of authorization"] = _escaped[basic_user(value)]
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


def basic_user(authorization: str) -> str:
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


def variable(served: Served, name: str) -> str:
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


def response_field(served: Served, lower: str) -> str:
    values = [value for name, value in served.response_fields if name.lower() == lower]
    return _escaped[", ".join(values)] if values else "-"


def parts(served: Served) -> tuple[str, str, str, str]:
    """Method, path, query and version of the request line, unescaped."""
    method, _, rest = served.request_line.partition(" ")
    target, _, version = rest.rpartition(" ")
    path, _, query = target.partition("?")
    if "://" in path:  # absolute form (RFC 9112 §3.2.2): the path begins after the authority
        path = "/" + path.partition("://")[2].partition("/")[2]
    return method, path, query, version


ATOMS: dict[str, tuple[str, Getter]] = {
    "h": ("address of the client", lambda s, f: _escaped[s.peer] or "-"),
    "l": ("always -", lambda s, f: "-"),
    "t": ("time, [24/Nov/2026:13:00:01 +0000]", lambda s, f: _stamps[int(s.wall_time)]),
    "r": ("request line", lambda s, f: _escaped[s.request_line] or "-"),
    "s": ("status, - where nothing was answered", lambda s, f: s.status or "-"),
    "m": ("method", lambda s, f: _escaped[parts(s)[0]] or "-"),
    "U": ("path of the target, without the query", lambda s, f: _escaped[parts(s)[1]] or "-"),
    "q": ("query of the target", lambda s, f: _escaped[parts(s)[2]]),
    "H": ("protocol", lambda s, f: _escaped[parts(s)[3]] or "-"),
    "b": ("bytes of the response's body, - for none", lambda s, f: s.body_bytes or "-"),
    "B": ("bytes of the response's body, 0 for none", lambda s, f: s.body_bytes),
    "T": ("duration in seconds, whole", lambda s, f: int(s.duration_s)),
    "M": ("duration in milliseconds, whole", lambda s, f: int(s.duration_s * 1000)),
    "D": ("duration in microseconds, whole", lambda s, f: int(s.duration_s * 1_000_000)),
    "L": ("duration in seconds, six decimals", lambda s, f: f"{s.duration_s:.6f}"),
    "p": ("process id, <4711>", lambda s, f: f"<{s.pid}>"),
    "g": ("generation", lambda s, f: s.generation),
    "X": (
        "how it ended: ok, upgraded, refused, client-gone, app-error, aborted, timeout, queue-timeout, worker-died",
        lambda s, f: s.how,
    ),
    "f": ("field Referer", lambda s, f: f.get("referer", "-")),
    "a": ("field User-Agent", lambda s, f: f.get("user-agent", "-")),
    "u": ("user: REMOTE_USER of the application, else of Basic credentials", _user),
}
