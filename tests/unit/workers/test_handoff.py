"""The rules of passing connections on, each by its name: what a worker puts into the pair, another one takes out."""

from __future__ import annotations

import gc
import os
import resource
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator

import pytest
from workbench import DEADLINES, REQUEST, Bench, Worker, connect, readable_fds

from paste_unicorn.scoreboard import HANDED_OFF, TAKEN_OVER
from paste_unicorn.workers.connection import Connection, Phase
from paste_unicorn.workers.handoff import MOST_BYTES, SPARE_DESCRIPTORS, BadParcel, Parcel
from paste_unicorn.workers.loop import READABLE
from paste_unicorn.workers.peers import Entrance
from paste_unicorn.workers.watcher import STUCK_TICKS

PARCEL = Parcel(
    socket.AF_INET, True, 0.0, 1.5, 2.5, "192.0.2.1", "4711", Entrance("127.0.0.1:80", "a.example", "80"), b"GET /"
)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


def take(worker: Worker, now: float | None = None) -> Connection:
    taken = worker.handoff.take(time.monotonic() if now is None else now)
    assert taken is not None
    return taken[0]


def fill(worker: Worker) -> tuple[int, list[socket.socket]]:
    """Give until there is no room; how many went, and the clients of all."""
    clients = []
    while True:
        client, connection = worker.client()
        clients.append(client)
        if not worker.handoff.give(connection, False):
            return len(clients) - 1, clients


def in_a_child(function: Callable[[], None]) -> None:
    """Run it in a process of its own."""
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


# -- what travels --------------------------------------------------------------------------------------------------


def test_a_connection_that_was_passed_on_is_the_same_to_its_client(bench: Bench) -> None:
    giver, taker = bench.worker(), bench.worker()
    client, connection = giver.client()
    assert giver.handoff.give(connection, False)
    taken = take(taker)
    client.sendall(b"hello")
    assert taken.receive(100) == b"hello"
    taken.send(b"answer")
    assert client.recv(100) == b"answer"
    assert taken.peer == connection.peer
    assert (giver.slot.counters[HANDED_OFF], taker.slot.counters[TAKEN_OVER]) == (1, 1)


def test_bytes_that_were_read_travel_along(bench: Bench) -> None:
    giver, taker = bench.worker(), bench.worker()
    _, connection = giver.client()
    connection.buffer += b"GET /half HTT"
    assert giver.handoff.give(connection, False)
    assert bytes(take(taker).buffer) == b"GET /half HTT"


@pytest.mark.parametrize("size", [1, 65536, MOST_BYTES])
def test_as_many_bytes_as_may_travel_fit_into_one_message(bench: Bench, size: int) -> None:
    giver, taker = bench.worker(), bench.worker()
    _, connection = giver.client()
    connection.buffer += bytes(size)
    assert giver.handoff.can_travel(connection)
    assert giver.handoff.give(connection, False)
    assert len(take(taker).buffer) == size


def test_a_connection_with_more_bytes_than_fit_stays_with_its_owner(bench: Bench) -> None:
    giver = bench.worker()
    _, connection = giver.client()
    connection.buffer += bytes(MOST_BYTES + 1)
    assert not giver.handoff.can_travel(connection)


@pytest.mark.parametrize(
    "phase", [Phase.BODY, Phase.RUNNING, Phase.WRITING, Phase.DRAINING, Phase.LINGERING], ids=lambda phase: phase.name
)
def test_a_connection_in_the_middle_of_something_stays_with_its_owner(bench: Bench, phase: Phase) -> None:
    giver = bench.worker()
    _, connection = giver.client()
    for travels in (Phase.HEAD, Phase.IDLE):
        connection.phase = travels
        assert giver.handoff.can_travel(connection)
    connection.phase = phase
    assert not giver.handoff.can_travel(connection)


def test_a_connection_with_unsent_output_stays_with_its_owner(bench: Bench) -> None:
    giver = bench.worker()
    _, connection = giver.client()
    connection.output = deque([b"unsent"])
    assert not giver.handoff.can_travel(connection)


