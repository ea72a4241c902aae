"""What a service manager is told, over a socket like its own."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from paste_unicorn.ops.systemd import notify


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Where the service manager listens."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@unicorn-test-{os.getpid()}"
    if request.param == "abstract" and not os.path.exists("/proc/net/unix"):
        pytest.skip("abstract sockets are Linux's")
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        sock.setblocking(False)
        yield sock


def test_it_is_told_what_has_changed(manager: socket.socket) -> None:
    notify("MAINPID=4711\nREADY=1")
    assert manager.recv(100) == b"MAINPID=4711\nREADY=1"


@pytest.mark.parametrize("where", [None, "", "relative", "vsock:2:1234", "/nowhere/at/all"])
def test_without_one_nothing_happens(where: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if where is None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", where)
    notify("READY=1")


def test_one_that_has_gone_does_no_harm(manager: socket.socket) -> None:
    manager.close()
    notify("READY=1")
