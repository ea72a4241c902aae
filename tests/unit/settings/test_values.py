"""What texts become: each kind of value, and the settings that have a way of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paste_unicorn.settings.addresses import Address
from paste_unicorn.settings.peers import NOBODY
from paste_unicorn.settings.resolve import Resolved
from paste_unicorn.settings.syslog import SyslogAddress, parse_syslog
from paste_unicorn.settings.warmup import WarmupRequest

Read = Callable[..., Resolved]


def value(read: Read, lines: str, name: str, environ: dict[str, str] | None = None) -> Any:
    resolved = read(lines, environ)
    assert resolved.settings is not None, resolved.problems
    return resolved.settings.flat()[name]


VALUES = [
    ("backlog", "8", 8),
    ("backlog", "0x10", 16),
    ("backlog", "0o22", 18),
    ("backlog", "1_000", 1000),
    ("timeout", "30", 30.0),
    ("timeout", "30s", 30.0),
    ("timeout", "5m", 300.0),
    ("timeout", "1h", 3600.0),
    ("timeout", "250ms", 0.25),
    ("timeout", "1.5", 1.5),
    ("timeout", ".5s", 0.5),
    ("limit_request_body", "512", 512),
    ("limit_request_body", "64k", 65536),
    ("limit_request_body", "16M", 16 << 20),
    ("limit_request_body", "1 GB", 1 << 30),
    ("limit_request_body", "2MiB", 2 << 20),
    ("umask", "022", 0o22),
    ("umask", "0022", 0o22),
    ("umask", "0o22", 0o22),
    ("umask", "18", 0o22),
    ("umask", "0", 0),
    ("capture_output", "Yes", True),
    ("capture_output", "on", True),
    ("capture_output", "1", True),
    ("capture_output", "off", False),
    ("capture_output", "no", False),
    ("capture_output", "0", False),
    ("loglevel", "WARN", "warning"),
    ("accesslog", "none", None),
    ("server_header", "", ""),
    ("spool_request_body", "off", None),
    ("spool_request_body", "0", None),
    ("spool_request_body", "512k", 524288),
    ("url_prefix", "shop/", "/shop"),
    ("url_prefix", "/", ""),
    ("syslog_facility", "LOG_LOCAL3", "local3"),
    ("raw_env", "A=1\n  B = two words\n  C=x=y", (("A", "1"), ("B", "two words"), ("C", "x=y"))),
    ("secure_scheme_headers", "X-Forwarded-Proto = https", (("X-Forwarded-Proto", "https"),)),
    ("secure_scheme_headers", '{"X-Forwarded-Proto": "https"}', (("X-Forwarded-Proto", "https"),)),
    ("forwarder_headers", "script_name, remote_user", ("SCRIPT_NAME", "REMOTE_USER")),
    ("forwarded_allow_ips", "", NOBODY),
    ("pre_fork", "mysite.hooks:pre_fork", "mysite.hooks:pre_fork"),
    ("warmup", "", ()),
    ("warmup", "/", (WarmupRequest("GET", "", "", "/"),)),
    ("warmup", "/a?b=c%%20d, HEAD /b\n  GET /c", (
        WarmupRequest("GET", "", "", "/a?b=c%20d"),
        WarmupRequest("HEAD", "", "", "/b"),
        WarmupRequest("GET", "", "", "/c"),
    )),
    ("warmup", "HTTPS://Site.example:8443?a=1", (WarmupRequest("GET", "https", "Site.example:8443", "/?a=1"),)),
    ("warmup", "OPTIONS http://[::1]/x", (WarmupRequest("OPTIONS", "http", "[::1]", "/x"),)),
    ("access_log_format", "%%(h)s %%(s)s", "%(h)s %(s)s"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "expected"), VALUES)
def test_a_text_becomes_a_value(read: Read, name: str, text: str, expected: object) -> None:
    assert value(read, f"{name} = {text}", name) == expected


def tcp(host: str, port: int) -> Address:
    return Address("tcp", host, port)


BINDS = [
    ("bind = 127.0.0.1:80", [tcp("127.0.0.1", 80)]),
    ("bind = localhost", [tcp("localhost", 8000)]),
    ("bind = :80", [tcp("0.0.0.0", 80)]),
    ("bind = *:80", [tcp("*", 80)]),
    ("bind = [::1]:80", [tcp("::1", 80)]),
    ("bind = [::1]", [tcp("::1", 8000)]),
    ("bind = ::1", [tcp("::1", 8000)]),
    ("bind = tcp://a.example:80", [tcp("a.example", 80)]),
    ("bind = unix:/tmp/a.sock", [Address("unix", path="/tmp/a.sock")]),
    ("bind = unix:///tmp/a.sock", [Address("unix", path="/tmp/a.sock")]),
    ("bind = unix:@name", [Address("abstract", path="name")]),
    ("bind = fd://3", [Address("fd", fd=3)]),
    ("bind = a:1, b:2 c:3\n  d:4", [tcp("a", 1), tcp("b", 2), tcp("c", 3), tcp("d", 4)]),
    ("listen = *:80 [::1]:81", [tcp("*", 80), tcp("::1", 81)]),
    ("unix_socket = /tmp/a.sock", [Address("unix", path="/tmp/a.sock")]),
    ("host = ::1\nport = 80", [tcp("::1", 80)]),
    ("host = 0.0.0.0\nport = 80", [tcp("0.0.0.0", 80)]),
    ("host = a, b\nport = 80", [tcp("a", 80), tcp("b", 80)]),
    ("host = a", [tcp("a", 8000)]),
    ("host = a:1,b:2", [tcp("a", 1), tcp("b", 2)]),
    ("port = 80", [tcp("127.0.0.1", 80)]),
    ("", [tcp("127.0.0.1", 8000)]),
]


@pytest.mark.parametrize(("lines", "addresses"), BINDS, ids=[case[0] for case in BINDS])
def test_where_to_listen(read: Read, lines: str, addresses: list[Address]) -> None:
    assert list(value(read, lines, "bind")) == addresses


def test_a_relative_socket_lies_beside_the_ini(read: Read, folder: Path) -> None:
    assert value(read, "bind = unix:app.sock", "bind") == (Address("unix", path=str(folder / "app.sock")),)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (tcp("127.0.0.1", 80), "127.0.0.1:80"),
        (tcp("::1", 80), "[::1]:80"),
        (tcp("*", 80), "*:80"),
        (Address("unix", path="/p"), "unix:/p"),
        (Address("abstract", path="p"), "unix:@p"),
        (Address("fd", fd=3), "fd://3"),
    ],
)
def test_an_address_reads_as_it_is_written(address: Address, text: str) -> None:
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("udp://localhost:514", SyslogAddress(False, "", "localhost", 514)),
        ("udp://loghost", SyslogAddress(False, "", "loghost", 514)),
        ("tcp://192.0.2.1:601", SyslogAddress(True, "", "192.0.2.1", 601)),
        ("udp://[::1]:5514", SyslogAddress(False, "", "::1", 5514)),
        ("unix:///dev/log", SyslogAddress(False, "/dev/log", "", 0)),
        ("unix:///dev/log#stream", SyslogAddress(True, "/dev/log", "", 0)),
        ("unix:///dev/log#dgram", SyslogAddress(False, "/dev/log", "", 0)),
    ],
)
def test_where_a_syslog_daemon_listens(text: str, address: SyslogAddress) -> None:
    assert parse_syslog(text) == address


class TestPaths:
    def test_a_path_is_relative_to_the_ini(self, read: Read, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (folder / "elsewhere").mkdir()
        monkeypatch.chdir(folder / "elsewhere")
        assert value(read, "errorlog = error.log", "errorlog") == str(folder / "error.log")

    def test_a_file_that_is_only_in_the_current_folder_is_taken_and_told(
        self, read: Read, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "elsewhere").mkdir()
        (folder / "elsewhere" / "log.ini").touch()
        monkeypatch.chdir(folder / "elsewhere")
        resolved = read("logconfig = log.ini")
        assert resolved.settings is not None
        assert resolved.settings.logs.logconfig == str(folder / "elsewhere" / "log.ini")
        assert [note.level for note in resolved.notes] == ["info"]
        assert "log.ini is not beside the ini file" in str(resolved.notes[0])

    def test_a_log_whose_folder_is_only_in_the_current_folder_goes_there(
        self, read: Read, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (folder / "elsewhere" / "logs").mkdir(parents=True)
        monkeypatch.chdir(folder / "elsewhere")
        assert value(read, "accesslog = logs/a.log", "accesslog") == str(folder / "elsewhere" / "logs" / "a.log")

    def test_words_for_standard_streams_and_syslog_are_no_paths(self, read: Read) -> None:
        resolved = read("errorlog = -\naccesslog = syslog:")
        assert resolved.settings is not None
        assert (resolved.settings.logs.errorlog, resolved.settings.logs.accesslog) == ("-", "syslog:")

    def test_folders_of_the_module_path_are_absolute(self, read: Read, folder: Path) -> None:
        assert value(read, "pythonpath = lib, /opt/x", "pythonpath") == (str(folder / "lib"), "/opt/x")


class TestRequestLimits:
    def test_the_head_is_as_large_as_the_three_older_limits_allow(self, read: Read) -> None:
        lines = "limit_request_line = 100\nlimit_request_fields = 10\nlimit_request_field_size = 50"
        assert value(read, lines, "limit_request_head") == 100 + 10 * 50

    def test_a_head_of_its_own_size_wins(self, read: Read) -> None:
        assert value(read, "limit_request_head = 64k", "limit_request_head") == 65536

    def test_nothing_stands_for_without_limit(self, read: Read) -> None:
        lines = "limit_request_line = 0\nlimit_request_field_size = 0\nlimit_request_fields = 0"
        assert value(read, lines, "limit_request_line") == 1 << 20
        assert value(read, lines, "limit_request_fields") == 32768


class TestTrustedPeers:
    @pytest.mark.parametrize(
        ("listed", "peer", "trusted"),
        [
            ("127.0.0.1,::1", "127.0.0.1", True),
            ("127.0.0.1,::1", "::1", True),
            ("127.0.0.1,::1", "127.0.0.2", False),
            ("127.0.0.1", "::ffff:127.0.0.1", True),
            ("10.0.0.0/8 fd00::/8", "10.200.3.4", True),
            ("10.0.0.0/8 fd00::/8", "::ffff:10.200.3.4", True),
            ("10.0.0.0/8 fd00::/8", "fd12::1", True),
            ("10.0.0.0/8 fd00::/8", "fe80::1%eth0", False),
            ("10.0.0.0/8", "", True),
            ("unix:", "", True),
            ("unix:", "127.0.0.1", False),
            ("", "", False),
            ("", "127.0.0.1", False),
            ("*", "203.0.113.9", True),
            ("*", "", True),
        ],
    )
    def test_who_is_believed(self, read: Read, listed: str, peer: str, trusted: bool) -> None:
        assert value(read, f"forwarded_allow_ips = {listed}", "forwarded_allow_ips").trusts(peer) is trusted

    def test_loopback_and_unix_sockets_are_believed_by_default(self, read: Read) -> None:
        peers = value(read, "", "forwarded_allow_ips")
        assert [peers.trusts(peer) for peer in ("127.0.0.1", "::1", "", "10.0.0.1")] == [True, True, True, False]


class TestIdentity:
    def test_users_and_groups_may_be_names_or_numbers(self, read: Read) -> None:
        import grp
        import os
        import pwd

        me, mine = os.geteuid(), os.getegid()
        lines = f"user = {pwd.getpwuid(me).pw_name}\ngroup = {mine}"
        resolved = read(lines)
        assert resolved.settings is not None
        processes = resolved.settings.processes
        assert (processes.user, processes.group) == (me, mine)
        assert processes.user_name == pwd.getpwuid(me).pw_name
        assert value(read, f"group = {grp.getgrgid(mine).gr_name}", "group") == mine

    def test_only_root_can_become_somebody_else(self, read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("os.geteuid", lambda: 1000)
        monkeypatch.setattr("os.getegid", lambda: 1000)
        assert [str(problem) for problem in read("user = 0").problems] == [
            "prod.ini:3 [server:main] user: only root can become another user; start as root, or leave it out"
        ]


def test_a_daemon_under_systemd_is_refused(read: Read) -> None:
    assert [str(problem) for problem in read("daemon = true", {"NOTIFY_SOCKET": "/run/x"}).problems] == [
        "prod.ini:3 [server:main] daemon: systemd watches over this process, which a daemon would leave; leave it out"
    ]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("", ("sync", 1)),
        ("threads = 3", ("threads", 3)),
        ("worker_class = sync\nthreads = 3", ("threads", 3)),
        ("worker_class = gthread", ("threads", 4)),
        ("worker_class = threads\nthreads = 1", ("threads", 1)),
    ],
)
def test_worker_class_and_number_of_threads_speak_for_each_other(
    read: Read, lines: str, expected: tuple[str, int]
) -> None:
    settings = read(lines).settings
    assert settings is not None
    assert (settings.processes.worker_class, settings.processes.threads) == expected
