"""Who wins: defaults, the environment, the config file, the ini; and where each thing stands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from paste_unicorn.settings.addresses import Address
from paste_unicorn.settings.report import report
from paste_unicorn.settings.resolve import Resolved, hook_problems

Read = Callable[..., Resolved]


@pytest.mark.parametrize(
    ("ini", "py", "environ", "workers", "origin"),
    [
        ("", "", {}, 1, "default"),
        ("", "", {"WEB_CONCURRENCY": "3"}, 3, "$WEB_CONCURRENCY"),
        ("", "workers = 4", {"WEB_CONCURRENCY": "3"}, 4, "gunicorn.conf.py:1"),
        ("workers = 5", "workers = 4", {"WEB_CONCURRENCY": "3"}, 5, "prod.ini:3 [server:main]"),
        ("workers =", "workers = 4", {}, 1, "prod.ini:3 [server:main]"),
    ],
)
def test_the_ini_wins_over_the_config_file_over_the_environment(
    read: Read, folder: Path, ini: str, py: str, environ: dict[str, str], workers: int, origin: str
) -> None:
    if py:
        (folder / "gunicorn.conf.py").write_text(py)
    resolved = read(ini, environ)
    assert resolved.settings is not None
    assert resolved.settings.processes.workers == workers
    assert str(resolved.origins["workers"]) == origin


def test_a_wrong_variable_of_the_environment_is_named(read: Read) -> None:
    assert [str(problem) for problem in read("", {"WEB_CONCURRENCY": "lots"}).problems] == [
        '$WEB_CONCURRENCY workers: "lots" is not a number; give a whole number of processes from 1 to 512, for '
        "example "
        '4, or "auto"'
    ]


def test_a_wrong_variable_that_does_not_count_is_nobodys_business(read: Read) -> None:
    assert read("workers = 2", {"WEB_CONCURRENCY": "lots"}).problems == ()


def test_trusted_peers_may_come_from_the_environment(read: Read) -> None:
    resolved = read("", {"FORWARDED_ALLOW_IPS": "10.0.0.1"})
    assert resolved.settings is not None
    assert resolved.settings.proxies.forwarded_allow_ips.trusts("10.0.0.1")


@pytest.mark.parametrize(
    ("lines", "bound"),
    [("", "0.0.0.0:5000"), ("host = a", "a:8000"), ("port = 80", "127.0.0.1:80"), ("bind = b:1", "b:1")],
)
def test_the_port_of_the_environment_counts_when_nothing_is_bound(read: Read, lines: str, bound: str) -> None:
    resolved = read(lines, {"PORT": "5000"})
    assert resolved.settings is not None
    assert [str(address) for address in resolved.settings.sockets.bind] == [bound]


def test_a_wrong_port_of_the_environment_is_named(read: Read) -> None:
    assert [str(problem) for problem in read("", {"PORT": "tcp://10.0.0.1:80"}).problems] == [
        '$PORT bind: "tcp://10.0.0.1:80": "tcp://10.0.0.1:80" is not a port; give a number from 1 to 65535'
    ]


class TestConfigFile:
    def test_a_file_that_nobody_asked_for_is_named_with_what_it_sets(self, read: Read, folder: Path) -> None:
        (folder / "gunicorn.conf.py").write_text("import os\nworkers = 2\ntimeout = 7\nmine = 1\n")
        assert [str(note) for note in read("").notes] == [
            "gunicorn.conf.py config: read, because it is in the current folder; it sets workers, timeout"
        ]

    def test_a_file_that_was_asked_for_is_the_only_one(self, read: Read, folder: Path) -> None:
        (folder / "gunicorn.conf.py").write_text("raise RuntimeError")
        (folder / "conf.py").write_text("timeout = 7")
        resolved = read("config = conf.py")
        assert resolved.settings is not None
        assert (resolved.settings.processes.timeout_s, resolved.notes) == (7.0, ())

    def test_python_values_become_the_same_as_texts(self, read: Read, folder: Path) -> None:
        (folder / "conf.py").write_text(
            "import ssl\n"
            "bind = ['127.0.0.1:1', 'unix:@x']\nworkers = 2 + 1\ntimeout = 0.5\ncapture_output = True\n"
            "raw_env = ['A=1']\nsecure_scheme_headers = {'X': 'y'}\numask = 0o27\naccesslog = None\n"
            "logconfig_dict = {'version': 1}\ncert_reqs = ssl.CERT_NONE\nreload_extra_files = []\n"
            "forwarded_allow_ips = ['10.0.0.1']\nssl_version = ssl.PROTOCOL_TLS\npreload_app = True\n"
            "def pre_fork(server, worker): pass\n"
        )
        resolved = read("config = conf.py")
        assert (resolved.problems, resolved.notes) == ((), ())
        assert resolved.settings is not None
        flat = resolved.settings.flat()
        assert flat["bind"] == (Address("tcp", "127.0.0.1", 1), Address("abstract", path="x"))
        assert (flat["workers"], flat["timeout"], flat["capture_output"], flat["umask"]) == (3, 0.5, True, 0o27)
        assert (flat["raw_env"], flat["secure_scheme_headers"]) == ((("A", "1"),), (("X", "y"),))
        assert (flat["logconfig_dict"], flat["cert_reqs"]) == ({"version": 1}, "none")
        assert callable(flat["pre_fork"])

    def test_names_of_its_own_are_its_own_but_a_slip_is_told(self, read: Read, folder: Path) -> None:
        (folder / "conf.py").write_text("host = 'x'\nport = 1\nhelper = [1]\nworker = 9\nbackloc = 5\n")
        resolved = read("config = conf.py")
        assert resolved.problems == ()
        assert [str(note) for note in resolved.notes] == [
            'conf.py:4 worker: not a setting; did you mean "workers"?',
            'conf.py:5 backloc: not a setting; did you mean "backlog"?',
        ]

    def test_a_host_in_the_ini_wins_over_a_bind_in_the_file(self, read: Read, folder: Path) -> None:
        (folder / "conf.py").write_text("bind = 'b:1'")
        resolved = read("config = conf.py\nhost = a\nport = 2")
        assert resolved.settings is not None
        assert [str(address) for address in resolved.settings.sockets.bind] == ["a:2"]


class TestLines:
    def test_lines_are_found_through_use(self, read: Read) -> None:
        resolved = read(
            """
            [server:main]
            use = base
            workers = 2

            [server:base]
            use = egg:gunicorn#main
            timeout = soon
            """
        )
        assert str(resolved.problems[0]).startswith("prod.ini:7 [server:base] timeout: ")

    def test_lines_are_found_in_another_file(self, read: Read, folder: Path) -> None:
        (folder / "base.ini").write_text("[server:main]\nuse = egg:gunicorn#main\nwrokers = 2\n")
        resolved = read("[server:main]\nuse = config:base.ini\nkeepalive = never")
        assert [str(problem).split(": ")[0] for problem in resolved.problems] == [
            "base.ini:3 [server:main] wrokers",
            "prod.ini:3 [server:main] keepalive",
        ]

    def test_comments_and_further_lines_are_counted(self, read: Read) -> None:
        resolved = read("# a comment\nraw_env = A=1\n  workers=2\n\n  B=3\ntimeout = x")
        assert [problem.place.line for problem in resolved.problems] == [8]

    def test_a_line_that_paste_keeps_back_is_told(self, read: Read) -> None:
        resolved = read("[DEFAULT]\nworkers = 3\n\n[server:main]\nuse = egg:gunicorn#main\nworkers = 4")
        assert resolved.settings is not None
        assert resolved.settings.processes.workers == 1
        assert [str(note) for note in resolved.notes] == [
            "prod.ini:6 [server:main] workers: Paste doesn't pass this line on, because [DEFAULT] or the command line "
            "has "
            "the same name; rename that one"
        ]

    def test_a_value_taken_from_a_global_one_has_its_line(self, read: Read) -> None:
        resolved = read("[DEFAULT]\nhow_many = lots\n\n[server:main]\nuse = egg:gunicorn#main\nget workers = how_many")
        assert str(resolved.problems[0]).startswith("prod.ini:6 [server:main] workers: ")

    def test_another_section_is_named(self, read: Read) -> None:
        resolved = read("[server:other]\nuse = egg:gunicorn#main\nworkers = x", name="other")
        assert str(resolved.problems[0]).startswith("prod.ini:3 [server:other] workers: ")

    def test_what_came_of_a_setting_gets_its_place(self, read: Read) -> None:
        resolved = read("errorlog = /tmp/log", {"SENDFILE": "yes"})
        said = ["errorlog: no\x1b", "bind = a:1: taken", "sendfile: no", "nothing: no", "errorlog"]
        assert resolved.placed("\n".join(said)).splitlines() == [
            "prod.ini:3 [server:main] errorlog: no\\u001b",
            "prod.ini [server:main] bind = a:1: taken",
            "$SENDFILE sendfile: no",
            "nothing: no",
            "errorlog",
        ]


class TestReport:
    def test_every_setting_is_printed_with_its_origin(self, read: Read) -> None:
        resolved = read("workers = 2\nbind = a:1, unix:@b", {"FORWARDED_ALLOW_IPS": "*"})
        assert resolved.settings is not None
        lines = [" ".join(line.split()) for line in report(resolved.settings, resolved.origins).splitlines()]
        assert "workers = 2 # prod.ini:3 [server:main]" in lines
        assert "bind = a:1, unix:@b # prod.ini:4 [server:main]" in lines
        assert "forwarded_allow_ips = * # $FORWARDED_ALLOW_IPS" in lines
        assert "timeout = 30 # default" in lines


def test_hooks_are_judged_when_they_are_loaded(read: Read, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "hooks_of_test.py").write_text("def pre_fork(server): pass\ndef on_exit(server): pass\n")
    monkeypatch.syspath_prepend(str(folder))
    resolved = read(
        "pre_fork = hooks_of_test.pre_fork\non_exit = hooks_of_test.on_exit\nchild_exit = hooks_of_test.child_exit"
    )
    assert [str(problem) for problem in hook_problems(resolved)] == [
        "prod.ini:3 [server:main] pre_fork: hooks_of_test.pre_fork must take 2 arguments: server, worker",
        "prod.ini:5 [server:main] child_exit: hooks_of_test.child_exit can't be imported: AttributeError: module "
        "'hooks_of_test' has no attribute 'child_exit'",
    ]


def test_settings_without_a_file_are_named_all_the_same() -> None:
    from paste_unicorn.settings.resolve import Source, resolve

    resolved = resolve({"wrokers": "4"}, Source(None, "server:main"), {})
    assert [str(problem) for problem in resolved.problems] == [
        'settings [server:main] wrokers: unknown setting; did you mean "workers"?'
    ]
