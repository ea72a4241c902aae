"""Addresses to listening sockets."""

from __future__ import annotations

import os
import socket
import stat
import time
from pathlib import Path

import pytest

from paste_unicorn.arbiter.listeners import BindProblem, Terms, open_listeners
from paste_unicorn.settings.addresses import Address

TERMS = Terms(backlog=16, reuse_port=False, umask=0o027, uid=None, gid=None, wait_s=0.0)
HERE = Address("tcp", host="127.0.0.1", port=0)


def connects(where: object, family: int = socket.AF_UNIX) -> bool:
    with socket.socket(family) as client:
        client.settimeout(0.5)
        try:
            client.connect(where)  # type: ignore[arg-type]
        except OSError:
            return False
        return True


def test_a_tcp_address_is_listened_on_and_named_with_its_real_port() -> None:
    opened = open_listeners([HERE], TERMS)
    (listener,) = opened.all
    port = listener.sock.getsockname()[1]
    assert (listener.address, listener.server_name, listener.server_port) == (
        f"127.0.0.1:{port}",
        "127.0.0.1",
        str(port),
    )
    assert not listener.sock.getblocking()
    assert not listener.sock.get_inheritable()
    assert connects(("127.0.0.1", port), socket.AF_INET)
    opened.close()


def test_every_address_means_both_families_by_one_socket() -> None:
    opened = open_listeners([Address("tcp", host="*", port=0)], TERMS)
    (listener,) = opened.all
    port = int(listener.server_port)
    assert connects(("127.0.0.1", port), socket.AF_INET)
    if socket.has_dualstack_ipv6():
        assert connects(("::1", port), socket.AF_INET6)
    opened.close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_ipv4_and_ipv6_wildcards_of_one_port_stand_side_by_side() -> None:
    first = open_listeners([Address("tcp", host="0.0.0.0", port=0)], TERMS)
    port = int(first.all[0].server_port)
    first.close()
    both = open_listeners([Address("tcp", host="0.0.0.0", port=port), Address("tcp", host="::", port=port)], TERMS)
    assert [listener.address for listener in both.all] == [f"0.0.0.0:{port}", f"[::]:{port}"]
    both.close()


def test_all_that_can_t_be_bound_is_told_at_once_and_nothing_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        addresses = [
            Address("tcp", host="127.0.0.1", port=port),
            Address("unix", path="/nowhere/at/all/s"),
            Address("tcp", host="no-such-host.invalid", port=1),
        ]
        with pytest.raises(BindProblem) as raised:
            open_listeners([HERE, *addresses], TERMS)
    lines = str(raised.value).splitlines()
    assert len(lines) == 3
    assert f"bind = 127.0.0.1:{port}: Address already in use" in lines[0]
    assert "the folder does not exist" in lines[1]
    assert "no-such-host.invalid" in lines[2]


def test_a_predecessor_gets_its_time_to_let_go() -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    address = Address("tcp", host="127.0.0.1", port=taken.getsockname()[1])
    began = time.monotonic()
    with pytest.raises(BindProblem):
        open_listeners([address], Terms(16, False, 0, None, None, wait_s=0.1))
    assert time.monotonic() - began >= 0.1
    taken.close()
    open_listeners([address], TERMS).close()


def test_a_unix_socket_has_the_mode_that_umask_leaves(tmp_path: Path) -> None:
    path = tmp_path / "s"
    opened = open_listeners([Address("unix", path=str(path))], TERMS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert opened.all[0].address == f"unix:{path}"
    assert connects(str(path))
    assert os.listdir(tmp_path) == ["s"]
    opened.close()
    assert not path.exists()


def test_a_dead_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    opened = open_listeners([Address("unix", path=str(path))], TERMS)
    assert connects(str(path))
    opened.close()


def test_a_live_socket_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    live = socket.socket(socket.AF_UNIX)
    live.bind(str(path))
    live.listen()
    with pytest.raises(BindProblem, match="another process listens there"):
        open_listeners([Address("unix", path=str(path))], TERMS)
    assert path.exists()
    live.close()


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(BindProblem, match="not a socket"):
        open_listeners([Address("unix", path=str(path))], TERMS)
    assert path.read_text() == "precious"


def test_a_path_that_somebody_else_took_over_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    first = open_listeners([Address("unix", path=str(path))], TERMS)
    path.unlink()
    second = open_listeners([Address("unix", path=str(path))], TERMS)
    first.close()
    assert path.exists()
    second.close()
    assert not path.exists()


def test_an_abstract_socket_leaves_no_file() -> None:
    name = f"unicorn-test-{os.getpid()}"
    opened = open_listeners([Address("abstract", path=name)], TERMS)
    assert connects("\0" + name)
    opened.close()
    assert not connects("\0" + name)


def test_a_descriptor_is_taken_over_and_never_stopped() -> None:
    held = socket.create_server(("127.0.0.1", 0))
    opened = open_listeners([Address("fd", fd=os.dup(held.fileno()))], TERMS)
    opened.stop_handshakes()
    assert connects(held.getsockname(), socket.AF_INET)
    opened.close()
    assert connects(held.getsockname(), socket.AF_INET)
    held.close()


def test_a_descriptor_that_does_not_listen_is_refused() -> None:
    with socket.socket() as sock, pytest.raises(BindProblem, match="not a listening socket"):
        open_listeners([Address("fd", fd=sock.fileno())], TERMS)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "*"])
def test_no_handshake_begins_after_the_stop_and_the_queue_stays(host: str) -> None:
    if host == "::1" and not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    opened = open_listeners([Address("tcp", host=host, port=0)], TERMS)
    sock = opened.all[0].sock
    port = int(opened.all[0].server_port)
    ways = [(family, where) for family, where in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
            if host in {where, "*"} and (family == socket.AF_INET or socket.has_dualstack_ipv6())]  # fmt: skip
    waiting = [socket.create_connection((where, port), timeout=1.0) for _, where in ways]
    opened.stop_handshakes()
    for family, where in ways:
        assert not connects((where, port), family)
    for client in waiting:
        accepted, _ = sock.accept()
        accepted.close()
        client.close()
    opened.close()


def test_a_stopped_unix_socket_refuses_at_once_and_keeps_its_queue(tmp_path: Path) -> None:
    path = tmp_path / "s"
    opened = open_listeners([Address("unix", path=str(path))], TERMS)
    sock = opened.all[0].sock
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        held = os.open(path, os.O_PATH)
        opened.stop_handshakes()
        assert not path.exists()
        assert not connects(f"/proc/self/fd/{held}")
        accepted, _ = sock.accept()
        accepted.sendall(b"still here")
        assert client.recv(100) == b"still here"
        accepted.close()
        os.close(held)
    opened.close()
