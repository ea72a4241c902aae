"""The rows of requests: limits, patience, what the application is told."""

from __future__ import annotations

from dataclasses import dataclass

from ..kinds import Choice, Duration, Line, MaybeSize, Size, Whole
from ..places import Path
from ..row import Stage, row
from ..words import HeaderMap, Prefix, Sendfile

UNLIMITED = 1 << 20
MOST_FIELDS = 32768


@dataclass(frozen=True)
class RequestSettings:
    """Requests"""

    keepalive_s: float = row(
        "keepalive", Duration(), 2.0,
        "How long an idle connection is kept for the next request, unless its place is needed "
        "(`worker_connections`). 0 keeps none: each answer says `Connection: close`.",
        also=("keep_alive",),
    )  # fmt: skip
    header_timeout_s: float = row(
        "header_timeout", Duration(0.1), 10.0,
        "How long the head of a request may take to arrive; then 408.",
    )  # fmt: skip
    body_timeout_s: float = row(
        "body_timeout", Duration(0.1), 30.0,
        "How long a body may bring nothing new.",
    )  # fmt: skip
    body_min_rate: int = row(
        "body_min_rate", Size(), 0,
        "Bytes per second that a body must bring; 0 is any.",
        stage=Stage.LATER, advice="`body_timeout` bounds the pauses of a body meanwhile",
    )  # fmt: skip
    send_timeout_s: float = row(
        "send_timeout", Duration(0.1), 30.0,
        "How long a client may take nothing of its response.",
    )  # fmt: skip
    limit_request_line: int = row(
        "limit_request_line", Size(0, 2**20), 4094,
        "Longest request line in bytes; 0 is 1m.",
    )  # fmt: skip
    limit_request_fields: int = row(
        "limit_request_fields", Whole(0, 32768), 100,
        "Most header fields of a request; 0 is 32768.",
    )  # fmt: skip
    limit_request_field_size: int = row(
        "limit_request_field_size", Size(0, 2**20), 8190,
        "Longest header field in bytes; 0 is 1m.",
    )  # fmt: skip
    limit_request_head: int = row(
        "limit_request_head", Size(0, 2**31), 0,
        "Largest head of a request in bytes. Not set, or 0: line + fields x field size, so that the three "
        "limits above mean what they say.",
    )  # fmt: skip
    limit_request_body: int = row(
        "limit_request_body", Size(), 0,
        "Largest body in bytes; a larger one is answered with 413 before the application runs. 0 is any.",
    )  # fmt: skip
    spool_request_body: int | None = row(
        "spool_request_body", MaybeSize(), None,
        "Bodies are read before the application runs; those larger than this go to a temporary file. Off: "
        "an application that asks for a large body reads it from the connection.",
    )  # fmt: skip
    response_buffer: int = row(
        "response_buffer", Size(1024), 1 << 20,
        "What a slow reader has not taken yet, and the application need not wait for.",
    )  # fmt: skip
    tmp_upload_dir: str | None = row(
        "tmp_upload_dir", Path(exists="folder"), None,
        "Folder for spooled bodies; not set: the system's.",
    )  # fmt: skip
    sendfile: bool = row(
        "sendfile", Sendfile(), True,
        "Send files of `wsgi.file_wrapper` by the system call sendfile.",
        env="SENDFILE",
    )  # fmt: skip
    header_map: str = row(
        "header_map", HeaderMap(), "drop",
        "What happens to header fields with an underscore in their name, which spoof those with a dash: "
        "`drop`, `refuse` the request, or `dangerous` (take them).",
    )  # fmt: skip
    url_prefix: str = row(
        "url_prefix", Prefix(), "",
        "Where the application is mounted: becomes SCRIPT_NAME.",
        empty="",
    )  # fmt: skip
    url_scheme: str = row(
        "url_scheme", Choice("http", "https"), "",
        "`wsgi.url_scheme`, if a trusted proxy says nothing else; not set: http.",
    )  # fmt: skip
    server_header: str = row(
        "server_header", Line(), "paste_unicorn",
        "The Server field of responses; empty is none.",
        empty="",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Put a number where 0 stands for one, so that nobody else has to know."""
        line = self.limit_request_line or UNLIMITED
        field_size = self.limit_request_field_size or UNLIMITED
        fields = self.limit_request_fields or MOST_FIELDS
        head = self.limit_request_head or line + fields * field_size
        for name, value in (
            ("limit_request_line", line),
            ("limit_request_fields", fields),
            ("limit_request_field_size", field_size),
            ("limit_request_head", head),
        ):
            object.__setattr__(self, name, value)
