"""Addresses to listening sockets."""

from __future__ import annotations

import os
import select
import socket
import stat
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.ports import free_port

from paste_unicorn.arbiter.binding import BindProblem, Terms
from paste_unicorn.arbiter.listeners import OpenListeners, open_listeners
from paste_unicorn.settings.addresses import Address

TERMS = Terms(backlog=16, reuse_port=False, umask=0o027, uid=None, gid=None, wait_s=0.0)
HERE = Address("tcp", host="127.0.0.1", port=0)


PATIENCE_S = 10.0  # a handshake is the kernel's work, and may have to wait for a processor
IN_VAIN_S = 0.5  # for a handshake that nobody answers


def connects(where: object, family: int = socket.AF_UNIX, timeout_s: float = PATIENCE_S) -> bool:
    with socket.socket(family) as client:
        client.settimeout(timeout_s)
        try:
            client.connect(where)  # type: ignore[arg-type]
        except OSError:
            return False
        return True


def accept(listening: socket.socket) -> socket.socket:
    """What waits there; a client's `connect` returns before the last packet of its handshake has arrived."""
    assert select.select([listening], [], [], PATIENCE_S)[0], "nobody waits"
    return listening.accept()[0]


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
@pytest.mark.parametrize("one_after_the_other", [False, True])
def test_ipv4_and_ipv6_wildcards_of_one_port_stand_side_by_side(one_after_the_other: bool) -> None:
    port = free_port()
    addresses = [Address("tcp", host="0.0.0.0", port=port), Address("tcp", host="::", port=port)]
    both = open_listeners(addresses[:1] if one_after_the_other else addresses, TERMS).changed_to(addresses, TERMS)
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
    port = free_port()  # nobody else gets it when it is let go
    taken = socket.create_server(("127.0.0.1", port))
    address = Address("tcp", host="127.0.0.1", port=port)
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
    waiting = [socket.create_connection((where, port), timeout=PATIENCE_S) for _, where in ways]
    opened.stop_handshakes()
    for family, where in ways:
        assert not connects((where, port), family, IN_VAIN_S)
    for client in waiting:
        accepted = accept(sock)
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
        accepted = accept(sock)
        accepted.sendall(b"still here")
        assert client.recv(100) == b"still here"
        accepted.close()
        os.close(held)
    opened.close()


# -- from one list to another --------------------------------------------------------------------------------


def inodes(opened: OpenListeners) -> list[int]:
    """The sockets behind the descriptors."""
    return [os.fstat(listener.sock.fileno()).st_ino for listener in opened.all]


def test_listeners_that_stay_are_the_same_sockets_and_in_the_order_of_the_new_list(tmp_path: Path) -> None:
    first, second = (Address("unix", path=str(tmp_path / name)) for name in ("first", "second"))
    before = open_listeners([first, second], TERMS)
    after = before.changed_to([second, HERE, first], TERMS)
    assert after.all[0] is before.all[1]
    assert after.all[2] is before.all[0]
    assert after.all[1].server_name == "127.0.0.1"
    assert connects(("127.0.0.1", int(after.all[1].server_port)), socket.AF_INET)
    after.close()


def test_connections_that_wait_at_a_listener_that_stays_are_answered_there(tmp_path: Path) -> None:
    address = Address("unix", path=str(tmp_path / "s"))
    before = open_listeners([address], TERMS)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(address.path)
        after = before.changed_to([HERE, address], TERMS)
        before.without(after).close()
        accepted = accept(after.all[1].sock)
        accepted.sendall(b"still here")
        assert client.recv(100) == b"still here"
        accepted.close()
    after.close()


def test_two_ports_of_the_kernel_s_choice_stay_two() -> None:
    before = open_listeners([HERE, HERE], TERMS)
    after = before.changed_to([HERE, HERE, HERE], TERMS)
    assert inodes(after)[:2] == inodes(before)
    assert len(set(inodes(after))) == 3
    assert before.without(after).all == ()
    after.close()


def test_a_change_that_fails_opens_nothing_and_closes_nothing(tmp_path: Path) -> None:
    staying = Address("unix", path=str(tmp_path / "s"))
    fresh = Address("unix", path=str(tmp_path / "fresh"))
    before = open_listeners([staying], TERMS)
    with pytest.raises(BindProblem) as raised:
        before.changed_to([staying, fresh, Address("unix", path="/nowhere/at/all/s")], TERMS)
    assert "/nowhere/at/all/s: No such file or directory" in str(raised.value)
    assert os.listdir(tmp_path) == ["s"]
    assert connects(staying.path)
    before.close()


def test_a_change_that_only_a_restart_can_do_says_so() -> None:
    before = open_listeners([HERE], TERMS)
    port = int(before.all[0].server_port)
    with pytest.raises(BindProblem) as raised:
        before.changed_to([Address("tcp", host="0.0.0.0", port=port)], TERMS)
    assert f"this server itself listens on 127.0.0.1:{port}; restart it for this change" in str(raised.value)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(BindProblem, match="another process listens there"):
            before.changed_to([Address("tcp", host="127.0.0.1", port=taken)], TERMS)
    before.close()


