"""What answering requests needs and the settings alone decide: the same for a worker and for a template's warm-up."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..http.parser import HeadParser
from ..wsgi.environ import Environs, ErrorsStream
from ..wsgi.file_wrapper import FileWrapper

if TYPE_CHECKING:
    from ..settings.resolve import Settings


def make_parser(settings: Settings) -> HeadParser:
    """A parser of request heads, with the limits that are set."""
    requests = settings.requests
    return HeadParser(
        limit_request_line=requests.limit_request_line,
        limit_request_fields=requests.limit_request_fields,
        limit_request_field_size=requests.limit_request_field_size,
        limit_request_head=requests.limit_request_head,
        header_map=requests.header_map,
        forwarder_headers=settings.proxies.forwarder_headers,
    )


def make_environs(
    settings: Settings, error_fd: int, name: str, port: str, trusted: bool, own: Mapping[str, Any] | None = None
) -> Environs:
    """What makes the environs of requests that come in under this server name and port.

    `error_fd` is where `wsgi.errors` leads. `trusted`: whether the peers may speak for others. `own` is what a worker
    offers beside that.
    """

    def write_error(data: bytes) -> None:
        with contextlib.suppress(OSError):  # a full disk must not hurt the request
            os.write(error_fd, data)

    requests = settings.requests
    base: dict[str, Any] = {
        "wsgi.version": (1, 0),
        "wsgi.errors": ErrorsStream(write_error),
        "wsgi.multithread": settings.processes.worker_class != "sync",
        # The setting, not the moment: two processes may run beside each other for a while with `workers = 1` too (a
        # reload, a replacement, an upgrade, TTIN). But debuggers that keep a failure in their process (EvalException of
        # Paste) refuse every request where this is true, and one worker is what they are used with.
        "wsgi.multiprocess": settings.processes.workers > 1,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
        "wsgi.url_scheme": requests.url_scheme or "http",
        "SERVER_SOFTWARE": f"paste_unicorn/{__version__}",
        "SERVER_NAME": name,
        "SERVER_PORT": port,
        **(own or {}),
    }
    # SCRIPT_NAME in the process's environment is how existing deployments mount an application.
    prefix = (requests.url_prefix or os.environ.get("SCRIPT_NAME", "")).rstrip("/")
    return Environs(base, prefix=prefix, trusted=trusted, secure_schemes=settings.proxies.secure_scheme_headers)
