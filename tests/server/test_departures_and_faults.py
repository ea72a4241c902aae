"""That a client has gone is no fault of the application; what the application does wrong then is one, and is logged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.client import request_bytes
from support.server import Server, wait_for

APPLICATION = "paste.app_factory = support.departing:make_app"
SETTINGS = {"accesslog": "{directory}/access.log", "access_log_format": "json", "loglevel": "info"}

FAULTS = {"in-finally": "KeyError: 'raised in finally'", "afterwards": "Own: raised afterwards"}


def how_it_ended(server: Server, target: str) -> str:
    """As the access log has it, as soon as it does."""

    def lines() -> list[dict[str, str]]:
        text = (server.directory / "access.log").read_text()
        whole, _, _ = text.rpartition("\n")  # behind that is a line that is being written
        return [found for found in map(json.loads, whole.splitlines()) if found["path"] == target]

    return wait_for(lines, f"a line for {target}")[-1]["how"]


def go_away(server: Server, target: str) -> None:
    with server.connect() as client:
        client.send(request_bytes("GET", target))
        client.read_head()
        client.read_exactly(4)
        client.reset()


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_application_is_logged_though_its_client_has_gone(
    server: Server, log_start: int, name: str
) -> None:
    go_away(server, f"/{name}")
    log = server.wait_for_log(FAULTS[name], after=log_start)
    assert f"GET /{name} HTTP/1.1: the application raised an exception" in log
    assert "Traceback" in log
    assert how_it_ended(server, f"/{name}") == "app-error"


@pytest.mark.parametrize("name", ["as-it-is", "made-of-it"])
def test_what_was_made_of_a_departure_is_still_one(server: Server, log_start: int, name: str) -> None:
    go_away(server, f"/{name}")
    assert how_it_ended(server, f"/{name}") == "client-gone"
    assert "Traceback" not in server.log_text()[log_start:]


def test_an_interrupted_close_is_no_fault(server: Server, log_start: int, tmp_path: Path) -> None:
    touch = tmp_path / "begun"
    with server.connect() as client:
        client.send(request_bytes("GET", f"/close?touch={touch}"))
        wait_for(touch.exists, "close() runs")
        client.reset()
    assert how_it_ended(server, "/close") in ("ok", "client-gone")
    assert "Traceback" not in server.log_text()[log_start:]
