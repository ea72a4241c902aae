"""An application that gives more than its client will get: HEAD, 204, 304, beyond a Content-Length. It is closed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.server import Server, wait_for

APPLICATION = "paste.app_factory = support.streaming:make_app"
SETTINGS = {"timeout": "120", "threads": "2"}

# More than any class runs beside each other where they would never end.
OFTEN = 5

ENDLESS = {
    "HEAD": ("HEAD", "/flood?x=1"),
    "HEAD with pauses": ("HEAD", "/ticks?gap=0.01"),
    "204": ("GET", "/flood?status=204+No+Content"),
    "304": ("GET", "/flood?status=304+Not+Modified"),
    "beyond the length": ("GET", "/flood?length=100000"),
}


def state(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(server.get("/state").body)
    return found


@pytest.mark.parametrize("name", ENDLESS)
def test_an_endless_body_of_which_no_more_is_sent_is_closed(server: Server, log_start: int, name: str) -> None:
    method, target = ENDLESS[name]
    pid, before = server.get("/pid").body, state(server)
    for _ in range(OFTEN):
        answer = server.get(target, method=method)
        assert len(answer.body) == (100_000 if "length" in name else 0)
    assert server.get("/pid").body == pid
    wait_for(lambda: state(server)["closed"] == before["closed"] + OFTEN, "all are closed")
    assert state(server)["opened"] == before["opened"] + OFTEN
    told = OFTEN if "length" in name else 0
    said = "the body went on after the 100000 bytes"  # after it was closed
    wait_for(lambda: server.log_text()[log_start:].count(said) >= told, "all are told")
    log = server.log_text()[log_start:]
    assert log.count(said) == told
    assert "Traceback" not in log
