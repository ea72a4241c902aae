"""Which names are known, how they may be spelled, and what is said about each."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from paste_unicorn.settings.given import KNOWN, SPELLINGS
from paste_unicorn.settings.resolve import Resolved
from paste_unicorn.settings.row import Stage
from paste_unicorn.settings.table import without_effect
from paste_unicorn.settings.table.elsewhere import ELSEWHERE
from paste_unicorn.settings.table.whole import PARTS, ROWS, Settings

Read = Callable[..., Resolved]

# Every name that a file for this egg may carry today.
UPSTREAM = [
    "access_log_format", "accesslog", "asgi_disconnect_grace_period", "asgi_lifespan", "asgi_loop", "backlog",
    "bind", "ca_certs", "capture_output", "casefold_http_method", "cert_reqs", "certfile", "chdir",
    "check_config", "child_exit", "ciphers", "config", "control_socket", "control_socket_disable",
    "control_socket_mode", "daemon", "default_proc_name", "dirty_apps", "dirty_graceful_timeout",
    "dirty_post_fork", "dirty_threads", "dirty_timeout", "dirty_worker_exit", "dirty_worker_init",
    "dirty_workers", "disable_redirect_access_to_syslog", "do_handshake_on_connect", "dogstatsd_tags",
    "enable_backlog_metric", "enable_stdio_inheritance", "errorlog", "forwarded_allow_ips",
    "forwarder_headers", "graceful_timeout", "group", "header_map", "http2_cleartext",
    "http2_initial_window_size", "http2_max_concurrent_streams", "http2_max_frame_size",
    "http2_max_header_list_size", "http_parser", "http_protocols", "initgroups", "keepalive", "keyfile",
    "limit_request_field_size", "limit_request_fields", "limit_request_line", "logconfig", "logconfig_dict",
    "logconfig_json", "logger_class", "loglevel", "max_requests", "max_requests_jitter", "nworkers_changed",
    "on_dirty_starting", "on_exit", "on_reload", "on_starting", "paste", "permit_obsolete_folding",
    "permit_unconventional_http_method", "permit_unconventional_http_version", "pidfile", "post_fork",
    "post_request", "post_worker_init", "pre_exec", "pre_fork", "pre_request", "preload_app", "print_config",
    "proc_name", "protocol", "proxy_allow_ips", "proxy_protocol", "pythonpath", "raw_env",
    "raw_paste_global_conf", "reload", "reload_engine", "reload_extra_files", "reuse_port", "root_path",
    "secure_scheme_headers", "sendfile", "spew", "ssl_context", "ssl_version", "statsd_host", "statsd_prefix",
    "strip_header_spaces", "suppress_ragged_eofs", "syslog", "syslog_addr", "syslog_facility",
    "syslog_prefix", "threads", "timeout", "tmp_upload_dir", "umask", "user", "uwsgi_allow_ips",
    "websocket_max_message_size", "when_ready", "worker_abort", "worker_class", "worker_connections",
    "worker_exit", "worker_int", "worker_tmp_dir", "workers", "wsgi_app",
]  # fmt: skip

# A value that such a file may well have, where the default says nothing.
SAMPLES = {
    "bind": "127.0.0.1:0", "workers": "2", "worker_connections": "10", "max_requests": "1000",
    "max_requests_jitter": "50", "timeout": "3600", "graceful_timeout": "10", "keepalive": "5",
    "limit_request_line": "8000", "limit_request_fields": "50", "limit_request_field_size": "16000",
    "reload": "true", "reload_engine": "poll", "reload_extra_files": "a.txt, b.txt", "spew": "true",
    "preload_app": "false", "sendfile": "false", "reuse_port": "true", "chdir": ".", "raw_env": "A=b",
    "pidfile": "app.pid", "worker_tmp_dir": "/dev/shm", "umask": "0022", "initgroups": "true",
    "tmp_upload_dir": ".", "secure_scheme_headers": "X-FORWARDED-PROTO = https",
    "forwarded_allow_ips": "*", "pythonpath": "lib, src", "paste": "x.ini", "wsgi_app": "a:b",
    "forwarder_headers": "SCRIPT_NAME", "header_map": "refuse", "root_path": "/x", "accesslog": "-",
    "access_log_format": "common", "loglevel": "warning", "capture_output": "yes", "syslog": "on",
    "syslog_addr": "unix:///dev/log", "syslog_prefix": "app", "syslog_facility": "local0",
    "statsd_host": "localhost:8125", "dogstatsd_tags": "a:b", "statsd_prefix": "app",
    "enable_backlog_metric": "true", "proc_name": "app", "http_protocols": "h2,h1", "http2_cleartext": "on",
    "dirty_apps": "a:B", "dirty_timeout": "10", "control_socket": "app.ctl", "ciphers": "HIGH",
    "control_socket_mode": "0660", "control_socket_disable": "true", "protocol": "http", "backlog": "100",
    "logger_class": "gunicorn.glogging.Logger", "permit_obsolete_folding": "true", "strip_header_spaces": "true",
    "casefold_http_method": "true", "http_parser": "python", "asgi_loop": "uvloop", "pre_fork": "a.b",
    "post_request": "a:b", "enable_stdio_inheritance": "true", "raw_paste_global_conf": "a=b",
    "default_proc_name": "x", "worker_class": "sync", "threads": "1", "dirty_workers": "0",
    "proxy_protocol": "off", "uwsgi_allow_ips": "*", "ssl_version": "TLSv1_2", "disable_redirect_access_to_syslog": "1",
}  # fmt: skip


def test_every_name_of_existing_files_is_known() -> None:
    assert len(UPSTREAM) == 120
    assert [name for name in UPSTREAM if name not in KNOWN] == []


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_what_existing_files_say_does_not_stop_a_start(read: Read, name: str) -> None:
    resolved = read(f"{name} = {SAMPLES[name]}")
    assert resolved.problems == ()
    assert resolved.settings is not None


def test_a_name_means_one_thing() -> None:
    spellings = [name for row in KNOWN.values() for name in (row.name, *row.also)] + list(ELSEWHERE)
    assert sorted(spellings) == sorted(set(spellings))


def test_names_of_other_servers_mean_rows_that_exist() -> None:
    assert {row for each in ELSEWHERE.values() for row in each.rows} <= set(ROWS)


def test_every_row_that_does_nothing_says_what_to_do() -> None:
    rows = [*ROWS.values(), *without_effect.ROWS.values()]
    assert [row.name for row in rows if row.stage is not Stage.WORKS and not row.advice] == []


def test_the_default_of_every_row_is_a_value_that_an_ini_could_give(read: Read) -> None:
    shown = {name: row.kind.show(row.default).replace("%", "%%") for name, row in ROWS.items()}
    shown["secure_scheme_headers"] = shown["secure_scheme_headers"].replace(", ", "\n  ")
    resolved = read("\n".join(f"{name} = {text}" for name, text in shown.items() if text))
    assert resolved.problems == ()
    assert resolved.settings == Settings()


def test_every_field_of_the_parts_is_a_row() -> None:
    fields = sum(len(part.__dataclass_fields__) for part in PARTS.values())
    assert fields == len(ROWS)


@pytest.mark.parametrize("written", ["workers", "Workers", "WORKERS"])
def test_names_may_be_written_in_any_case(read: Read, written: str) -> None:
    resolved = read(f"{written} = 3")
    assert resolved.settings is not None
    assert resolved.settings.processes.workers == 3


@pytest.mark.parametrize(
    ("lines", "name", "value"),
    [
        ("graceful-timeout = 7", "graceful_timeout", 7.0),
        ("access_logfile = -", "accesslog", "-"),
        ("access_logformat = json", "access_log_format", "json"),
        ("error_logfile = -", "errorlog", "-"),
        ("log_file = -", "errorlog", "-"),
        ("log_level = debug", "loglevel", "debug"),
        ("log_syslog = true", "syslog", True),
        ("log_syslog_to = unix:///dev/log", "syslog_addr", "unix:///dev/log"),
        ("log_syslog_prefix = app", "syslog_prefix", "app"),
        ("log_syslog_facility = daemon", "syslog_facility", "daemon"),
        ("keep_alive = 9", "keepalive", 9.0),
        ("keep-alive = 9", "keepalive", 9.0),
        ("name = app", "proc_name", "app"),
        ("env = A=b", "raw_env", (("A", "b"),)),
        ("no_sendfile = true", "sendfile", False),
        ("max_request_body_size = 1g", "limit_request_body", 1 << 30),
        ("max_request_header_size = 64k", "limit_request_head", 65536),
        ("channel_timeout = 120", "keepalive", 120.0),
        ("connection_limit = 100", "worker_connections", 100),
        ("inbuf_overflow = 524288", "spool_request_body", 524288),
        ("outbuf_high_watermark = 16777216", "response_buffer", 1 << 24),
        ("ident =", "server_header", ""),
        ("unix_socket_perms = 660", "umask", 0o117),
        ("request_queue_size = 5", "backlog", 5),
        ("server_version = WSGIServer/1", "server_header", "WSGIServer/1"),
        ("threadpool_kill_thread_limit = 60", "request_timeout", 60.0),
    ],
)
def test_other_spellings_mean_our_rows(read: Read, lines: str, name: str, value: object) -> None:
    resolved = read(lines)
    assert resolved.settings is not None
    assert resolved.settings.flat()[name] == value


def test_one_name_of_another_server_may_mean_two_rows(read: Read) -> None:
    resolved = read("socket_timeout = 12")
    assert resolved.settings is not None
    assert (resolved.settings.requests.body_timeout_s, resolved.settings.requests.send_timeout_s) == (12.0, 12.0)


AT = "prod.ini:3 [server:main]"
NOTES = [
    ("connection_limit = 5", "info", f'{AT} connection_limit: waitress\'s name; it means "worker_connections" here'),
    ("socket_timeout = 5", "info",
     f'{AT} socket_timeout: Paste#http\'s name; it means "body_timeout" and "send_timeout" here'),
    ("recv_bytes = 5", "info", f"{AT} recv_bytes: waitress's name; no effect here: there is nothing to tune here"),
    ("expose_tracebacks = true", "warning", f"{AT} expose_tracebacks: waitress's name; no effect here: tracebacks go "
    f"to "
     "the error log, never to clients"),
    ("threadpool_max_requests = 5", "warning", f"{AT} threadpool_max_requests: Paste#http's name; no effect here: it "
     "counts requests of a thread; max_requests counts those of a process"),
    ("reload = true", "warning", f"{AT} reload: not there yet: `paster serve --reload` is what works today"),
    ("reload_canary = 5s", "warning",
     f"{AT} reload_canary: not there yet: a new generation serves for good as soon as its workers are ready"),
    ("on_reload = a.b", "", ""),
    ("reload_mode = retire_first\nupgrade = auto", "", ""),
    ("wsgi_app = a:b", "warning", f"{AT} wsgi_app: no effect: the application comes from [app:...] in the ini"),
    ("preload_app = false", "info",
     f"{AT} preload_app: no effect: the application is always loaded before the workers fork"),
    ("http_protocols = h2, h1", "warning", f"{AT} http_protocols: no effect: HTTP/1.1 is served to all of them"),
    ("sendfile = true", "warning", f"{AT} sendfile: true means true here; the other server of this egg name switches "
     "sendfile off for any value"),
    ("umask = 22", "warning", f"{AT} umask: 22 has no leading zero, so it is decimal, that is 0o026; write 0o22 if "
    f"that "
     "was meant"),
    ("umask = 18", "warning", f"{AT} umask: 18 has no leading zero, so it is decimal, that is 0o022; write 0o022, "
     "which says so"),
    ("umask = 7", "", ""),
    ("max_requests_jitter = 50", "warning", f"{AT} max_requests_jitter: no effect without max_requests"),
    ("max_worker_lifetime_jitter = 5m", "warning",
     f"{AT} max_worker_lifetime_jitter: no effect without max_worker_lifetime"),
    ("max_requests = 500\nmax_requests_jitter = 50\nmax_worker_lifetime_jitter = 0", "", ""),
    ("header_map = dangerous", "warning", f"{AT} header_map: dangerous lets any client set fields that look as if a "
    f"proxy "
     "had set them; drop is safe"),
    ("daemon = true", "warning",
     f"{AT} daemon: `paster serve --daemon` does this better, with a log and a pid file"),
    ("initgroups = true", "warning", f"{AT} initgroups: no effect without user"),
    ("limit_request_head = 2000", "warning",
     f"{AT} limit_request_head: 2000 is less than limit_request_line, 4094, which so never counts"),
    ("x_mine = 1", "", ""),
    ("preload_app = true", "", ""),
    ("control_socket_disable = true", "", ""),
    ("expose_tracebacks = false", "", ""),
    ("http_protocols = h1", "", ""),
    ("protocol = http", "", ""),
    ("max_requests = 0", "", ""),
    ("max_requests = 1000\nmax_worker_memory_kind = rss", "", ""),
    ("threads = 1\nworker_class = gunicorn.workers.sync.SyncWorker", "", ""),
    ("worker_class = gevent\nthreads = 4", "warning",
     "prod.ini:4 [server:main] threads: no effect with worker_class = gevent"),
    ("dirty_workers = 0", "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "level", "line"), NOTES, ids=[case[0] for case in NOTES])
def test_what_is_taken_otherwise_than_meant_has_one_line(read: Read, lines: str, level: str, line: str) -> None:
    resolved = read(lines)
    assert resolved.problems == ()
    assert [(note.level, str(note)) for note in resolved.notes] == ([(level, line)] if line else [])


def test_no_advice_names_a_setting_that_is_not_there_yet() -> None:
    later = {name for name, row in ROWS.items() if row.stage in (Stage.LATER, Stage.LATER_REFUSED)}
    later |= {other for name in later for other in ROWS[name].also}
    advice = {name: row.advice for name, row in KNOWN.items()}
    advice |= {name: each.sentence for name, each in ELSEWHERE.items()}
    # A word alone is a name only where it is marked as one: "reload" is what HUP does as well.
    named = {name: set(re.findall(r"\w+_\w+|(?<=[\"`])\w+(?=[\"`])", text)) for name, text in advice.items()}
    assert {name: words & later for name, words in named.items() if words & later} == {}


def test_a_name_of_another_server_means_what_works_or_is_refused_until_it_does() -> None:
    rows = {name: [row for row in each.rows if ROWS[row].stage is Stage.LATER] for name, each in ELSEWHERE.items()}
    assert {name: later for name, later in rows.items() if later} == {}


def test_spellings_are_lower_case_with_underscores() -> None:
    assert [name for name in [*SPELLINGS, *ELSEWHERE] if name != name.lower() or "-" in name] == []
