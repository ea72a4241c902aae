"""Request and peer to environ (PEP 3333, "environ Variables"), by one copy of a prepared base.

Hot: `Environs.make` runs once a request. What follows from the bytes of a head alone is computed once where the parser
keeps that head (`Head.prepared`): then a request costs one dictionary copied and the peer laid over it. Of a head that
differs from others in a few values (`Shape`) it is what they share, and the values are laid over it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from ..http.refusals import CONTRADICTING_SCHEMES, Refused
from ..http.request import FieldBlock, Head, RequestLine, Shape

Environ = dict[str, Any]


class ErrorsStream:
    """`wsgi.errors`: text that an application writes for the server's error log, passed on at once."""

    def __init__(self, write_bytes: Callable[[bytes], None]) -> None:
        self._write_bytes = write_bytes

    def write(self, text: str) -> int:
        self._write_bytes(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Nothing is held back."""


class Environs:
    """Makes the environ of each request that comes in by one listener, from peers that are trusted alike.

    `prefix` is where the application is mounted ('' or '/name', without a slash at the end): it becomes SCRIPT_NAME,
    and is taken off the path where a proxy has not done so already. `trusted` says whether the peer may set
    `forwarder_names` (SCRIPT_NAME, PATH_INFO, ...) and the scheme: a field of `secure_schemes` that has the value given
    there means https.
    """

    def __init__(
        self,
        base: Mapping[str, Any],
        *,
        prefix: str = "",
        trusted: bool = False,
        secure_schemes: Iterable[tuple[str, str]] = (),
    ) -> None:
        # Every key from the start, so that the copies need not grow.
        keys = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "RAW_URI", "REQUEST_URI", "SERVER_PROTOCOL",
                "REMOTE_ADDR", "REMOTE_PORT", "wsgi.input", "wsgi.early_hints")  # fmt: skip
        self._base: Environ = {**dict.fromkeys(keys, ""), **base, "SCRIPT_NAME": prefix}
        self._prefix = prefix
        self._trusted = trusted
        self._secure_schemes = tuple(
            ("HTTP_" + name.upper().replace("-", "_"), value.lower()) for name, value in secure_schemes
        )
        self._scheme_keys = frozenset(key for key, _ in self._secure_schemes)

    def make(self, head: Head, peer: dict[str, str]) -> Environ:
        """A fresh environ; the caller adds `wsgi.input` and what belongs to this one exchange.

        Raises Refused where a trusted proxy's fields contradict each other.
        """
        memory = head.prepared
        if memory is None:
            return {**self._build(head.line, head.block), **peer}
        ready = memory.get(self)
        if head.own is None:
            if ready is None:
                ready = memory[self] = self._build(head.line, head.block)
            return {**ready, **peer}
        shape, fresh, _ = head.own
        if ready is None:
            ready = memory[self] = self._share(shape)
        if not ready:
            return {**self._build(head.line, head.block), **peer}
        environ = {**ready, **fresh, **peer}
        self._set_line(environ, head.line)
        return environ

    def _share(self, shape: Shape) -> Environ:
        """Everything that heads of one shape share; nothing where their own values say more than themselves."""
        if self._trusted and any(key in self._scheme_keys for key, _ in shape.gaps):
            return {}
        environ = {**self._base, **shape.environ}
        if self._trusted:
            self._set_scheme(environ, shape.environ)
        return environ

    def _build(self, line: RequestLine, block: FieldBlock) -> Environ:
        """Everything that follows from the bytes of the head alone."""
        environ = {**self._base, **block.environ}
        self._set_line(environ, line)
        if self._trusted:
            self._set_scheme(environ, block.environ)
            if block.forwarder:
                self._forward(environ, block, line)
        return environ

    def _set_line(self, environ: Environ, line: RequestLine) -> None:
        environ["REQUEST_METHOD"] = line.method
        environ["PATH_INFO"] = _below(line.path, self._prefix) if self._prefix else line.path
        environ["QUERY_STRING"] = line.query
        environ["RAW_URI"] = environ["REQUEST_URI"] = line.target
        environ["SERVER_PROTOCOL"] = line.version
        if line.authority is not None:
            # RFC 9112 §3.2.2: the authority of an absolute-form target replaces the Host field.
            environ["HTTP_HOST"] = line.authority

    def _set_scheme(self, environ: Environ, fields: Mapping[str, str]) -> None:
        """What a trusted proxy says of the scheme."""
        if self._scheme_keys.isdisjoint(fields):
            return
        says_https = [fields[key].strip().lower() == value for key, value in self._secure_schemes if key in fields]
        if any(says_https) != all(says_https):
            raise Refused(CONTRADICTING_SCHEMES)
        environ["wsgi.url_scheme"] = "https" if says_https[0] else "http"

    def _forward(self, environ: Environ, block: FieldBlock, line: RequestLine) -> None:
        """Fields with an underscore that this trusted peer may set; of `forwarder_headers` only."""
        for name, value in block.forwarder:
            key = name.upper().replace("-", "_")
            if key == "SCRIPT_NAME":
                environ["SCRIPT_NAME"] = value.rstrip("/")
                environ["PATH_INFO"] = _below(line.path, environ["SCRIPT_NAME"])
            elif key == "PATH_INFO":
                environ["PATH_INFO"] = unquote_to_bytes(value.encode("latin-1")).decode("latin-1")
            else:
                environ["HTTP_" + key] = value


def _below(path: str, prefix: str) -> str:
    """The part of a path below the prefix; the whole path where a proxy took the prefix off already."""
    if prefix and (path == prefix or path.startswith(prefix + "/")):
        return path[len(prefix) :]
    return path


def peer_environ(host: str, port: str) -> dict[str, str]:
    """What the environ says of the peer; both are empty for a Unix socket."""
    return {"REMOTE_ADDR": host, "REMOTE_PORT": port}
