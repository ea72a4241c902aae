"""Text from a client, made safe to stand inside one line of a log.

Whatever a client sends, it can't end a line, end a quoted value or move the cursor of a terminal: everything
but printable ASCII, and the quote and the backslash, is written as an escape (as Apache does it since
CVE-2003-0020).
"""

from __future__ import annotations

import re

_UNSAFE = re.compile(r"[^ !#-\[\]-~]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"}


def _escape(match: re.Match[str]) -> str:
    char = match[0]
    short = _SHORT.get(char)
    if short is not None:
        return short
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def escaped(text: str) -> str:
    """``text`` as printable ASCII that can stand between double quotes."""
    return _UNSAFE.sub(_escape, text)


def indented(text: str) -> str:
    """A record of the error log: its further lines (a traceback) indented, other control characters escaped.

    So only what we wrote as the start of a record begins a line of the file, whatever a message quotes.
    """
    return _CONTROL.sub(_escape, text).replace("\n", "\n    ")


class Escaped(dict[str, str]):
    """A bounded memory of `escaped`: the peers, request lines and agents of a site repeat.
    ``memory[text]``.
    """

    _ENTRIES = 4096
    _LONGEST = 512

    def __missing__(self, text: str) -> str:
        safe = escaped(text)
        if len(text) <= self._LONGEST:
            if len(self) >= self._ENTRIES:
                self.clear()
            self[text] = safe
        return safe
