"""An application that answers with the configuration that it was made from, and with the pid that answers."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable
from typing import Any

log = logging.getLogger("echo_conf")


def make_app(global_conf: dict[str, str], **local_conf: str) -> Callable[..., Iterable[bytes]]:
    """A ``paste.app_factory``."""
    log.info("Made with %s.", local_conf.get("name"))

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/log":
            log.warning("Asked to log %s.", environ["QUERY_STRING"])
        if environ["PATH_INFO"] == "/print":
            print("printed", environ["QUERY_STRING"], flush=True)
        answer = {"global": global_conf, "local": local_conf, "pid": os.getpid()}
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(answer).encode()]

    return application
