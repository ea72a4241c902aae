"""PEP 3333, "environ Variables": complete, of the right types, and from the request at hand alone."""

from __future__ import annotations

import json

import pytest
from support.checks import check_good, environ_of, get, post
from support.server import Server, serve

HOST = b"Host: localhost"

TYPES = {
    "REQUEST_METHOD": "str",
    "SCRIPT_NAME": "str",
    "PATH_INFO": "str",
    "QUERY_STRING": "str",
    "SERVER_NAME": "str",
    "SERVER_PORT": "str",
    "SERVER_PROTOCOL": "str",
    "SERVER_SOFTWARE": "str",
    "REMOTE_ADDR": "str",
    "REMOTE_PORT": "str",
    "RAW_URI": "str",
    "HTTP_HOST": "str",
    "wsgi.version": "tuple",
    "wsgi.url_scheme": "str",
    "wsgi.multithread": "bool",
    "wsgi.multiprocess": "bool",
    "wsgi.run_once": "bool",
    "wsgi.input_terminated": "bool",
}


def test_environ_is_complete_and_typed(server: Server) -> None:
    environ = json.loads(check_good(server, get(HOST, target=b"/environ/a?b=c")).body)
    assert {name: kind for name, (kind, _) in environ.items() if name in TYPES} == TYPES


def test_environ_says_what_was_asked(server: Server) -> None:
    environ = environ_of(server, get(HOST, target=b"/environ/a%20b?c=%20d"))
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/environ/a b",
        "QUERY_STRING": "c=%20d",
        "RAW_URI": "/environ/a%20b?c=%20d",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": str(server.port),
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": "(1, 0)",
        "wsgi.url_scheme": "http",
        "wsgi.run_once": "False",
        "wsgi.input_terminated": "True",
    }
    assert {name: environ[name] for name in expected} == expected


def test_environ_has_everything_that_pep_3333_names(server: Server) -> None:
    environ = environ_of(server, get(HOST, target=b"/raw-environ"))
    assert {"wsgi.input", "wsgi.errors", "wsgi.file_wrapper", "wsgi.early_hints"} <= set(environ)


def test_environ_strings_are_native_and_hold_latin1_only(server: Server) -> None:
    data = get(HOST, b"X-Name: \xe2\x82\xac", target=b"/environ/%E2%82%AC")
    environ = environ_of(server, data)
    assert environ["PATH_INFO"].encode("latin-1").decode() == "/environ/\u20ac"
    assert environ["HTTP_X_NAME"].encode("latin-1").decode() == "\u20ac"


def test_protocol_is_that_of_the_request(server: Server) -> None:
    assert environ_of(server, get(target=b"/environ", version=b"HTTP/1.0"))["SERVER_PROTOCOL"] == "HTTP/1.0"


def test_http10_request_without_host_has_none_in_the_environ(server: Server) -> None:
    assert "HTTP_HOST" not in environ_of(server, get(target=b"/environ", version=b"HTTP/1.0"))


def test_remote_port_is_that_of_the_connection(server: Server) -> None:
    with server.connect() as client:
        client.send(get(HOST, target=b"/environ"))
        port = json.loads(client.read_answer().body)["REMOTE_PORT"][1]
        assert int(port) == client.sock.getsockname()[1]


def test_environ_of_a_sync_worker_is_not_multithreaded(server: Server, worker_class: str) -> None:
    assert environ_of(server, get(HOST, target=b"/environ"))["wsgi.multithread"] == str(worker_class != "sync")


def test_nothing_of_a_request_is_in_the_next_one(server: Server) -> None:
    lines = (b"Content-Type: text/x", b"Cookie: a=b", b"X-Name: value", b"Content-Length: 0")
    with server.connect() as client:
        client.send(get(HOST, target=b"/environ"))
        first = json.loads(client.read_answer().body)
        client.send(get(HOST, *lines, target=b"/environ?a=b", method=b"POST"))
        client.read_answer()
        client.send(get(HOST, target=b"/environ"))
        assert _without_objects(json.loads(client.read_answer().body)) == _without_objects(first)


def test_what_an_application_writes_into_its_environ_stays_there(server: Server) -> None:
    # The validator and /answer put nothing in; /read pops nothing: so the keys of equal requests are equal.
    keys = [set(environ_of(server, get(HOST, target=b"/raw-environ"))) for _ in range(3)]
    assert keys[0] == keys[1] == keys[2]


def test_equal_field_blocks_with_other_lines_differ_in_the_line_only(server: Server) -> None:
    lines = (HOST, b"X-Same: 1")
    a = environ_of(server, get(*lines, target=b"/environ/a?x"))
    b = environ_of(server, get(*lines, target=b"/environ/b?y", version=b"HTTP/1.1", method=b"PUT"))
    assert (a["PATH_INFO"], a["QUERY_STRING"], a["REQUEST_METHOD"]) == ("/environ/a", "x", "GET")
    assert (b["PATH_INFO"], b["QUERY_STRING"], b["REQUEST_METHOD"]) == ("/environ/b", "y", "PUT")


def test_equal_requests_of_two_peers_have_their_own_address(server: Server) -> None:
    ports = {environ_of(server, get(HOST, target=b"/environ"))["REMOTE_PORT"] for _ in range(3)}
    assert len(ports) == 3


def test_content_length_of_a_sized_body_is_there(server: Server) -> None:
    assert environ_of(server, post(b"Content-Length: 5", body=b"hello", target=b"/environ"))["CONTENT_LENGTH"] == "5"


def test_errors_stream_goes_to_the_error_log(server: Server, log_start: int) -> None:
    assert server.get("/write-error?the%20application%20says").body == b"written\n"
    log = server.wait_for_log("line two", after=log_start)
    assert "the application says\nline one\nline two\n" in log


@pytest.mark.parametrize("peer", ["trusted", "x-forwarded-for"])
def test_forwarded_for_does_not_change_the_peer(server: Server, peer: str) -> None:
    environ = environ_of(server, get(HOST, b"X-Forwarded-For: 6.6.6.6", target=b"/environ"))
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["HTTP_X_FORWARDED_FOR"] == "6.6.6.6"


def _without_objects(environ: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: value for name, value in environ.items() if " object at 0x" not in value[1]}


def test_multiprocess_is_what_the_setting_says() -> None:
    """What is said with one worker is what debuggers insist on that keep a failure in their process."""
    for workers, expected in (("1", "False"), ("2", "True")):
        with serve(settings={"workers": workers}) as server:
            assert environ_of(server, get(HOST, target=b"/environ"))["wsgi.multiprocess"] == expected


def test_the_debugger_of_paste_works_with_one_worker() -> None:
    app = "paste.app_factory = support.supervised:make_app\nfilter-with = debugger\n"
    debugger = "[filter:debugger]\npaste.filter_app_factory = paste.evalexception.middleware:make_eval_exception"
    with serve(settings={"workers": "1"}, app=f"{app}\n{debugger}") as server:
        assert server.get("/pid").status == 200
        assert b"no attribute" in server.get("/nothing").body
        assert "EvalException" not in server.log_text()
