"""The requests of a warm-up, as an ini file writes them: a path, a method and a path, or a whole URL."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .kinds import Kind, quoted
from .lists import Texts
from .surroundings import Surroundings

# RFC 9110 §9.2.1: those that are meant to change nothing. A warm-up runs at every load, also of a reload that fails.
_METHODS = ("GET", "HEAD", "OPTIONS")
_URL = re.compile(r"(https?)://([^/?]*)([^?]*)(.*)", re.IGNORECASE)
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_NOT_IN_A_TARGET = re.compile(r"[^!-~]|#|%(?![0-9A-Fa-f]{2})")
_EXAMPLE = "/, or HEAD /shop?page=1, or GET https://site.example/"


@dataclass(frozen=True, slots=True)
class WarmupRequest:
    """One request. `scheme` and `host` are '' where the target was only a path."""

    method: str
    scheme: str
    host: str
    target: str  # in origin-form (RFC 9112 §3.2.1)

    def __str__(self) -> str:
        return f"{self.method} {self.scheme and f'{self.scheme}://'}{self.host}{self.target}"


class Warmup(Kind[tuple[WarmupRequest, ...]]):
    """Several requests, divided by commas or by lines."""

    what = "list of requests"
    _texts = Texts()

    def parse(self, text: str, around: Surroundings) -> tuple[WarmupRequest, ...]:
        return tuple(_request(item) for item in self._texts.parse(text, around))

    def take(self, value: object, around: Surroundings) -> tuple[WarmupRequest, ...]:
        return tuple(_request(item) for item in self._texts.take(value, around))

    def show(self, value: Iterable[WarmupRequest]) -> str:
        return ", ".join(map(str, value))


def _request(text: str) -> WarmupRequest:
    words = text.split()
    if len(words) == 1:
        words.insert(0, "GET")
    if len(words) != 2:
        raise ValueError(f"{quoted(text)} is not a request; give a path, a method and a path, or a URL: {_EXAMPLE}")
    method, target = words
    if method not in _METHODS:
        raise ValueError(
            f"{quoted(text)}: a warm-up has no body and must change nothing, so {quoted(method)} can't be its method; "
            f"give {', '.join(_METHODS[:-1])} or {_METHODS[-1]}"
        )
    if wrong := _NOT_IN_A_TARGET.search(target):
        encoded = "".join(f"%{byte:02X}" for byte in wrong[0].encode())
        raise ValueError(
            f"{quoted(text)}: {quoted(wrong[0])} can't stand there as it is; write {encoded} (in an ini file each % is "
            "doubled)"
        )
    if target.startswith("/"):
        return WarmupRequest(method, "", "", target)
    url = _URL.fullmatch(target)
    if url is None:
        raise ValueError(f"{quoted(text)}: {quoted(target)} is neither a path nor a URL; give {_EXAMPLE}")
    scheme, host, path, query = url.groups()
    if not _HOST.fullmatch(host):
        raise ValueError(f"{quoted(text)}: {quoted(host)} is not a host; give for example https://site.example/")
    return WarmupRequest(method, scheme.lower(), host, (path or "/") + query)
