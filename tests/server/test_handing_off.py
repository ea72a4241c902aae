"""Connections outlive the worker that has them: whoever retires passes them on, and no client sees it."""

from __future__ import annotations

import contextlib
import fcntl
import signal
import termios
from collections.abc import Iterator

import pytest
from support.board import wait_until_it_leaves
from support.client import Address, Client, Closed, request_bytes
from support.gates import Gate, client_of, kept_busy, pid_of
from support.processes import is_alive, open_files, send_signal
from support.server import Server, serve, wait_for

BODY_HALF = 5


@pytest.fixture
def two_workers(worker_class: str) -> Iterator[Server]:
    # Some clients have not said all of their request before a reload is over.
    settings = {"workers": "2", "worker_class": worker_class, "keepalive": "60", "header_timeout": "60"}
    with serve(settings=settings) as server:
        server.wait_for_log("[INFO] Serving ")
        yield server


def is_answered(client: Client) -> bool:
    """Whether this client gets an answer; else its connection has been closed. Nothing else is right."""
    try:
        pid_of(client)
    except (Closed, ConnectionError):
        return False
    return True


def has_arrived(client: Client) -> bool:
    """Whether what the client has sent waits to be read, or has been (man 7 tcp, SIOCOUTQ): busy processors take their
    time, and do it in any order.
    """
    return fcntl.ioctl(client.sock, termios.TIOCOUTQ, bytes(4)) == bytes(4)


def retire(pid: int) -> None:
    """Tell a worker to go, and wait until it has gone."""
    send_signal(pid, signal.SIGTERM)
    wait_for(lambda: not is_alive(pid), "the worker is gone")


def begin_to_retire(pid: int, probe: Client) -> None:
    """Tell a busy worker to go, and wait until it knows: an idle connection of its own has gone to somebody else."""
    send_signal(pid, signal.SIGTERM)
    wait_for(lambda: pid_of(probe) != pid, "what can travel has gone")


def is_refused(address: Address) -> bool:
    try:
        Client(address).close()
    except ConnectionRefusedError:
        return True
    return False


def workers(server: Server) -> list[int]:
    return [process.pid for process in server.titled("unicorn: worker")]


# -- retirement ------------------------------------------------------------------------------------------------


def test_idle_connections_of_a_retiring_worker_go_to_its_sibling(two_workers: Server) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(two_workers.connect()) for _ in range(50)]
        before = [pid_of(client) for client in clients]
        oldest = workers(two_workers)[0]
        two_workers.signal(signal.SIGTTOU)
        wait_for(lambda: not is_alive(oldest), "the worker is gone")
        (sibling,) = workers(two_workers)
        assert sibling in before or oldest in before
        assert [pid_of(client) for client in clients] == [sibling] * 50


@pytest.mark.parametrize("occasion", [signal.SIGTTOU, signal.SIGHUP], ids=lambda one: one.name)
def test_more_idle_connections_than_there_is_room_for_are_answered_or_closed(
    worker_class: str, occasion: signal.Signals
) -> None:
    """Those for which nobody has room don't wait between the workers until others are over."""
    settings = {"workers": "2", "worker_class": worker_class, "worker_connections": "30", "keepalive": "60"}
    with serve(settings=settings) as server, contextlib.ExitStack() as stack:
        server.wait_for_log("[INFO] Serving ")
        before = set(workers(server))
        clients = []
        for _ in range(50):  # who has not spoken for half a second makes room, if one worker is slow to take its share
            clients.append(stack.enter_context(server.connect()))
            pid_of(clients[-1])
        server.ini.write_text(server.ini.read_text().replace("worker_connections = 30", "worker_connections = 10"))
        server.signal(occasion)
        wait_for(lambda: not before <= set(workers(server)), "somebody has retired")
        room = 30 if occasion == signal.SIGTTOU else 20
        assert sum(map(is_answered, clients)) >= room


def test_connection_that_has_not_spoken_yet_goes_to_the_sibling(two_workers: Server) -> None:
    with two_workers.connect() as silent, two_workers.connect() as client:
        gone = pid_of(client)
        retire(gone)
        assert pid_of(silent) != gone
        assert pid_of(client) != gone


def test_half_sent_head_travels(two_workers: Server) -> None:
    with two_workers.connect() as client:
        pid = pid_of(client)
        client.send(b"GET /pid HTTP/1.1\r\nHost: loc")
        retire(pid)
        client.send(b"alhost\r\n\r\n")
        assert int(client.read_answer().body) != pid


def test_pipelined_requests_travel(two_workers: Server) -> None:
    gate = Gate(two_workers)
    with two_workers.connect() as client, client_of(two_workers, pid_of(client)) as probe:
        pid = pid_of(client)
        client.send(gate.request + request_bytes("GET", "/pid") * 3)
        gate.wait()
        begin_to_retire(pid, probe)
        gate.let_through(client)
        answers = [client.read_answer() for _ in range(3)]
        assert int(answers[-1].body) != pid
        assert not any(answer.closes for answer in answers)


