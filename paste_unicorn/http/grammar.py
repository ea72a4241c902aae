"""The rules of RFC 9110, 9112 and 3986 that llhttp leaves to us, each under its own name.

Only patterns and the predicates made of them: what a violation means is said in `refusals.py`. No pattern can
backtrack more than linearly in what it is given.
"""

from __future__ import annotations

import ipaddress
import re

# RFC 9110 §5.6.2: token = 1*tchar. Methods, field names, connection options and transfer codings are tokens.
TOKEN_CHARS = r"!#$%&'*+.^_`|~0-9A-Za-z-"
TOKEN = re.compile(rf"[{TOKEN_CHARS}]+")

# RFC 9112 §3: request-line = method SP request-target SP HTTP-version, each SP exactly one. The target is
# taken as any visible ASCII but "#": what RFC 3986 does not allow unescaped ("|", "[", "{", ...) browsers do
# send in queries, but a fragment never belongs to a request target.
REQUEST_LINE = re.compile(rf"([{TOKEN_CHARS}]+) ([!-\"$-~]+) HTTP/([0-9]\.[0-9])".encode())

# What can't begin a method, nor is a control character.
NO_METHOD = re.compile(rf"[^{TOKEN_CHARS}\x00-\x1f\x7f]".encode())

# RFC 9112 §2.3: HTTP-version = HTTP-name "/" DIGIT "." DIGIT; the name is case-sensitive.
HTTP_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")

# RFC 9110 §5.5: CR, LF and NUL are dangerous anywhere; the other controls (but HTAB) are invalid. RFC 9112
# §2.2: a bare CR is invalid; a line may end in a single LF for a lenient recipient, which we are not.
CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
CONTROL_OR_TAB = re.compile(rb"[\x00-\x1f\x7f]")

# RFC 9112 §5: field-line = field-name ":" OWS field-value OWS. Not in a line of white space alone: that is a fold.
SPACE_BEHIND_VALUE = re.compile(rb"(?<=[!-~\x80-\xff])[\t ]+(?=\r\n)")

# RFC 3986 §2.1: pct-encoded = "%" HEXDIG HEXDIG.
BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

# RFC 9110 §4.2.1, §4.2.2: the two schemes that an origin server answers for. RFC 3986 §3.1: case-insensitive.
ABSOLUTE_FORM = re.compile(r"https?://([^/?]*)([^?]*)(?:\?(.*))?", re.IGNORECASE)

# RFC 9110 §7.2: Host = uri-host [ ":" port ]; RFC 3986 §3.2.2: reg-name = *( unreserved / pct-encoded /
# sub-delims ). An empty name is invalid for http (RFC 9110 §4.2.1). The comma is a sub-delim, but "a,b" is
# also what a recipient makes of two Host lines (RFC 9110 §5.3): it is refused like them.
_HOST = re.compile(r"(?:(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})+|\[([0-9A-Fa-f:.]+)\])(?::([0-9]*))?")
_LARGEST_PORT = 65535

# RFC 9110 §8.6: Content-Length = 1*DIGIT. Beyond 18 digits nobody means it.
CONTENT_LENGTH = re.compile(r"[0-9]+")
LARGEST_LENGTH_DIGITS = 18

# RFC 9112 §7.1: chunk-size [ chunk-ext ] CRLF, the size at most 2**60 - 1. The bad white space that §7.1.1
# would tolerate around ";" and "=" is refused, as llhttp does: it has served for smuggling, and nobody sends
# it.
CHUNK_LINE = re.compile(
    (
        r"([0-9A-Fa-f]{1,15})"
        rf"(?:;[{TOKEN_CHARS}]+"
        rf"(?:=(?:[{TOKEN_CHARS}]+|\"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*\"))?)*"
    ).encode("latin-1")
)
CHUNK_LINE_BEGIN = re.compile(rb"[0-9A-Fa-f]{1,15}(?:;|\Z)")

# RFC 9110 §5.5: field-value is visible characters, SP, HTAB and obs-text (bytes from 128); so is a reason
# phrase (RFC 9112 §4).
FIELD_VALUE = re.compile(r"[\t -~\x80-\xff]*")
STATUS = re.compile(r"([2-5][0-9]{2})(?: [\t -~\x80-\xff]*)?")


def is_host(text: str) -> bool:
    """Whether `text` may stand in a Host field, or as the authority of an http target (RFC 9110 §7.2,
    §4.2.4)."""
    match = _HOST.fullmatch(text)
    if match is None:
        return False
    literal, port = match.group(1, 2)
    if port and (len(port) > 5 or int(port) > _LARGEST_PORT):
        return False
    if literal is None:
        return True
    try:
        ipaddress.IPv6Address(literal)
    except ValueError:
        return False
    return True


def list_elements(value: str) -> list[str]:
    """The elements of a comma list, in lower case, without the empty ones (RFC 9110 §5.6.1.2)."""
    return [element for part in value.split(",") if (element := part.strip(" \t").lower())]
