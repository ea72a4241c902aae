"""What is said about mistakes: whole lines, as an operator reads them, and all of a file at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from paste_unicorn.settings.resolve import Resolved

Read = Callable[..., Resolved]

AT = "prod.ini:3 [server:main]"
NO_SYSLOG = (
    "not an address of a syslog daemon; give udp://HOST:PORT, tcp://HOST:PORT, unix:///dev/log or "
    "unix:///dev/log#stream"
)

# Lines of the section, and the errors that they give.
BAD = [
    ("wrokers = 4", [f'{AT} wrokers: unknown setting; did you mean "workers"?']),
    ("Time-Out = x", [
        f'{AT} Time-Out: unknown setting; did you mean "timeout"?',
    ]),
    ("zzz = 1", [f"{AT} zzz: unknown setting; docs/settings.md has all names"]),
    ("workers = many", [
        f'{AT} workers: "many" is not a number; give a whole number of processes from 1 to 512, for example 4, or '
        f'"auto"',
    ]),
    ("workers = 0", [
        f'{AT} workers: 0 is too small; give a whole number of processes from 1 to 512, for example 4, or "auto"',
    ]),
    ("workers = 4 ; four of them", [
        f'{AT} workers: "4 ; four of them" is not a number; give a whole number of processes from 1 to 512, for '
        'example 4, or "auto"; a comment needs a line of its own',
    ]),
    ("timeout = soon", [f'{AT} timeout: "soon" is not a duration; give seconds, for example 30, or 250ms, 5m, 1h']),
    ("timeout = -1", [f'{AT} timeout: "-1" is not a duration; give seconds, for example 30, or 250ms, 5m, 1h']),
    ("header_timeout = 0", [f"{AT} header_timeout: 0 is too short; give 0.1 seconds or more"]),
    ("limit_request_body = big", [
        f'{AT} limit_request_body: "big" is not a size; give bytes, for example 8190, or 64k, 16m, 1g',
    ]),
    ("limit_request_line = 2m", [f"{AT} limit_request_line: 2m is too large; give 1048576 bytes or less"]),
    ("capture_output = maybe", [
        f'{AT} capture_output: "maybe" is neither yes nor no; give true or false (yes, no, on, off, 1, 0 do as well)',
    ]),
    ("umask = 0999", [f'{AT} umask: "0999" is not a mode; give octal digits, for example 0o022']),
    ("umask = 02777", [f"{AT} umask: 02777: not a mode; give octal digits from 0o000 to 0o777"]),
    ("umask = 777", [
        f"{AT} umask: 777 has no leading zero, so it is decimal, that is 0o1411: not a mode; give octal digits from "
        "0o000 to 0o777",
    ]),
    ("backlog = 0", [f"{AT} backlog: 0 is too small; give a whole number from 1 to 2147483647"]),
    ("syslog_addr = foo", [f'{AT} syslog_addr: "foo" is {NO_SYSLOG}']),
    ("log_syslog_to = unix:///dev/log#what", [f'{AT} log_syslog_to: "unix:///dev/log#what" is {NO_SYSLOG}']),
    ("errorlog = syslog:foo\naccesslog = syslog:http://x", [
        f'{AT} errorlog: "foo" is {NO_SYSLOG}',
        f'prod.ini:4 [server:main] accesslog: "http://x" is {NO_SYSLOG}',
    ]),
    ("syslog_addr = udp://a:70000", [
        f'{AT} syslog_addr: "udp://a:70000": "70000" is not a port; give a number from 1 to 65535',
    ]),
    ("syslog_addr = udp://a:0", [f'{AT} syslog_addr: "udp://a:0": a daemon has a port from 1 to 65535']),
    ("loglevel = loud", [
        f'{AT} loglevel: "loud" is not known; give one of debug, info, warning, error, critical',
    ]),
    ("header_map = keep", [f'{AT} header_map: "keep" is not known; give one of drop, refuse, dangerous']),
    ("user = no-such-user", [
        f'{AT} user: there is no user "no-such-user" on this machine; give a name or a number',
    ]),
    ("pre_fork = nonsense", [
        f'{AT} pre_fork: "nonsense" is not a dotted name; give module and function, for example mysite.hooks.pre_fork',
    ]),
    ("raw_env = NAME", [f'{AT} raw_env: "NAME" has no = in it; give one NAME=value a line']),
    ("forwarded_allow_ips = 10.0.0.1, proxy.local", [
        f"{AT} forwarded_allow_ips: \"proxy.local\" is not an address or a network ('proxy.local' does not appear to "
        f"be "
        "an IPv4 or IPv6 address); give for example 10.0.0.7, 10.0.0.0/8, unix: or *",
    ]),
    ("forwarded_allow_ips = 10.0.0.1/8", [
        f'{AT} forwarded_allow_ips: "10.0.0.1/8" is not an address or a network (10.0.0.1/8 has host bits set); give '
        "for example 10.0.0.7, 10.0.0.0/8, unix: or *",
    ]),
    ("forwarder_headers = A B", [f'{AT} forwarder_headers: "A B" is not the name of a header field']),
    ("server_header = caf\u00e9", [
        f'{AT} server_header: "caf\u00e9" can\'t stand in a header field; give printable ASCII',
    ]),
    ("logconfig_dict = {}", [
        f"{AT} logconfig_dict: a dictionary can't be written in an ini file; set it in the config .py, or use "
        "logconfig_json",
    ]),
    ("warmup = FOO BAR BAZ", [
        f'{AT} warmup: "FOO BAR BAZ" is not a request; give a path, a method and a path, or a URL: /, or HEAD '
        "/shop?page=1, or GET https://site.example/",
    ]),
    ("warmup = /, POST /login", [
        f'{AT} warmup: "POST /login": a warm-up has no body and must change nothing, so "POST" can\'t be its method; '
        "give GET, HEAD or OPTIONS",
    ]),
    ("warmup = index.html", [
        f'{AT} warmup: "index.html": "index.html" is neither a path nor a URL; give /, or HEAD /shop?page=1, or GET '
        "https://site.example/",
    ]),
    ("warmup = /caf\u00e9", [
        f'{AT} warmup: "/caf\u00e9": "\u00e9" can\'t stand there as it is; write %C3%A9 (in an ini file each % is '
        "doubled)",
    ]),
    ("warmup = http://user@site.example/", [
        f'{AT} warmup: "http://user@site.example/": "user@site.example" is not a host; give for example '
        "https://site.example/",
    ]),
    ("warmup_required = perhaps", [
        f'{AT} warmup_required: "perhaps" is neither yes nor no; give true or false (yes, no, on, off, 1, 0 do as '
        "well)",
    ]),
    # Where to listen.
    ("bind = 8080", [f'{AT} bind: "8080" is only a number; give host:port, for example 127.0.0.1:8080']),
    ("bind = localhost:http", [
        f'{AT} bind: "localhost:http": "http" is not a port; give a number from 1 to 65535',
    ]),
    ("bind = 127.0.0.1:70000", [
        f'{AT} bind: "127.0.0.1:70000": "70000" is not a port; give a number from 1 to 65535',
    ]),
    ("bind = [::1:80", [f'{AT} bind: "[::1:80" has a bracket too few; give for example [::1]:8000']),
    ("bind = [fe80::x]:80", [
        f'{AT} bind: "[fe80::x]:80" is not an IPv6 address; give for example [::1]:8000',
    ]),
    ("bind = unix:", [f'{AT} bind: "unix:" has no path; give for example unix:/run/app.sock, or unix:@app']),
    ("bind = fd://x", [f'{AT} bind: "fd://x" names no descriptor; give for example fd://3']),
    ("bind = a:1 a:1", [f'{AT} bind: "a:1" is there twice; give each address once']),
    ("bind = 127.0.0.1:80?tls=on", [
        f'{AT} bind: "127.0.0.1:80?tls=on": options of a single address are not there yet; leave out what follows the '
        f'?',
    ]),
    ("port = http", [f'{AT} port: "http": "http" is not a port; give a number from 1 to 65535']),
    ("bind = :80\nhost = ::1\nport = 81", [
        "prod.ini:4 [server:main] host: bind (line 3) says where to listen already; keep one of the two",
        "prod.ini:5 [server:main] port: bind (line 3) says where to listen already; keep one of the two",
    ]),
    ("host = 127.0.0.1:80\nport = 81", [
        'prod.ini:4 [server:main] port: "127.0.0.1:80" in host (line 3) leaves no room for the port 81',
    ]),
    # Two names for one thing.
    ("keepalive = 5\nKeep-Alive = 6", [
        'prod.ini:4 [server:main] Keep-Alive: "6", but line 3 says keepalive = 5, and both are "keepalive"; keep one',
    ]),
    ("connection_limit = 50\nworker_connections = 60", [
        'prod.ini:4 [server:main] worker_connections: "60", but line 3 says connection_limit = 50, and both are '
        '"worker_connections"; keep one',
    ]),
    ("listen = *:80\nbind = *:81", [
        'prod.ini:4 [server:main] bind: "*:81", but line 3 says listen = *:80, and both are "bind"; keep one',
    ]),
    # What can't be passed over.
    ("worker_class = uvicorn.workers.UvicornWorker", [
        f'{AT} worker_class: "uvicorn.workers.UvicornWorker" runs applications of its own kind; a WSGI application, as '
        "Paste loads it, runs under sync",
    ]),
    ("worker_class = tornado", [
        f'{AT} worker_class: "tornado" runs applications of its own kind; a WSGI application, as Paste loads it, runs '
        "under sync",
    ]),
    ("worker_class = quick", [
        f'{AT} worker_class: "quick" is not known; give one of sync, threads, gevent, eventlet',
    ]),
    ("certfile = /etc/cert.pem", [
        f'{AT} certfile: not there yet, so "/etc/cert.pem" is refused; let a proxy in front (nginx, HAProxy) speak TLS '
        "meanwhile",
    ]),
    ("ssl_pem = *", [
        f'{AT} ssl_pem: "*" makes a certificate at each start, which no client can trust; give the file of one',
    ]),
    ("proxy_protocol = on", [
        f'{AT} proxy_protocol: not there yet, so "on" is refused; switch it off in the proxy too',
    ]),
    ("trusted_proxy_headers = x-forwarded-for", [
        f'{AT} trusted_proxy_headers: not there yet, so "x-forwarded-for" is refused; the application would take the '
        "proxy for the client; read X-Forwarded-For in the application meanwhile",
    ]),
    ("protocol = uwsgi", [
        f'{AT} protocol: "uwsgi" is uWSGI\'s own protocol, which is not spoken here; in nginx write proxy_pass '
        "http://... for uwsgi_pass",
    ]),
    ("http_protocols = h2", [
        f'{AT} http_protocols: "h2" leaves out HTTP/1.1, which is all that is served here; let a proxy speak HTTP/2',
    ]),
    ("dirty_workers = 2", [
        f'{AT} dirty_workers: "2" is not supported; give long tasks to a task queue (Celery, RQ) or a daemon of their '
        f'own',
    ]),
    ("logger_class = mysite.Logger", [
        f'{AT} logger_class: "mysite.Logger" can\'t be loaded here; configure the standard logging instead, by '
        f'[loggers] '
        "in the ini or logconfig",
    ]),
    # Words of uWSGI.
    ("processes = 4", [f'{AT} processes: unknown setting; that is uWSGI\'s name; write "workers"']),
    ("harakiri = 30", [
        f'{AT} harakiri: unknown setting; that is uWSGI\'s name; write "request_timeout", or "timeout" for the sync '
        f'worker',
    ]),
    ("reload-on-rss = 200", [
        f'{AT} reload-on-rss: unknown setting; that is uWSGI\'s name; write "max_worker_memory"',
    ]),
    ("cheaper = 2", [
        f'{AT} cheaper: unknown setting; that is uWSGI\'s name; the number of workers is fixed; write "workers"',
    ]),
    ("buffer-size = 8192", [
        f'{AT} buffer-size: unknown setting; that is uWSGI\'s name; write "limit_request_head"',
    ]),
    ("die-on-term = true", [
        f"{AT} die-on-term: unknown setting; that is uWSGI's name; leave it out: TERM stops this server anyway",
    ]),
    # Files.
    ("config = conf.py", ['prod.ini:3 [server:main] config: there is no file "conf.py" ({folder}/conf.py)']),
    ("logconfig = log.ini", ['prod.ini:3 [server:main] logconfig: there is no file "log.ini" ({folder}/log.ini)']),
    ("chdir = nowhere", [
        f'{AT} chdir: "nowhere" is not a folder ({{folder}}/nowhere); make it, or give another one',
    ]),
    ("pidfile = run/app.pid", [
        f'{AT} pidfile: "run/app.pid" can\'t be made: there is no folder {{folder}}/run',
    ]),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "errors"), BAD, ids=[case[0].splitlines()[0] for case in BAD])
def test_a_mistake_is_one_line_that_says_what_to_write(read: Read, folder: Path, lines: str, errors: list[str]) -> None:
    resolved = read(lines)
    assert [str(problem) for problem in resolved.problems] == [
        error.replace("{folder}", str(folder)) for error in errors
    ]
    assert resolved.settings is None


def test_all_mistakes_are_told_at_once_in_the_order_of_lines(read: Read) -> None:
    resolved = read(
        """
        workers = many
        bind = 8080
        wrokers = 4
        timeout = soon
        worker_class = quick
        """
    )
    assert [problem.place.line for problem in resolved.problems] == [3, 4, 5, 6, 7]


def test_unknown_settings_may_be_a_warning(read: Read) -> None:
    resolved = read("unknown_settings = warn\nwrokers = 4")
    assert resolved.settings is not None
    assert [(note.level, str(note)) for note in resolved.notes] == [
        ("warning", 'prod.ini:4 [server:main] wrokers: unknown setting; did you mean "workers"?')
    ]


def test_names_that_begin_with_x_are_nobodys_business(read: Read) -> None:
    resolved = read("x_colour = red\nX-Shape = round")
    assert (resolved.problems, resolved.notes) == ((), ())


CONFIG_FILES = [
    ("1 +", 'prod.ini:3 [server:main] config: "conf.py" is not Python: invalid syntax (line 1)'),
    ("\nx = undefined", 'prod.ini:3 [server:main] config: "conf.py" raised NameError: name \'undefined\' is not '
     "defined (line 2)"),
    ("raise SystemExit(3)", 'prod.ini:3 [server:main] config: "conf.py" raised SystemExit: 3 (line 1)'),
    ("workers = 'many'", 'conf.py:1 workers: "many" is not a number; give a whole number of processes from 1 to 512, '
     'for example 4, or "auto"'),
    ("def pre_fork(server): pass", "conf.py:1 pre_fork: pre_fork must take 2 arguments: server, worker"),
    ("bind = [8080]", 'conf.py:1 bind: "8080" is only a number; give host:port, for example 127.0.0.1:8080'),
    ("timeout = {}", 'conf.py:1 timeout: "{}" does not fit here; give a duration'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "error"), CONFIG_FILES)
def test_a_config_file_that_can_not_be_used_is_named(read: Read, folder: Path, text: str, error: str) -> None:
    (folder / "conf.py").write_text(text)
    assert [str(problem) for problem in read("config = conf.py").problems] == [error]


def test_a_config_file_in_another_encoding_is_named(read: Read, folder: Path) -> None:
    (folder / "conf.py").write_bytes(b"x = '\xe4'\n")
    (problem,) = read("config = conf.py").problems
    assert str(problem).startswith('prod.ini:3 [server:main] config: "conf.py" is not Python: ')