def test_answer_that_is_finished_during_retirement_does_not_say_close(two_workers: Server) -> None:
    """The client keeps its connection, which goes on to a sibling."""
    gate = Gate(two_workers)
    with two_workers.connect() as client, client_of(two_workers, pid_of(client)) as probe:
        pid = pid_of(client)
        gate.occupy(client)
        begin_to_retire(pid, probe)
        gate.open()
        assert not client.read_answer().closes
        assert pid_of(client) != pid


def test_answer_that_a_slow_reader_has_not_taken_is_finished_and_then_its_connection_goes(worker_class: str) -> None:
    """It is more than the kernel takes, which else has it all at once."""
    size = 8 << 20
    settings = {"workers": "2", "worker_class": worker_class, "response_buffer": str(2 * size)}
    with (
        serve(settings=settings) as server,
        Client(server.address, 10.0, receive_buffer=16_384) as client,
    ):
        server.wait_for_log("[INFO] Serving ")
        with client_of(server, pid_of(client)) as probe:
            pid = pid_of(client)
            client.send(request_bytes("GET", f"/big?size={size}"))
            client.read_some()
            begin_to_retire(pid, probe)
            assert is_alive(pid)
            answer = client.read_answer()
            assert (len(answer.body), answer.closes) == (size, False)
            assert pid_of(client) != pid


def test_body_that_is_arriving_is_read_and_answered_by_the_worker_that_has_begun(two_workers: Server) -> None:
    data = request_bytes("POST", "/pid", (), b"0123456789")
    with two_workers.connect() as client, two_workers.connect() as probe:
        pid = pid_of(client)
        client.send(data[:-BODY_HALF])
        wait_for(lambda: has_arrived(client), "the kernel has it on the other side")
        # Whatever the loop had to read before this was answered has been read.
        while pid_of(probe) != pid:
            probe.close()
            probe.__init__(two_workers.address)  # type: ignore[misc]
        begin_to_retire(pid, probe)
        client.send(data[-BODY_HALF:])
        answer = client.read_answer()
        assert (int(answer.body), answer.closes) == (pid, False)
        assert pid_of(client) != pid


def test_connections_wait_for_the_next_worker_where_there_is_no_sibling(worker_class: str) -> None:
    with serve(settings={"workers": "1", "worker_class": worker_class}) as server, server.connect() as client:
        pid = pid_of(client)
        retire(pid)
        assert pid_of(client) != pid


def test_without_handoff_the_next_answer_is_the_last(worker_class: str) -> None:
    settings = {"workers": "1", "worker_class": worker_class, "handoff": "off", "keepalive": "60"}
    with serve(settings=settings) as server, server.connect() as client, server.connect() as idle:
        pid = pid_of(client)
        assert pid_of(idle) == pid
        gate = Gate(server)
        gate.occupy(client)
        send_signal(pid, signal.SIGTERM)
        wait_until_it_leaves(server, pid)
        gate.open()
        assert client.read_answer().closes
        client.expect_end()
        idle.expect_end()
        wait_for(lambda: not is_alive(pid), "it is gone")


# -- reload ----------------------------------------------------------------------------------------------------


def test_connections_of_all_kinds_go_to_the_next_generation(two_workers: Server) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(two_workers.connect()) for _ in range(40)]
        before = {pid_of(client) for client in clients[:30]}
        for client in clients[20:30]:
            client.send(b"GET /pid HTTP/1.1\r\nHos")
        two_workers.signal(signal.SIGHUP)
        two_workers.wait_for_log("the older ones have gone", 30)
        for client in clients[20:30]:
            client.send(b"t: localhost\r\n\r\n")
            assert int(client.read_answer().body) not in before
        for client in clients:
            assert pid_of(client) not in before


def test_what_waits_at_a_removed_listener_is_answered_by_who_retires(worker_class: str) -> None:
    """And its connections go on to the next generation, which does not have that listener."""
    settings = {"workers": "1", "worker_class": worker_class, "backlog": "64", "keepalive": "60"}
    with serve(settings=settings) as server:
        server.wait_for_log("[INFO] Serving ")
        gate = Gate(server, alone=True)
        with contextlib.ExitStack() as stack:
            busy = stack.enter_context(server.connect())
            pid = gate.occupy(busy)
            clients = [stack.enter_context(server.connect()) for _ in range(20)]
            for client in clients[:10]:
                client.send(request_bytes("GET", "/environ"))
            socket_path = server.directory / "socket"
            text = server.ini.read_text()
            server.ini.write_text(text.replace(f"bind = 127.0.0.1:{server.port}", f"bind = unix:{socket_path}"))
            server.signal(signal.SIGHUP)
            wait_for(socket_path.exists, "the new listener")
            wait_for(lambda: len(workers(server)) == 2, "the new worker")
            gate.let_through(busy)
            for client in clients[10:]:
                client.send(request_bytes("GET", "/environ"))
            for client in clients:
                answer = client.read_answer()
                assert (answer.status, answer.closes) == (200, False)
                assert f'"SERVER_PORT": ["str", "{server.port}"]'.encode() in answer.body
            wait_for(lambda: not is_alive(pid), "the old worker is gone")
            for client in (busy, *clients):
                assert pid_of(client) != pid
            address, server.address = server.address, str(socket_path)
            assert server.get("/").body == b"ready\n"
            wait_for(lambda: is_refused(address), "nobody listens there")


