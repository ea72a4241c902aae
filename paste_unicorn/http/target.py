"""The forms of a request target, and what path, query and authority each gives (RFC 9112 §3.2).

Given text that is visible ASCII without "#" (the request line's pattern has seen to it).
"""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from . import grammar
from .refusals import BAD_AUTHORITY, BAD_ESCAPE, BAD_TARGET, CONNECT_METHOD, Refused
from .request import ABSOLUTE, ASTERISK, ORIGIN

# path (decoded, latin-1; empty for asterisk-form), query, authority, form
Target = tuple[str, str, str | None, str]


def parse_target(method: str, text: str) -> Target:
    """Raises Refused where the form does not exist, or not for this method."""
    if method == "CONNECT":
        raise Refused(CONNECT_METHOD if _is_authority_form(text) else BAD_TARGET)
    if text[0] == "/":
        path, _, query = text.partition("?")
        return _decode(path), query, None, ORIGIN
    if text == "*":
        # RFC 9112 §3.2.4: only for OPTIONS. The path is empty: PEP 3333 wants PATH_INFO empty or with a slash
        # first.
        if method != "OPTIONS":
            raise Refused(BAD_TARGET)
        return "", "", None, ASTERISK
    match = grammar.ABSOLUTE_FORM.fullmatch(text)
    if match is None:
        raise Refused(BAD_TARGET)
    authority, path, absent_or_query = match.groups()
    # RFC 9110 §4.2.1: an empty host is invalid; §4.2.4: user information before an "@" is an error.
    if not grammar.is_host(authority):
        raise Refused(BAD_AUTHORITY)
    if not path:
        # RFC 9112 §3.2.4: OPTIONS without path and query asks for the server, like "*"; else §3.2.1: the path
        # is "/".
        if method == "OPTIONS" and absent_or_query is None:
            return "", "", authority, ASTERISK
        path = "/"
    return _decode(path), absent_or_query or "", authority, ABSOLUTE


def _is_authority_form(text: str) -> bool:
    """RFC 9112 §3.2.3: authority-form = uri-host ":" port."""
    return grammar.is_host(text) and text[-1] != ":" and ":" in text.rpartition("]")[2]


def _decode(path: str) -> str:
    if "%" not in path:
        return path
    if grammar.BAD_ESCAPE.search(path):
        raise Refused(BAD_ESCAPE)
    return unquote_to_bytes(path).decode("latin-1")
