"""Every way in which we refuse a request: one row each, with status, sentence and the section that says so.

The connection closes after each of them (RFC 9112 §9.6 and §11.2: what follows could be read in two ways).
The sentence goes to the client and to the log: it says nothing of what the request held or of what is inside.
"""

from __future__ import annotations

from typing import NamedTuple


class Refusal(NamedTuple):
    """Why a request is not served, and what the client is told."""

    status: int
    reason: str  # the reason phrase of the status line
    sentence: str  # for the client and the log
    source: str  # the section that the rule is from
    name: str  # one word or two, for logs and tests


class Refused(Exception):
    """A request that is not served. `request_line` is what is known of it: cut, possibly not even a line, or
    empty. `retry_after_s`: in whole seconds, when to ask again; 0 says nothing of it."""

    def __init__(self, refusal: Refusal, request_line: bytes = b"", retry_after_s: int = 0) -> None:
        super().__init__(f"{refusal.status} {refusal.sentence}")
        self.refusal = refusal
        self.request_line = request_line
        self.retry_after_s = retry_after_s

    @property
    def head_request(self) -> bool:
        """Whether the answer must have no body (RFC 9110 §9.3.2)."""
        return self.request_line.startswith(b"HEAD ")


def _bad(sentence: str, source: str, name: str) -> Refusal:
    return Refusal(400, "Bad Request", sentence, source, name)


# The request line.
BAD_REQUEST_LINE = _bad("The request line is malformed.", "RFC 9112 §3", "request line")
CONTROL_IN_LINE = _bad("The request line holds a control character.", "RFC 9112 §2.2", "control in line")
EMPTY_LINES = _bad("There are too many empty lines before the request.", "RFC 9112 §2.2", "empty lines")
BAD_METHOD = _bad("The request method is not a token.", "RFC 9110 §9.1", "method")
BAD_VERSION = _bad("The protocol version is malformed.", "RFC 9112 §2.3", "version")
BAD_TARGET = _bad("The request target is malformed.", "RFC 9112 §3.2", "target")
FRAGMENT_IN_TARGET = _bad("The request target has a fragment.", "RFC 9112 §3.2", "fragment")
BAD_AUTHORITY = _bad("The host of the request target is not valid.", "RFC 9110 §4.2.1", "target host")
BAD_ESCAPE = _bad("The path has a percent sign without two hexadecimal digits.", "RFC 3986 §2.1", "percent escape")
LINE_TOO_LONG = Refusal(414, "URI Too Long", "The request line is too long.", "RFC 9110 §15.5.15", "line too long")
UNKNOWN_METHOD = Refusal(
    501, "Not Implemented", "The request method is not known here.", "RFC 9110 §9.1", "unknown method"
)
CONNECT_METHOD = Refusal(
    501, "Not Implemented", "CONNECT is not served: this is not a proxy.", "RFC 9110 §9.3.6", "CONNECT"
)
UNKNOWN_VERSION = Refusal(
    505,
    "HTTP Version Not Supported",
    "The protocol version is neither HTTP/1.1 nor HTTP/1.0.",
    "RFC 9110 §15.6.6",
    "unknown version",
)

# Fields.
BAD_FIELD = _bad("A header field is malformed.", "RFC 9112 §5", "field")
FOLDED_FIELD = _bad("A header field is folded over several lines.", "RFC 9112 §5.2", "folded field")
CONTROL_IN_FIELD = _bad("A header field holds a control character.", "RFC 9110 §5.5", "control in field")
UNDERSCORE_IN_NAME = _bad("A header field has an underscore in its name.", "header_map = refuse", "underscore")
REPEATED_FORWARDER = _bad("A field that the proxy sets is there twice.", "RFC 9110 §5.3", "repeated forwarder field")
CONTRADICTING_SCHEMES = _bad(
    "The fields that tell the scheme contradict each other.", "secure_scheme_headers", "contradicting schemes"
)
REPEATED_CONTENT_TYPE = _bad("There are several Content-Type fields.", "RFC 9110 §8.3", "repeated Content-Type")
BAD_CONNECTION = _bad("The Connection field is not a list of tokens.", "RFC 9110 §7.6.1", "Connection")
TOO_MANY_FIELDS = Refusal(
    431,
    "Request Header Fields Too Large",
    "There are too many header fields.",
    "RFC 6585 §5",
    "too many fields",
)
FIELD_TOO_LARGE = Refusal(
    431, "Request Header Fields Too Large", "A header field is too large.", "RFC 6585 §5", "field too large"
)
HEAD_TOO_LARGE = Refusal(
    431,
    "Request Header Fields Too Large",
    "The header fields are too large.",
    "RFC 6585 §5",
    "head too large",
)
UNKNOWN_EXPECTATION = Refusal(
    417, "Expectation Failed", "Only 100-continue can be expected.", "RFC 9110 §10.1.1", "expectation"
)

