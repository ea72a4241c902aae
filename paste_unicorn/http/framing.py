"""How long a request's body is, whether the connection is kept, what is expected: by the fields that decide
it.

RFC 9112 §6.3 leaves room for leniency; we take none, since two readers of one message must never differ.
Values come without white space around them.
"""

from __future__ import annotations

from . import grammar
from .refusals import (
    BAD_CODING,
    BAD_CONNECTION,
    BAD_CONTENT_LENGTH,
    CODING_IN_HTTP10,
    LENGTH_AND_CODING,
    LENGTH_TOO_LARGE,
    UNKNOWN_CODING,
    UNKNOWN_EXPECTATION,
    Refused,
)

CHUNKED = -1


def body_length(length: str | None, coding: str | None, http11: bool) -> int:
    """0: no body; n: so many bytes; CHUNKED. Given Content-Length and Transfer-Encoding. Raises Refused."""
    if coding is not None:
        if not http11:
            raise Refused(CODING_IN_HTTP10)
        if length is not None:
            raise Refused(LENGTH_AND_CODING)
        _check_coding(coding)
        return CHUNKED
    if length is None:
        return 0
    # RFC 9112 §6.3 (5) would allow a list of equal values; who sends one has been tampered with.
    if grammar.CONTENT_LENGTH.fullmatch(length) is None:
        raise Refused(BAD_CONTENT_LENGTH)
    digits = length.lstrip("0")
    if len(digits) > grammar.LARGEST_LENGTH_DIGITS:
        raise Refused(LENGTH_TOO_LARGE)
    return int(digits or "0")


def _check_coding(value: str) -> None:
    """Only "chunked", once, is served. An unknown coding is 501 (RFC 9112 §6.1).

    A parameter of chunked is an error (§7.1).
    """
    codings = [part.strip(" \t").lower() for part in value.split(",")]
    if codings == ["chunked"]:
        return
    # Empty elements are refused too: "chunked," has been read as chunked by some and as nothing by others.
    if not all(map(grammar.TOKEN.fullmatch, codings)) or codings.count("chunked") > 1:
        raise Refused(BAD_CODING)
    raise Refused(UNKNOWN_CODING)


def is_kept(connection: str, http11: bool) -> bool:
    """Whether a next request may follow (RFC 9112 §9.3), given the Connection field. Raises Refused."""
    if connection.lower() == "keep-alive":
        return True
    options = grammar.list_elements(connection)
    if not all(map(grammar.TOKEN.fullmatch, options)):
        raise Refused(BAD_CONNECTION)
    if "close" in options:
        return False
    return http11 or "keep-alive" in options


def asks_to_switch(upgrade: str | None, connection: str | None, http11: bool, body: int) -> bool:
    """Whether another protocol may follow this request (RFC 9110 §7.8), given the fields Upgrade and Connection.

    Not in HTTP/1.0. Where Connection does not name Upgrade, somebody between us has passed on what was not for us. Of a
    request with a body we don't offer it: all of that would have to be read first.
    """
    return bool(upgrade) and http11 and not body and "upgrade" in grammar.list_elements(connection or "")


def is_continue_expected(expect: str, http11: bool) -> bool:
    """Whether 100 is expected (RFC 9110 §10.1.1). Raises Refused for anything else; HTTP/1.0 has no
    expectations."""
    if not http11:
        return False
    expectations = set(grammar.list_elements(expect))
    if expectations - {"100-continue"}:
        raise Refused(UNKNOWN_EXPECTATION)
    return bool(expectations)
