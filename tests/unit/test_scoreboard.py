"""The shared page: what one process writes, another reads."""

from __future__ import annotations

import os

import pytest

from paste_unicorn.scoreboard import CELLS, REFUSED, Scoreboard, ScoreboardError, State


@pytest.fixture
def board() -> Scoreboard:
    return Scoreboard.create(slots=4)


def test_a_new_scoreboard_is_empty(board: Scoreboard) -> None:
    reading = board.read(2)
    assert (reading.pid, reading.state, reading.requests, reading.running) == (0, State.EMPTY, 0, ())


def test_what_is_written_in_one_mapping_is_read_in_another(board: Scoreboard) -> None:
    pen = board.writer(1)
    pen.claim(4711, 3, 9, 100.0)
    pen.set_state(State.READY)
    pen.begin(0, 101.5, b"192.0.2.7", b"GET /a HTTP/1.1", expected=12, request_id=b"id-1")
    pen.receive(0, 5)
    reading = Scoreboard.attach(board.fd).read(1)
    assert (reading.pid, reading.generation, reading.age, reading.state) == (4711, 3, 9, State.READY)
    (cell,) = reading.running
    assert cell == (101.5, 5, 12, "192.0.2.7", "id-1", "GET /a HTTP/1.1")
    assert reading.alive_at == 101.5


def test_a_child_writes_and_its_parent_reads(board: Scoreboard) -> None:
    pid = os.fork()
    if pid == 0:
        board.writer(0).claim(os.getpid(), 1, 1, 5.0)
        os._exit(0)
    os.waitpid(pid, 0)
    assert board.read(0).pid == pid


def test_a_request_that_is_over_is_not_running(board: Scoreboard) -> None:
    pen = board.writer(0)
    pen.begin(0, 1.0, b"", b"GET / HTTP/1.1")
    pen.end(0)
    assert board.read(0).running == ()


def test_texts_longer_than_their_field_are_cut(board: Scoreboard) -> None:
    board.writer(0).begin(CELLS - 1, 1.0, b"p" * 100, b"GET /" + b"x" * 5000, request_id=b"i" * 100)
    (cell,) = board.read(0).running
    assert (len(cell.peer), len(cell.request_id), len(cell.request_line)) == (40, 32, 136)


def test_a_cell_that_is_being_written_is_skipped(board: Scoreboard) -> None:
    pen = board.writer(0)
    pen.begin(0, 1.0, b"", b"GET / HTTP/1.1")
    pen._memory[pen._cells + 8] = 99  # the first of the two numbers is new, the last is not yet
    assert board.read(0).running == ()


def test_answers_are_counted_by_class_and_duration(board: Scoreboard) -> None:
    pen = board.writer(0)
    pen.count([200, 204, 302, 404, 0], [10] * 5, [0.0001, 0.003, 0.003, 0.003, 1000.0])
    pen.counters[REFUSED] += 1
    reading = board.read(0)
    named = reading.counters
    assert [
        named[name] for name in ("informational", "successful", "redirected", "client_errors", "server_errors")
    ] == [0, 2, 1, 1, 1]
    assert (named["refused"], named["bytes_out"], reading.requests) == (1, 50, 5)
    assert (sum(reading.latency), reading.latency[0], reading.latency[-1]) == (5, 1, 1)


def test_claiming_a_slot_forgets_who_had_it(board: Scoreboard) -> None:
    pen = board.writer(0)
    pen.count([200], [1], [0.1])
    pen.begin(0, 1.0, b"", b"GET / HTTP/1.1")
    board.writer(0).claim(1, 1, 1, 1.0)
    reading = board.read(0)
    assert (reading.requests, reading.running, reading.state) == (0, (), State.BOOTING)


def test_stopping_is_seen_by_everyone(board: Scoreboard) -> None:
    other = Scoreboard.attach(board.fd)
    assert not other.stopping
    board.stopping = True
    assert other.stopping


def test_a_slot_that_does_not_exist_is_an_error(board: Scoreboard) -> None:
    with pytest.raises(IndexError, match="slot 4: there are 4"):
        board.read(4)


def test_a_foreign_descriptor_is_refused(tmp_path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(8192))
    with path.open("r+b") as file, pytest.raises(ScoreboardError):
        Scoreboard.attach(file.fileno())


def test_a_dismissed_worker_knows_it_until_the_slot_is_claimed_again(board: Scoreboard) -> None:
    pen = board.writer(1)
    pen.claim(4711, 1, 1, 0.0)
    assert not pen.is_dismissed
    board.dismiss(1)
    assert pen.is_dismissed
    assert not board.writer(2).is_dismissed
    pen.set_state(State.RETIRING)
    assert pen.is_dismissed
    pen.claim(4712, 1, 2, 0.0)
    assert not pen.is_dismissed


def test_every_process_sees_how_many_workers_are_wanted(board: Scoreboard) -> None:
    board.stopping = True
    board.workers = 1000
    there = Scoreboard.attach(board.fd)
    assert (there.workers, there.stopping) == (1000, True)
