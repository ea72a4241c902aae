"""What a proxy says of a request: believed from trusted peers, dropped from all others; and `url_prefix`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.checks import check_refused, environ_of, get
from support.server import Server, serve

SETTINGS = {"forwarded_allow_ips": "127.0.0.1"}
HOST = b"Host: localhost"


@pytest.fixture(scope="module")
def untrusting(worker_class: str) -> Iterator[Server]:
    """A server that trusts another peer, and stands below a prefix."""
    with serve(
        settings={"forwarded_allow_ips": "192.0.2.1", "url_prefix": "/shop", "worker_class": worker_class}
    ) as running:
        yield running


HTTPS = {
    "X-Forwarded-Proto": b"X-Forwarded-Proto: https",
    "X-Forwarded-Protocol": b"X-Forwarded-Protocol: ssl",
    "X-Forwarded-Ssl": b"X-Forwarded-Ssl: on",
}


@pytest.mark.parametrize("line", HTTPS.values(), ids=HTTPS)
def test_trusted_peer_may_say_https(server: Server, line: bytes) -> None:
    assert environ_of(server, get(HOST, line, target=b"/environ"))["wsgi.url_scheme"] == "https"
    assert environ_of(server, get(HOST, target=b"/environ"))["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize("line", HTTPS.values(), ids=HTTPS)
def test_other_peer_may_not(untrusting: Server, line: bytes) -> None:
    assert environ_of(untrusting, get(HOST, line, target=b"/environ"))["wsgi.url_scheme"] == "http"


def test_scheme_that_is_not_https_stays_http(server: Server) -> None:
    environ = environ_of(server, get(HOST, b"X-Forwarded-Proto: http", target=b"/environ"))
    assert environ["wsgi.url_scheme"] == "http"


def test_contradicting_schemes_are_refused(server: Server) -> None:
    check_refused(server, get(HOST, b"X-Forwarded-Proto: https", b"X-Forwarded-Ssl: off"), 400)


def test_trusted_peer_may_set_script_name(server: Server) -> None:
    environ = environ_of(server, get(HOST, b"SCRIPT_NAME: /mounted", target=b"/mounted/environ/x"))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/mounted", "/environ/x")


def test_other_peer_may_not_set_script_name(untrusting: Server) -> None:
    environ = environ_of(untrusting, get(HOST, b"SCRIPT_NAME: /mounted", b"PATH_INFO: /x", target=b"/shop/environ"))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", "/environ")
    assert "HTTP_SCRIPT_NAME" not in environ


def test_script_name_of_a_trusted_peer_does_not_stay_for_the_next_request(server: Server) -> None:
    environ_of(server, get(HOST, b"SCRIPT_NAME: /mounted", target=b"/mounted/environ"))
    assert environ_of(server, get(HOST, target=b"/environ"))["SCRIPT_NAME"] == ""


PREFIXED = {
    b"/shop/environ/x": "/environ/x",
    b"/shop/environ?a=b": "/environ",
    b"/environ/x": "/environ/x",  # a proxy has taken the prefix off
    b"/environ/shop/x": "/environ/shop/x",
    b"http://localhost/shop/environ/x": "/environ/x",
}


@pytest.mark.parametrize(("target", "path"), PREFIXED.items(), ids=[target.decode() for target in PREFIXED])
def test_url_prefix_becomes_script_name(untrusting: Server, target: bytes, path: str) -> None:
    environ = environ_of(untrusting, get(HOST, target=target))
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/shop", path)


def test_path_that_only_begins_like_the_prefix_is_not_below_it(untrusting: Server) -> None:
    answer = untrusting.ask(get(HOST, target=b"/shopping"))
    assert answer.status == 404
    assert b"/shopping" in answer.body


def test_prefix_itself_is_the_root(untrusting: Server) -> None:
    for target in (b"/shop", b"/shop/"):
        assert untrusting.ask(get(HOST, target=target)).body == b"ready\n"
