"""The rows that existing files may carry and that mean nothing here: accepted with one line, or refused with
advice.

They have no field, since nobody may use them; a hook that looks at `cfg` finds the value that holds here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..kinds import Choice, Kind, MaybeText, Switch, Text, Whole
from ..row import Row, Stage
from ..words import Anything, LoggerClass, Protocols

_ASGI = "this is a WSGI server"
_NEVER = "such requests are always refused"
_HTTP2 = "HTTP/1.1 is what is spoken here; let a proxy speak HTTP/2"
_DIRTY = "there are no dirty workers here"


def _idle(
    name: str, kind: Kind[Any], default: object, why: str, *, info: bool = False,
    also: tuple[str, ...] = (), harmless: tuple[object, ...] = (),
) -> Row[Any]:  # fmt: skip
    return Row(
        name, kind, default, why[0].upper() + why[1:] + ".", also, Stage.IGNORED, why, harmless,
        empty=default, level="info" if info else "warning",
    )  # fmt: skip


def _refused(
    name: str, kind: Kind[Any], default: object, text: str, advice: str, harmless: tuple[object, ...] = ()
) -> Row[Any]:
    return Row(name, kind, default, text, stage=Stage.REFUSED, advice=advice, harmless=harmless, empty=default)


ROWS: Mapping[str, Row[Any]] = {row.name: row for row in (
    _idle("wsgi_app", MaybeText(), None, "the application comes from [app:...] in the ini"),
    _idle("paste", MaybeText(), None, "the ini is the one that the runner was given"),
    _idle("raw_paste_global_conf", Anything(), None, "give name=value after the ini on the runner's command "
    "line",
          also=("paste_global",)),
    _idle("preload_app", Switch(), True,
          "the application is always loaded before the workers fork", info=True, also=("preload",)),
    _idle("worker_tmp_dir", MaybeText(), None, "workers beat in shared memory, without temporary files",
    info=True),
    _idle("default_proc_name", Text(), "gunicorn", "the ini file's name is shown; set proc_name for another",
    info=True),
    _idle("spew", Switch(), False, "tracing every line is not offered"),
    _idle("asgi_loop", Text(), "auto", _ASGI),
    _idle("asgi_lifespan", Text(), "auto", _ASGI),
    _idle("asgi_disconnect_grace_period", Whole(), 3, _ASGI),
    _idle("websocket_max_message_size", Whole(), 16777216, _ASGI),
    _idle("root_path", Text(), "", "it is for ASGI; url_prefix says where a WSGI application is mounted"),
    _idle("http_parser", Text(), "auto", "there is one parser here, llhttp", info=True),
    _idle("permit_obsolete_folding", Switch(), False, _NEVER),
    _idle("strip_header_spaces", Switch(), False, _NEVER),
    _idle("permit_unconventional_http_version", Switch(), False, _NEVER),
    _idle("permit_unconventional_http_method", Switch(), False,
          "methods that are registered for HTTP, and a few more, are served; all others are answered with 501"),
    _idle("casefold_http_method", Switch(), False, "methods are taken as they are (RFC 9110 §9.1)"),
    _idle("uwsgi_allow_ips", Anything(), "127.0.0.1,::1", "the uwsgi protocol is not spoken here",
          also=("uwsgi_allow_from",)),
    _idle("ssl_version", Anything(), None, "TLS is not spoken here; let a proxy in front choose its version",
          harmless=("2", 2)),
    _idle("do_handshake_on_connect", Switch(), False, "TLS handshakes never hold up a request"),
    _idle("http_protocols", Protocols(), ("h1",), "HTTP/1.1 is served to all of them"),
    _idle("http2_cleartext", Choice("off", "on", "auto", "upgrade", "prior-knowledge", "both", "true", same={
        "false": "off", "no": "off", "0": "off"}), "off", _HTTP2),
    _idle("http2_max_concurrent_streams", Whole(), 100, _HTTP2),
    _idle("http2_initial_window_size", Whole(), 65535, _HTTP2),
    _idle("http2_max_frame_size", Whole(), 16384, _HTTP2),
    _idle("http2_max_header_list_size", Whole(), 65536, _HTTP2),
    _idle("dirty_apps", Anything(), None, _DIRTY),
    _idle("dirty_timeout", Whole(), 300, _DIRTY),
    _idle("dirty_threads", Whole(), 1, _DIRTY),
    _idle("dirty_graceful_timeout", Whole(), 30, _DIRTY),
    _idle("on_dirty_starting", Anything(), None, _DIRTY),
    _idle("dirty_post_fork", Anything(), None, _DIRTY),
    _idle("dirty_worker_init", Anything(), None, _DIRTY),
    _idle("dirty_worker_exit", Anything(), None, _DIRTY),
    _idle("control_socket_disable", Switch(), False, "there is no control socket", harmless=(True,)),
    _refused("protocol", Choice("http", refused={
        "uwsgi": "is uWSGI's own protocol, which is not spoken here; in nginx write proxy_pass http://... "
        "for uwsgi_pass",
    }), "http", "The protocol of incoming connections.", "use http"),
    _refused("logger_class", LoggerClass(), LoggerClass.usual[0], "The class that logs.",
             "configure the standard logging", LoggerClass.usual),
    _refused("dirty_workers", Whole(), 0, "Workers for long tasks.",
             "give long tasks to a task queue (Celery, RQ) or a daemon of their own"),
)}  # fmt: skip