@pytest.mark.parametrize("phase", [Phase.HEAD, Phase.IDLE], ids=lambda phase: phase.name)
def test_the_deadline_travels(bench: Bench, phase: Phase) -> None:
    """Else a client that is passed on again and again would never be called idle, nor a slow head slow."""
    giver, taker = bench.worker(), bench.worker()
    now = time.monotonic()
    _, connection = giver.client()
    DEADLINES.start(connection, phase, now - 5)
    deadline = connection.deadline
    assert giver.handoff.give(connection, False)
    taken = take(taker, now)
    assert (taken.phase, taken.since, taken.deadline) == (phase, now - 5, deadline)


def test_what_was_sent_on_the_way_is_looked_at_before_the_deadline_is(bench: Bench) -> None:
    giver, taker = bench.worker(), bench.worker()
    _, connection = giver.client()
    connection.phase, connection.deadline = Phase.IDLE, time.monotonic() - 1
    assert giver.handoff.give(connection, False)
    now = time.monotonic()
    taken = taker.handoff.take(now)
    assert taken is not None
    assert taken[0].deadline > now


def test_the_listener_is_known_by_its_address_and_called_as_the_taker_calls_it(bench: Bench) -> None:
    listener = bench.listener("old.example")
    giver = bench.worker(listeners=[listener])
    renamed = listener.__class__(listener.sock, listener.address, listener.family, "new.example", "8080", False)
    taker = bench.worker(listeners=[renamed])
    client, connection = giver.client(giver.peers.environs(listener.address, "192.0.2.1"))
    assert giver.handoff.give(connection, True)
    client.sendall(REQUEST)
    taker.clients.welcome(take(taker))
    assert client.recv(1000).endswith(b"\r\n\r\nnew.example:8080")


def test_a_listener_that_the_taker_does_not_have_is_called_as_it_was_called_before(bench: Bench) -> None:
    listener = bench.listener("gone.example")
    giver, taker, third = bench.worker(listeners=[listener]), bench.worker(), bench.worker(listeners=[listener])
    client, connection = giver.client(giver.peers.environs(listener.address, "192.0.2.1"))
    assert giver.handoff.give(connection, True)
    taken = take(taker)
    client.sendall(REQUEST)
    taker.clients.welcome(taken)
    assert client.recv(1000).endswith(b"\r\n\r\ngone.example:80")
    # And it is that listener's connection again where somebody has it.
    assert taker.handoff.give(taken, False)
    assert take(third).environs is third.peers.environs(listener.address, "192.0.2.1")


def test_listeners_that_nobody_has_are_forgotten_after_a_while(bench: Bench) -> None:
    worker = bench.worker()
    kept = worker.environs("first:1")
    for number in range(1000):
        worker.environs(f"other:{number}")
    assert len(worker.peers._environs) < 200
    assert worker.peers.entrance(kept).address == "first:1"


# -- messages ------------------------------------------------------------------------------------------------------


def test_a_parcel_is_read_as_it_was_written() -> None:
    assert Parcel.decode(PARCEL.encode()) == PARCEL


def test_a_header_that_has_become_longer_is_still_understood() -> None:
    """Old and new arbiter share the pair during an upgrade: what a later release adds is skipped."""
    message = PARCEL.encode()
    header_size = len(message) - len(PARCEL.data)
    longer = message[:4] + struct.pack("<H", header_size + 3) + message[6:header_size] + b"new" + PARCEL.data
    assert Parcel.decode(longer) == PARCEL


@pytest.mark.parametrize("size", range(len(PARCEL.encode()) - len(PARCEL.data)))
def test_a_header_that_is_cut_is_refused(size: int) -> None:
    with pytest.raises(BadParcel):
        Parcel.decode(PARCEL.encode()[:size])


@pytest.mark.parametrize("at", range(4, 34))
def test_sizes_that_lie_are_refused_or_harmless(at: int) -> None:
    message = bytearray(PARCEL.encode())
    for value in (0, 1, 127, 255):
        message[at] = value
        try:
            Parcel.decode(bytes(message))
        except BadParcel:
            continue


def test_a_message_of_somebody_else_costs_its_descriptor_and_nothing_more(bench: Bench) -> None:
    giver, taker = bench.worker(), bench.worker()
    ours, theirs = socket.socketpair()
    for message in (b"", b"nonsense", b"\xff" * 1000, bytes(100_000)):
        socket.send_fds(bench.pair.into, [message], [ours.fileno()])
    bench.pair.into.send(b"no descriptor")
    socket.send_fds(bench.pair.into, [b"two"], [ours.fileno(), ours.fileno()])
    ours.close()
    _, connection = giver.client()
    assert giver.handoff.give(connection, False)
    assert take(taker).peer == connection.peer
    theirs.settimeout(10)
    assert theirs.recv(1) == b"", "every copy of it was closed"
    assert taker.handoff.take(0.0) is None


