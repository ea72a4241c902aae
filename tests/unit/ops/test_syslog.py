"""Messages to a syslog daemon: what arrives, and that a daemon that is away is never waited for."""

from __future__ import annotations

import logging
import os
import socket
import time
from pathlib import Path

import pytest
from support.server import wait_for

from paste_unicorn.ops import syslog as syslog_module
from paste_unicorn.ops.syslog import SyslogSink
from paste_unicorn.settings.syslog import SyslogAddress

USER = "user"
said: list[str] = []


def say(level: str, sentence: str) -> None:
    said.append(f"{level} {sentence}")


@pytest.fixture(autouse=True)
def _silence() -> None:
    said.clear()


def test_datagram_has_priority_tag_and_pid() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(20)
        sink = SyslogSink(
            SyslogAddress(False, "", "127.0.0.1", daemon.getsockname()[1]), USER, "gunicorn.site.error", say
        )
        sink.write(logging.WARNING, "a sentence")
        assert daemon.recv(9999) == f"<12>gunicorn.site.error[{os.getpid()}]: a sentence".encode()
        sink.write(logging.INFO, "x" * 100_000)
        assert len(daemon.recv(200_000)) == 8192
    sink.write(logging.INFO, "nobody there")
    sink.write(logging.INFO, "nobody there")
    sink.reopen()
    assert said == []


def test_unix_datagram_daemon_may_come_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(syslog_module, "_RETRY_S", 0.0)
    path = str(tmp_path / "log")
    sink = SyslogSink(SyslogAddress(False, path, "", 0), USER, "t", say)
    sink.write(logging.INFO, "one")
    sink.write(logging.INFO, "two")
    assert len(said) == 1
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(path)
        daemon.settimeout(20)
        sink.write(logging.INFO, "three")
        assert daemon.recv(999).endswith(b": three")
    sink.reopen()
    assert [line.split()[0] for line in said] == ["ERROR", "WARNING"]
    assert "2 lines" in said[1]


def complains(sink: SyslogSink) -> bool:
    """Of what it is given now."""
    sink.write(logging.INFO, "lost, perhaps")
    return bool(said)


@pytest.mark.parametrize(("unix", "end"), [(True, b"\0"), (False, b"\n")])
def test_a_stream_is_framed_and_connected_anew_after_a_break(
    unix: bool, end: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syslog_module, "_RETRY_S", 0.0)
    monkeypatch.setattr(syslog_module, "_CONNECT_S", 20.0)  # the kernel may take its time on a machine that is busy
    with socket.socket(socket.AF_UNIX if unix else socket.AF_INET, socket.SOCK_STREAM) as daemon:
        daemon.bind(str(tmp_path / "log") if unix else ("127.0.0.1", 0))
        daemon.listen()
        daemon.settimeout(20)
        address = (
            SyslogAddress(True, daemon.getsockname(), "", 0)
            if unix
            else SyslogAddress(True, "", "127.0.0.1", daemon.getsockname()[1])
        )
        sink = SyslogSink(address, USER, "t", say)
        sink.write(logging.INFO, "one")
        connection = daemon.accept()[0]
        assert connection.recv(999).endswith(b": one" + end)
        connection.close()
        wait_for(lambda: complains(sink), "the break shows")
        sink.write(logging.INFO, "two")
        connection = daemon.accept()[0]
        assert connection.recv(999).split(end)[-2].endswith(b": two")
        connection.close()
        sink.reopen()


def test_a_daemon_that_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.bind(str(tmp_path / "log"))
        sink = SyslogSink(SyslogAddress(False, daemon.getsockname(), "", 0), USER, "t", say)
        begun = time.monotonic()
        for _ in range(2000):
            sink.write(logging.INFO, "line")
        assert time.monotonic() - begun < 10
        assert len(said) == 1
        sink.reopen()