def test_what_a_list_has_beyond_another(tmp_path: Path) -> None:
    addresses = [Address("unix", path=str(tmp_path / name)) for name in "abc"]
    before = open_listeners(addresses, TERMS)
    after = before.changed_to([addresses[1]], TERMS)
    removed = before.without(after)
    assert [listener.address for listener in removed.all] == [f"unix:{tmp_path}/a", f"unix:{tmp_path}/c"]
    assert after.without(before).all == ()
    removed.close()
    assert os.listdir(tmp_path) == ["b"]
    assert connects(addresses[1].path)
    after.close()


def test_a_listener_that_is_removed_answers_what_waits_while_those_that_stay_take_new_connections(
    tmp_path: Path,
) -> None:
    staying, going = Address("unix", path=str(tmp_path / "stays")), Address("unix", path=str(tmp_path / "goes"))
    before = open_listeners([staying, going, HERE], TERMS)
    port = int(before.all[2].server_port)
    after = before.changed_to([staying], TERMS)
    removed = before.without(after)
    with socket.socket(socket.AF_UNIX) as local, socket.create_connection(("127.0.0.1", port), PATIENCE_S) as remote:
        local.connect(going.path)
        removed.stop_handshakes()
        assert not connects(going.path)
        assert not connects(("127.0.0.1", port), socket.AF_INET, IN_VAIN_S)
        assert connects(staying.path)
        for listener, client in zip(removed.all, (local, remote), strict=True):
            accepted = accept(listener.sock)
            accepted.sendall(b"still here")
            assert client.recv(100) == b"still here"
            accepted.close()
    removed.close()
    after.close()


def room_in_queue(path: str) -> int:
    """How many connections still fit into the queue of a Unix listener; they are taken back, and stay in it."""
    clients: list[socket.socket] = []
    try:
        while len(clients) < 100:
            clients.append(socket.socket(socket.AF_UNIX))
            clients[-1].setblocking(False)
            clients[-1].connect(path)
    except BlockingIOError:
        return len(clients) - 1
    finally:
        for client in clients:
            client.close()
    raise AssertionError("the queue has no end")


linux_queues = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts as the kernel of Linux does")


@linux_queues
def test_the_queue_can_be_made_longer_and_what_is_in_it_stays(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    opened = open_listeners([Address("unix", path=path)], replace(TERMS, backlog=2))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        assert room_in_queue(path) == 2
        opened.listen(8)
        assert room_in_queue(path) == 6
        accepted = accept(opened.all[0].sock)
        accepted.sendall(b"still here")
        assert client.recv(100) == b"still here"
        accepted.close()
    opened.close()


@linux_queues
def test_the_queue_of_a_socket_that_somebody_else_holds_is_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(path)
        held.listen(2)
        opened = open_listeners([Address("fd", fd=os.dup(held.fileno()))], TERMS)
        opened.listen(8)
        assert room_in_queue(path) == 3
        opened.close()


# -- from one arbiter to another -----------------------------------------------------------------------------


def test_listeners_that_another_arbiter_opened_are_the_same_to_its_successor(tmp_path: Path) -> None:
    held = socket.create_server(("127.0.0.1", 0))
    path = tmp_path / "s"
    addresses = [HERE, Address("unix", path=str(path)), Address("fd", fd=os.dup(held.fileno()))]
    first = open_listeners(addresses, TERMS)
    fds = [os.dup(listener.sock.fileno()) for listener in first.all]
    second = OpenListeners.inherit(first.described(), fds)
    assert [replace(listener, sock=held) for listener in second.all] == [
        replace(listener, sock=held) for listener in first.all
    ]
    assert inodes(second) == inodes(first)
    assert not any(listener.sock.getblocking() for listener in second.all)
    assert second.changed_to(addresses, TERMS).all == second.all

    # The first goes, the second stays: nothing is removed, nobody notices.
    first.let_go()
    assert connects(str(path))
    assert connects(("127.0.0.1", int(second.all[0].server_port)), socket.AF_INET)

    # The second ends for good.
    second.stop_handshakes()
    assert connects(held.getsockname(), socket.AF_INET)
    second.close()
    assert not path.exists()
    held.close()


def test_a_successor_says_which_of_the_old_listeners_it_has_by_their_places(tmp_path: Path) -> None:
    addresses = [HERE, Address("unix", path=str(tmp_path / "s")), HERE]
    first = open_listeners(addresses, TERMS)
    inherited = OpenListeners.inherit(first.described(), [os.dup(one.sock.fileno()) for one in first.all])
    its_own = inherited.changed_to([Address("unix", path=str(tmp_path / "t")), addresses[0]], TERMS)
    places = its_own.positions_in(inherited)
    assert places == (0,)
    assert first.without(first.at(places)).all == first.all[1:]
    for opened in (first, inherited, its_own):
        opened.let_go()


def test_a_tcp_listener_that_is_being_drained_may_come_back_and_a_unix_one_is_made_anew(tmp_path: Path) -> None:
    addresses = [HERE, Address("unix", path=str(tmp_path / "s"))]
    removed = open_listeners(addresses, TERMS)
    removed.stop_handshakes()
    back = OpenListeners(()).changed_to(addresses, TERMS, removed)
    assert back.all[0] == removed.all[0]
    assert back.all[1] != removed.all[1]
    port = int(back.all[0].server_port)
    assert not connects(("127.0.0.1", port), socket.AF_INET, IN_VAIN_S)
    back.resume_handshakes()
    assert connects(("127.0.0.1", port), socket.AF_INET)
    assert connects(str(tmp_path / "s"))
    removed.close()
    back.close()