def test_what_waits_at_a_removed_unix_listener_is_answered_too(worker_class: str) -> None:
    settings = {
        "workers": "1", "worker_class": worker_class, "bind": "unix:{directory}/one", "backlog": "64",
        "keepalive": "60",
    }  # fmt: skip
    with serve(settings=settings) as server:
        server.wait_for_log("[INFO] Serving ")
        gate = Gate(server, alone=True)
        with contextlib.ExitStack() as stack:
            busy = stack.enter_context(server.connect())
            pid = gate.occupy(busy)
            clients = [stack.enter_context(server.connect()) for _ in range(10)]
            other = server.directory / "two"
            server.ini.write_text(server.ini.read_text().replace("/one\n", "/two\n"))
            server.signal(signal.SIGHUP)
            wait_for(other.exists, "the new listener")
            wait_for(lambda: len(workers(server)) == 2, "the new worker")
            gate.let_through(busy)
            for client in clients:
                client.send(request_bytes("GET", "/"))
                assert not client.read_answer().closes
            wait_for(lambda: not is_alive(pid), "the old worker is gone")
            for client in (busy, *clients):
                assert pid_of(client) != pid
            server.address = str(other)


# -- a busy worker ---------------------------------------------------------------------------------------------


def test_fast_clients_do_not_wait_behind_a_long_request(two_workers: Server, one_at_a_time: None) -> None:
    """All of them get their answers before it ends."""
    gate = Gate(two_workers)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(two_workers.connect()) for _ in range(10)]
        for client in clients:
            pid_of(client)
        busy = stack.enter_context(two_workers.connect())
        busy_pid = gate.occupy(busy)
        for _ in range(20):
            for client in clients:
                assert pid_of(client) != busy_pid
        for _ in range(10):
            with two_workers.connect() as fresh:
                assert pid_of(fresh) != busy_pid
        gate.let_through(busy)


def test_without_handoff_clients_wait_behind_a_long_request(worker_class: str, one_at_a_time: None) -> None:
    settings = {"workers": "1", "worker_class": worker_class, "handoff": "off"}
    with serve(settings=settings) as server, server.connect() as client, server.connect() as busy:
        gate = Gate(server)
        pid = pid_of(client)
        assert pid_of(busy) == pid
        server.signal(signal.SIGTTIN)
        wait_for(lambda: len(workers(server)) == 2, "a second worker")
        gate.occupy(busy)
        client.send(request_bytes("GET", "/pid"))
        assert client.is_silent(0.5)
        gate.open()
        assert int(client.read_answer().body) == pid


# -- stop ------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_that_run_one_at_a_time(worker_class: str) -> Iterator[Server]:
    settings = {"workers": "2", "worker_class": worker_class, "threads": "1", "keepalive": "60"}
    with serve(settings=settings) as server:
        server.wait_for_log("[INFO] Serving ")
        yield server


def test_connection_that_is_on_its_way_when_the_server_stops_is_answered(two_that_run_one_at_a_time: Server) -> None:
    """It is in nobody's hands: whoever drains takes it out."""
    two_workers = two_that_run_one_at_a_time
    oldest, youngest = workers(two_workers)
    with (
        client_of(two_workers, oldest) as client,
        kept_busy(two_workers, youngest) as (busy, gate),
    ):
        two_workers.signal(signal.SIGTTOU)
        wait_for(lambda: not is_alive(oldest), "the worker is gone")
        client.send(request_bytes("GET", "/pid"))
        two_workers.signal(signal.SIGTERM)
        wait_until_it_leaves(two_workers, youngest)
        assert client.is_silent()
        gate.open()
        assert busy.read_answer().closes
        answer = client.read_answer()
        assert (int(answer.body), answer.closes) == (youngest, True)
        client.expect_end()
    assert two_workers.wait() == 0


def test_template_has_no_epoll_that_its_workers_would_share(two_workers: Server) -> None:
    """A registration in a shared epoll object would outlive the hand-off."""
    (template,) = wait_for(
        lambda: found if len(found := two_workers.titled("unicorn: template")) == 1 else [],
        "workers have titles of their own",
    )
    links = open_files(template.pid)
    assert not any("eventpoll" in link for link in links), links
