"""Names from other servers: the row that each means here, or the advice that it gets.

A name is accepted only from this table, never guessed. The other spellings of our own rows stand with the
rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..kinds import OFF, ON, quoted


@dataclass(frozen=True)
class Elsewhere:
    """A name of another server. With `rows` it means them; without, `sentence` is said at `level`."""

    name: str
    server: str
    rows: tuple[str, ...] = ()
    sentence: str = ""
    level: str = "info"
    translate: Callable[[str], str] = str
    only_when_on: bool = False  # a switch that needs no line when it is off


def _inverted(text: str) -> str:
    word = text.lower()
    if word not in ON | OFF:
        raise ValueError(f"{quoted(text)} is neither yes nor no; give true or false")
    return "false" if word in ON else "true"


def _one_pem(text: str) -> str:
    if text == "*":
        raise ValueError('"*" makes a certificate at each start, which no client can trust; give the file of one')
    return text


def _mask_of_modes(text: str) -> str:
    try:
        return f"0o{0o777 & ~int(text, 8):03o}"
    except ValueError:
        raise ValueError(f"{quoted(text)} is not a mode; give octal digits, for example 660") from None


def _means(server: str, name: str, *rows: str, translate: Callable[[str], str] = str, sentence: str = "") -> Elsewhere:
    return Elsewhere(name, server, rows, sentence, translate=translate)


def _idle(server: str, names: str, sentence: str, level: str = "info", only_when_on: bool = False) -> list[Elsewhere]:
    return [Elsewhere(name, server, (), sentence, level, only_when_on=only_when_on) for name in names.split()]


def _advice(server: str, name: str, sentence: str) -> Elsewhere:
    return Elsewhere(name, server, (), sentence, "error")


_NAMES = [
    _means("", "no_sendfile", "sendfile", translate=_inverted),
    # waitress
    _means("waitress", "listen", "bind"),
    _means("waitress", "unix_socket", "bind", translate=lambda text: f"unix:{text}"),
    _means("waitress", "unix_socket_perms", "umask", translate=_mask_of_modes),
    _means("waitress", "connection_limit", "worker_connections"),
    _means("waitress", "channel_timeout", "keepalive"),
    _means("waitress", "max_request_header_size", "limit_request_head"),
    _means("waitress", "max_request_body_size", "limit_request_body"),
    _means("waitress", "inbuf_overflow", "spool_request_body"),
    _means("waitress", "outbuf_high_watermark", "response_buffer"),
    _means("waitress", "trusted_proxy", "forwarded_allow_ips"),
    _means("waitress", "ident", "server_header"),
    *_idle("waitress", "outbuf_overflow", "response_buffer bounds what a slow reader has not taken"),
    *_idle("waitress", "clear_untrusted_proxy_headers log_untrusted_proxy_headers",
           "forwarded fields of peers that are not trusted change nothing"),
    *_idle("waitress", "server_name", "SERVER_NAME comes from the address that was bound"),
    *_idle("waitress", "ipv4 ipv6", "the addresses of bind decide"),
    *_idle("waitress", "expose_tracebacks", "tracebacks go to the error log, never to clients", "warning",
    only_when_on=True),
    *_idle("waitress", "recv_bytes send_bytes cleanup_interval asyncore_use_poll asyncore_loop_timeout "
           "log_socket_errors channel_request_lookahead", "there is nothing to tune here"),
    # Paste#http
    _means("Paste#http", "threadpool_workers", "threads"),
    _means("Paste#http", "request_queue_size", "backlog"),
    _means("Paste#http", "socket_timeout", "body_timeout", "send_timeout"),
    _means("Paste#http", "ssl_pem", "certfile", translate=_one_pem),
    _means("Paste#http", "server_version", "server_header"),
    _means("Paste#http", "threadpool_kill_thread_limit", "request_timeout"),
    *_idle("Paste#http", "threadpool_max_requests",
           "it counts requests of a thread; max_requests counts those of a process", "warning"),
    *_idle("Paste#http", "threadpool_hung_thread_limit",
           "request_timeout logs the tracebacks of a request that runs for longer, and ends it", "warning"),
    *_idle("Paste#http", "use_threadpool", "worker_class and threads decide"),
    *_idle("Paste#http", "protocol_version daemon_threads threadpool_dying_limit threadpool_spawn_if_under "
           "threadpool_max_zombie_threads_before_die threadpool_hung_check_period error_email "
           "threadpool_options ssl_context_options", "there is nothing to tune here"),
    # Pyramid's and gearbox' cherrypy
    _means("cherrypy", "numthreads", "threads"),
    _means("cherrypy", "ssl_certificate", "certfile"),
    _means("cherrypy", "ssl_private_key", "keyfile"),
    # Words of uWSGI: not accepted, since they come with others whose meaning differs, but answered.
    _advice("uWSGI", "processes", 'write "workers"'),
    _advice("uWSGI", "harakiri", 'write "request_timeout", or "timeout" for the sync worker'),
    _advice("uWSGI", "reload_on_rss", 'write "max_worker_memory"'),
    _advice("uWSGI", "evil_reload_on_rss", 'write "max_worker_memory"'),
    _advice("uWSGI", "cheaper", 'the number of workers is fixed; write "workers"'),
    _advice("uWSGI", "buffer_size", 'write "limit_request_head"'),
    _advice("uWSGI", "post_buffering", 'write "spool_request_body"'),
    _advice("uWSGI", "die_on_term", "leave it out: TERM stops this server anyway"),
    _advice("uWSGI", "socket", 'write "bind"'),
    _advice("uWSGI", "http_socket", 'write "bind"'),
    _advice("uWSGI", "max_worker_lifetime_delta", 'write "max_worker_lifetime_jitter"'),
    _advice("uWSGI", "reload_mercy", 'write "graceful_timeout"'),
    _advice("uWSGI", "uid", 'write "user"'),
    _advice("uWSGI", "gid", 'write "group"'),
    _advice("uWSGI", "limit_post", 'write "limit_request_body"'),
]  # fmt: skip

ELSEWHERE: Mapping[str, Elsewhere] = {each.name: each for each in _NAMES}
