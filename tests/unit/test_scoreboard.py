"""The shared page: what one process writes, another reads."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from paste_unicorn.scoreboard import CELLS, REFUSED, SLOTS, Scoreboard, ScoreboardError, SlotWriter, State
from paste_unicorn.scoreboard.board import FEW_CELLS, ROOMY_SLOTS


@pytest.fixture
def board() -> Scoreboard:
    return Scoreboard.create(slots=4)


def pen_of(board: Scoreboard, slot: int) -> SlotWriter:
    """That of a worker which has claimed it, and all the cells that it may have."""
    pen = board.writer(slot)
    pen.claim(4711, 1, 1, 0.0)
    pen.use_cells(CELLS)
    return pen


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
    assert board.progress(1) == (4711, 101.5)
    pen.beat(102.0)
    assert board.progress(1) == (4711, 102.0)


def test_a_child_writes_and_its_parent_reads(board: Scoreboard) -> None:
    pid = os.fork()
    if pid == 0:
        board.writer(0).claim(os.getpid(), 1, 1, 5.0)
        os._exit(0)
    os.waitpid(pid, 0)
    assert board.read(0).pid == pid


def test_a_request_that_is_over_is_not_running(board: Scoreboard) -> None:
    pen = pen_of(board, 0)
    pen.begin(0, 1.0, b"", b"GET / HTTP/1.1")
    assert len(board.read(0).running) == 1
    pen.end(0)
    assert board.read(0).running == ()


def test_texts_longer_than_their_field_are_cut(board: Scoreboard) -> None:
    pen_of(board, 0).begin(CELLS - 1, 1.0, b"p" * 100, b"GET /" + b"x" * 5000, request_id=b"i" * 100)
    (cell,) = board.read(0).running
    assert (len(cell.peer), len(cell.request_id), len(cell.request_line)) == (40, 32, 136)


def test_a_cell_that_is_being_written_is_skipped(board: Scoreboard) -> None:
    pen = pen_of(board, 0)
    pen.begin(0, 1.0, b"", b"GET / HTTP/1.1")
    assert len(board.read(0).running) == 1
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
    pen = pen_of(board, 0)
    pen.count([200], [1], [0.1])
    pen.begin(CELLS - 1, 1.0, b"", b"GET / HTTP/1.1")
    assert len(board.read(0).running) == 1
    pen_of(board, 0)
    reading = board.read(0)
    assert (reading.requests, reading.running, reading.state) == (0, (), State.BOOTING)


def test_a_request_beyond_the_cells_is_nobody_s(board: Scoreboard) -> None:
    pen = pen_of(board, 0)
    pen.begin(pen.cells, 1.0, b"", b"GET / HTTP/1.1")
    assert board.read(0).running == ()
    pen_of(board, 1)
    assert board.read(1).running == (), "nor the next slot's"


def test_slots_behind_the_first_ones_have_fewer_cells_and_overlap_as_little() -> None:
    board = Scoreboard.create()
    pens = {slot: pen_of(board, slot) for slot in (ROOMY_SLOTS - 1, ROOMY_SLOTS, ROOMY_SLOTS + 1, SLOTS - 1)}
    assert [pen.cells for pen in pens.values()] == [CELLS, *[FEW_CELLS] * 3]
    for slot, pen in pens.items():
        for cell in range(pen.cells + 1):
            pen.begin(cell, slot, b"", b"")
    for slot, pen in pens.items():
        assert [cell.started for cell in board.read(slot).running] == [slot] * pen.cells
        board.clear(slot)
    assert all(not board.read(slot).running for slot in pens)


def test_a_slot_costs_the_memory_of_those_cells_that_its_worker_may_use() -> None:
    board = Scoreboard.create()
    pen = board.writer(1)
    pen.claim(4711, 1, 1, 1.0)
    pen.begin(0, 1.0, b"", b"")
    assert (len(board.read(1).running), board.progress(1)) == (1, (4711, 1.0))
    board.clear(1)
    pages = os.fstat(board.fd).st_blocks * 512 // 4096
    assert pages <= 3, "the header's, the slot's, that which says which uploads there are"


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTDUMP"), reason="this system does not ask")
def test_who_dumps_core_does_not_touch_what_nobody_has_used(board: Scoreboard) -> None:
    maps = Path("/proc/self/smaps").read_text().partition("unicorn-scoreboard")[2]
    assert "dd" in maps.partition("VmFlags:")[2].splitlines()[0].split()


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