# -- the giver -----------------------------------------------------------------------------------------------------


def test_the_pair_queues_a_few_hundred_so_that_live_clients_do_not_wait_behind_thousands(bench: Bench) -> None:
    """The default send buffer, on purpose."""
    count, _ = fill(bench.worker())
    assert 100 < count < 600


def test_a_connection_for_which_there_is_no_room_stays_with_its_owner_which_goes_on_serving_it(bench: Bench) -> None:
    giver = bench.worker()
    _, clients = fill(giver)
    (connection,) = giver.clients.by_fd.values()
    clients[-1].sendall(REQUEST)
    assert connection.fd in readable_fds(giver)
    giver.clients.readable(connection)
    assert clients[-1].recv(1000).startswith(b"HTTP/1.1 200 ")


def test_the_loop_tells_once_when_there_is_room_again(bench: Bench) -> None:
    giver, taker = bench.worker(), bench.worker()
    fill(giver)
    assert giver.handoff.room_fd not in readable_fds(giver)
    while taker.handoff.take(0.0) is not None:
        pass
    assert giver.handoff.room_fd in readable_fds(giver)
    giver.handoff.room_came()
    assert giver.handoff.room_fd not in readable_fds(giver)


def test_too_many_descriptors_on_the_way_mean_not_now(bench: Bench) -> None:
    """ETOOMANYREFS: a user without privileges has as many in flight as it may have open."""
    giver = bench.worker()

    def give_as_nobody() -> None:
        if os.getuid() == 0:
            os.setresuid(65534, 65534, 65534)
        for _ in range(40):
            client, connection = giver.client()
            client.detach()
            _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (20, hard))
            given = giver.handoff.give(connection, False)
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            if not given:
                assert not giver.handoff.waits_for_room, "no event would tell"
                assert giver.clients.by_fd[connection.fd] is connection
                return
        raise AssertionError("it never said no")

    in_a_child(give_as_nobody)


def test_who_has_given_a_connection_away_hears_nothing_of_it_any_more(bench: Bench) -> None:
    """To close it would not be enough: the open file lives on, and with it the registration (man 7 epoll, Q6)."""
    giver, taker = bench.worker(), bench.worker()
    client, connection = giver.client()
    assert giver.handoff.give(connection, False)
    take(taker)
    client.sendall(b"hello")
    assert readable_fds(giver) == set()


def test_who_has_given_a_connection_away_does_not_end_it(bench: Bench) -> None:
    """It closes its descriptor, and never calls shutdown, which would end the connection for everybody."""
    giver = bench.worker()
    client, connection = giver.client()
    fd = connection.fd
    assert giver.handoff.give(connection, False)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    client.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.recv(1)


# -- the taker -----------------------------------------------------------------------------------------------------


def give_many(giver: Worker, count: int, is_ready: bool) -> list[socket.socket]:
    clients = []
    for _ in range(count):
        client, connection = giver.client()
        connection.phase = Phase.IDLE
        clients.append(client)
        assert giver.handoff.give(connection, is_ready)
    return clients


def test_what_was_taken_over_is_closed_on_exec(bench: Bench) -> None:
    giver, taker = bench.worker(), bench.worker()
    give_many(giver, 1, False)
    assert not os.get_inheritable(take(taker).fd)


