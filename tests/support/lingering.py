"""An application whose server lingers for a moment only, so that nobody has to wait for long in a test."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qsl

from paste_unicorn.workers import deadlines, lingering
from support import apps

SILENT_S, MOST_S = 0.8, 3.0
PATIENT_S = 30.0


def make_app(global_conf: dict[str, str], **local_conf: str) -> Callable[..., Iterable[bytes]]:
    """`paste.app_factory`. It is loaded before workers are forked. `silent` and `most` are other times than ours."""
    deadlines.LINGER_S = lingering.LINGER_S = float(local_conf.get("silent", SILENT_S))
    lingering.LINGER_MOST_S = float(local_conf.get("most", MOST_S))
    return application


def make_patient_app(global_conf: dict[str, str], **local_conf: str) -> apps.Application:
    """`paste.app_factory`: the small applications, whose clients may stand still before they send on."""
    make_app(global_conf, silent=str(PATIENT_S), most=str(2 * PATIENT_S))
    return apps.application


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Reads nothing; answers `size` bytes."""
    size = int(dict(parse_qsl(environ["QUERY_STRING"])).get("size", "5"))
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(size))])
    return [b"x" * size]