# Host.
NO_HOST = _bad("An HTTP/1.1 request needs a Host field.", "RFC 9112 §3.2", "no Host")
REPEATED_HOST = _bad("There are several Host fields.", "RFC 9112 §3.2", "repeated Host")
BAD_HOST = _bad("The Host field is not valid.", "RFC 9112 §3.2", "bad Host")

# The length of the body.
BAD_CONTENT_LENGTH = _bad("The Content-Length is not one number.", "RFC 9112 §6.3", "bad Content-Length")
LENGTH_AND_CODING = _bad(
    "There are both Content-Length and Transfer-Encoding.",
    "RFC 9112 §6.1",
    "Content-Length and Transfer-Encoding",
)
CODING_IN_HTTP10 = _bad("HTTP/1.0 has no Transfer-Encoding.", "RFC 9112 §6.1", "Transfer-Encoding in HTTP/1.0")
BAD_CODING = _bad("The Transfer-Encoding is malformed.", "RFC 9112 §6.1", "bad Transfer-Encoding")
UNKNOWN_CODING = Refusal(
    501,
    "Not Implemented",
    "The only transfer coding known here is chunked.",
    "RFC 9112 §6.1",
    "unknown coding",
)
LENGTH_TOO_LARGE = Refusal(
    413, "Content Too Large", "The Content-Length is beyond all bounds.", "RFC 9110 §8.6", "length too large"
)
BODY_TOO_LARGE = Refusal(413, "Content Too Large", "The body is too large.", "RFC 9110 §15.5.14", "body too large")

# Chunks.
BAD_CHUNK = _bad("A chunk of the body is malformed.", "RFC 9112 §7.1", "bad chunk")
CHUNK_LINE_TOO_LONG = _bad("The line of a chunk is too long.", "RFC 9112 §7.1.1", "chunk line too long")
CHUNK_OVERHEAD = _bad("The chunk extensions outweigh the body.", "RFC 9112 §7.1.1", "chunk overhead")
BAD_TRAILER = _bad("A trailer field is malformed.", "RFC 9112 §7.1.2", "bad trailer")
TRAILER_TOO_LARGE = Refusal(
    431,
    "Request Header Fields Too Large",
    "The trailer fields are too large.",
    "RFC 6585 §5",
    "trailer too large",
)

# What the worker finds, not the grammar.
HEAD_TIMEOUT = Refusal(
    408, "Request Timeout", "The request did not arrive in time.", "RFC 9110 §15.5.9", "head timeout"
)
BODY_TIMEOUT = Refusal(
    408, "Request Timeout", "The request body did not arrive in time.", "RFC 9110 §15.5.9", "body timeout"
)
BODY_CUT_OFF = _bad("The request body ended too early.", "RFC 9112 §8", "body cut off")
NO_ROOM_FOR_BODY = Refusal(
    503,
    "Service Unavailable",
    "There is no room for the request body.",
    "RFC 9110 §15.6.4",
    "no room for body",
)
WAITED_TOO_LONG = Refusal(
    503,
    "Service Unavailable",
    "The server is busy: this request has waited for too long.",
    "RFC 9110 §15.6.4",
    "waited too long",
)
OVERTIME = Refusal(504, "Gateway Timeout", "The application did not answer in time.", "RFC 9110 §15.6.5", "overtime")
SERVER_ERROR = Refusal(
    500,
    "Internal Server Error",
    "The server could not answer this request.",
    "RFC 9110 §15.6.1",
    "server error",
)