@pytest.mark.parametrize("how", ["put back", "passed back"])
def test_what_finds_the_pair_full_on_its_way_back_is_served_here(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """With the requests in its buffer, of which no event tells."""
    giver = bench.worker()
    taker = bench.worker(listeners=[bench.listener()], max_connections=1 if how == "put back" else 10)
    bench.board.room_at = 0
    now = time.monotonic()
    _other, running = taker.client()  # has just come: nobody can go
    client, connection = giver.client()
    DEADLINES.start(connection, Phase.IDLE, now)
    connection.buffer += REQUEST
    assert giver.handoff.give(connection, True)
    send, fillers = taker.handoff._send, []

    def send_too_late(message: bytes, fd: int) -> bool:
        while True:
            fillers.append(giver.client())
            DEADLINES.start(fillers[-1][1], Phase.IDLE, now)
            if not giver.handoff.give(fillers[-1][1], False):
                return send(message, fd)

    monkeypatch.setattr(taker.handoff, "_send", send_too_late)
    if how == "put back":
        taker.worker._shared(taker.handoff.fd, now)
    else:
        taker.handoff.watch()
        for _ in range(STUCK_TICKS):
            taker.watcher._relieve(running)
        taker.handoff.unwatch()
    monkeypatch.undo()
    with taker.running():
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_at_most_16_idle_connections_are_taken_at_a_wake_up(bench: Bench) -> None:
    giver, taker = bench.worker(), bench.worker()
    _clients = give_many(giver, 20, False)
    taker.worker._shared(taker.handoff.fd, time.monotonic())
    assert len(taker.clients.by_fd) == 16


def test_only_one_connection_that_wants_the_application_is_taken_at_a_time(bench: Bench) -> None:
    """Siblings that are free get the others; whoever takes two serves the second after the first."""
    giver, taker = bench.worker(), bench.worker()
    _clients = give_many(giver, 2, False) + give_many(giver, 3, True)
    taker.worker._shared(taker.handoff.fd, time.monotonic())
    assert len(taker.clients.by_fd) == 3


def test_a_worker_with_all_its_connections_stops_receiving_and_starts_again(bench: Bench) -> None:
    giver, taker = bench.worker(), bench.worker(max_connections=5)
    taker.handoff.watch()
    now = time.monotonic()  # nobody has been idle for long
    bench.board.room_at = now + 60  # and a sibling has room, however long this takes
    _clients = give_many(giver, 10, False)
    taker.worker._shared(taker.handoff.fd, now)
    assert len(taker.clients.by_fd) == 5
    assert taker.handoff.fd not in readable_fds(taker), "it must not be woken for what it can't take"
    taker.clients.drop(next(iter(taker.clients.by_fd.values())))
    taker.worker._scan(time.monotonic())
    assert taker.handoff.fd in readable_fds(taker)


def test_a_worker_that_accepts_its_last_connection_stops_receiving(bench: Bench) -> None:
    listener = bench.listener()
    worker = bench.worker(listeners=[listener], max_connections=1)
    bench.board.room_at = time.monotonic() + 60  # a sibling has room, however long this takes
    worker.handoff.watch()
    with connect(listener):
        worker.worker._shared(listener.sock.fileno(), time.monotonic())
        assert len(worker.clients.by_fd) == 1
        assert not worker.handoff.watching


def leave_free(count: int) -> None:
    """Let this process have so many descriptors more; gaps between those that it has are filled, and none come."""
    gc.disable()  # other tests have left some behind
    while True:
        lowest = os.dup(0)
        if lowest > max(int(name) for name in os.listdir("/proc/self/fd")) - 2:
            break
    os.close(lowest)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + count, hard))


def test_near_the_limit_of_descriptors_a_worker_stops_receiving(bench: Bench) -> None:
    """Without a free descriptor the kernel would drop the connection, and say nothing."""
    giver, taker = bench.worker(), bench.worker()
    _clients = give_many(giver, 12, False)

    def receive() -> None:
        leave_free(SPARE_DESCRIPTORS + 2)
        taker.handoff.watch()
        for _ in range(3):
            taker.worker._shared(taker.handoff.fd, time.monotonic())
        assert len(taker.clients.by_fd) == 12, len(taker.clients.by_fd)
        assert not taker.handoff.watching
        taker.worker._scan(time.monotonic())
        assert not taker.handoff.watching

    in_a_child(receive)
    more = give_many(giver, 4, False)

    def receive_nothing() -> None:
        leave_free(SPARE_DESCRIPTORS)
        taker.worker._shared(taker.handoff.fd, time.monotonic())
        assert not taker.clients.by_fd

    in_a_child(receive_nothing)
    assert not taker.handoff.is_empty()
    assert more


def test_a_worker_that_retires_never_receives(bench: Bench) -> None:
    giver, taker = bench.worker(), bench.worker()
    taker.handoff.watch()
    _clients = give_many(giver, 3, False)
    taker.worker.retire()
    taker.worker._look_around(time.monotonic(), [])
    taker.worker._shared(taker.handoff.fd, time.monotonic())
    taker.worker._scan(time.monotonic())
    assert not taker.clients.by_fd
    assert taker.handoff.fd not in readable_fds(taker)


