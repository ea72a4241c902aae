"""The kinds of address a server listens on: what a client of each can ask, and what the environ says of it."""

from __future__ import annotations

import json
import socket

import pytest
from support.checks import get
from support.client import Address, Client
from support.server import serve

HOST = b"Host: localhost"


def environ_at(address: Address) -> dict[str, str]:
    """The environ of a request that comes in there."""
    with Client(address) as client:
        client.send(get(HOST, target=b"/environ"))
        return {name: value for name, (_, value) in json.loads(client.read_answer().body).items()}


def test_several_addresses_are_served_at_once(worker_class: str) -> None:
    bind = "127.0.0.1:{port}, unix:{directory}/socket, [::1]:{port}"
    with serve(settings={"bind": bind, "worker_class": worker_class}) as server:
        ipv4 = environ_at(("127.0.0.1", server.port))
        ipv6 = environ_at(("::1", server.port))
        unix = environ_at(f"{server.directory}/socket")
    assert (ipv4["SERVER_NAME"], ipv4["REMOTE_ADDR"]) == ("127.0.0.1", "127.0.0.1")
    assert (ipv6["SERVER_NAME"], ipv6["REMOTE_ADDR"]) == ("::1", "::1")
    assert ipv4["SERVER_PORT"] == ipv6["SERVER_PORT"] == str(server.port)
    assert unix["REMOTE_ADDR"] == ""
    assert unix["SERVER_NAME"]
    assert unix["SERVER_PORT"]


@pytest.mark.parametrize("bind", ["*:{port}", "[::]:{port}", ":{port}"])
def test_address_of_both_families_names_ipv4_peers_as_such(worker_class: str, bind: str) -> None:
    with serve(settings={"bind": bind, "worker_class": worker_class}) as server:
        assert environ_at(("127.0.0.1", server.port))["REMOTE_ADDR"] == "127.0.0.1"
        if not bind.startswith(":"):
            assert environ_at(("::1", server.port))["REMOTE_ADDR"] == "::1"


def test_abstract_socket_is_served(worker_class: str) -> None:
    name = "unicorn-test-{port}"
    with serve(settings={"bind": "127.0.0.1:{port}, unix:@" + name, "worker_class": worker_class}) as server:
        environ = environ_at("\0" + name.replace("{port}", str(server.port)))
        assert environ["REMOTE_ADDR"] == ""


def test_unix_socket_is_removed_at_the_end(worker_class: str) -> None:
    with serve(settings={"bind": "unix:{directory}/socket", "worker_class": worker_class}) as server:
        assert (server.directory / "socket").is_socket()
        assert server.get("/").body == b"ready\n"
        server.stop()
        assert not (server.directory / "socket").exists()


def test_stale_unix_socket_is_replaced(worker_class: str) -> None:
    with serve(settings={"bind": "127.0.0.1:{port}", "worker_class": worker_class}) as server:
        path = server.directory / "stale"
        with socket.socket(socket.AF_UNIX) as left_over:
            left_over.bind(str(path))
        with serve(settings={"bind": f"unix:{path}", "worker_class": worker_class}) as second:
            assert second.get("/").body == b"ready\n"


def test_peers_of_a_unix_socket_are_trusted_unless_nobody_is(worker_class: str) -> None:
    scheme = b"X-Forwarded-Proto: https"
    for trusted, expected in (("127.0.0.1", "https"), ("", "http")):
        settings = {"bind": "unix:{directory}/socket", "forwarded_allow_ips": trusted, "worker_class": worker_class}
        with serve(settings=settings) as server, server.connect() as client:
            client.send(get(HOST, scheme, target=b"/environ"))
            environ = json.loads(client.read_answer().body)
            assert environ["wsgi.url_scheme"][1] == expected, trusted