def test_a_worker_that_drains_takes_what_is_there(bench: Bench) -> None:
    giver, taker = bench.worker(), bench.worker()
    _clients = give_many(giver, 3, False)
    taker.worker.drain()
    taker.worker._look_around(time.monotonic(), [])
    assert len(taker.clients.by_fd) == 3


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_connection_never_gets_the_number_of_a_standard_stream(bench: Bench, closed: int) -> None:
    """Whatever writes there would write to the client."""
    listener = bench.listener()
    giver = bench.worker()
    taker = bench.worker(listeners=[listener])
    clients = give_many(giver, 1, False)
    clients.append(connect(listener))

    def receive() -> None:
        os.close(closed)
        taker.worker._shared(taker.handoff.fd, time.monotonic())
        taker.worker._shared(listener.sock.fileno(), time.monotonic())
        assert len(taker.clients.by_fd) == 2
        assert min(taker.clients.by_fd) > 2
        os.write(closed, b"stray output")

    in_a_child(receive)
    clients[1].settimeout(10)
    assert clients[1].recv(100) == b""


def test_idle_connections_are_watched_and_ready_ones_are_looked_at(bench: Bench) -> None:
    giver, taker = bench.worker(), bench.worker()
    (idle,) = give_many(giver, 1, False)
    idle.sendall(REQUEST)
    taker.worker._shared(taker.handoff.fd, time.monotonic())
    (connection,) = taker.clients.by_fd.values()
    assert taker.loop.poll(0) == [(connection.fd, READABLE)]


def test_what_wakes_a_worker_is_taken_before_its_applications_run(bench: Bench) -> None:
    """EPOLLEXCLUSIVE has woken this worker only: what it was woken for must not wait behind its application."""
    counts: list[int] = []

    def application(environ: dict[str, object], start_response: Callable[..., object]) -> list[bytes]:
        counts.append(len(taker.clients.by_fd))
        taker.worker.drain()
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    listener = bench.listener()
    giver, taker = bench.worker(), bench.worker(application, listeners=[listener])
    client, _ = taker.client()
    client.sendall(REQUEST)
    _clients = give_many(giver, 2, False)
    with connect(listener):
        taker.worker.serve()
    assert counts[0] == 4


def test_a_message_wakes_one_of_several_workers_that_wait(bench: Bench) -> None:
    """EPOLLEXCLUSIVE on the pair, as on listeners."""
    reader, writer = os.pipe()
    pids = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            worker = bench.worker()
            worker.handoff.watch()
            os.write(writer, b"r")
            worker.loop.poll(60)
            os.write(writer, b"w")
            os._exit(0)  # whatever else it slept in might be taken for epoll
        pids.append(pid)
    try:
        ready = b""
        while len(ready) < 4:
            ready += os.read(reader, 4)
        for pid in pids:
            while "epoll" not in _wchan(pid):
                time.sleep(0.001)
        _clients = give_many(bench.worker(), 1, False)
        assert os.read(reader, 10) == b"w"
        while not any(map(_has_ended, pids)):
            time.sleep(0.001)
        assert sum("epoll" in _wchan(pid) for pid in pids) == 3
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)


def test_an_exclusive_registration_can_t_be_modified_so_it_is_deleted_and_added(bench: Bench) -> None:
    worker = bench.worker()
    worker.handoff.watch()
    with pytest.raises(OSError, match="Invalid argument"):
        worker.loop.modify(worker.handoff.fd, READABLE)
    for _ in range(2):
        worker.handoff.unwatch()
        worker.handoff.watch()
    _clients = give_many(bench.worker(), 1, False)
    assert worker.handoff.fd in readable_fds(worker)


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _wchan(pid: int) -> str:
    """Where the process sleeps in the kernel; the state alone where the kernel doesn't tell."""
    with open(f"/proc/{pid}/wchan") as file:
        name = file.read()
    if name not in ("", "0"):
        return name
    with open(f"/proc/{pid}/stat") as file:
        return "epoll" if file.read().rsplit(")", 1)[1].split()[0] == "S" else ""
