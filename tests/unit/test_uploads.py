"""Uploads on the shared page: what the worker that receives one writes, any process reads by its id."""

from __future__ import annotations

import pytest

from paste_unicorn.scoreboard import SLOTS, Scoreboard, SlotWriter
from paste_unicorn.scoreboard.uploads import STALLED_S, UPLOADS, UploadReading, UploadRow, UploadState, upload_id

ID = b"0123456789abcdef0123456789abcdef"
OTHER = b"0123456789abcdef"  # the other's beginning
NAMES = [b"upload-number-%04d" % number for number in range(UPLOADS)]


@pytest.fixture
def board() -> Scoreboard:
    return Scoreboard.create(slots=4)


def test_what_one_process_writes_another_finds_by_the_id(board: Scoreboard) -> None:
    row = board.writer(3).begin_upload(ID, 1000, 5.0)
    assert row is not None
    row.receive(10)
    there = Scoreboard.attach(board.fd).uploads
    assert there.find(ID) == UploadReading(UploadState.UPLOADING, 5.0, 10, 1000)
    assert there.find(OTHER) is None
    row.receive(1000)
    row.end(UploadState.DONE)
    assert there.find(ID) == UploadReading(UploadState.DONE, 5.0, 1000, 1000)


def test_the_last_slot_has_room_as_the_first() -> None:
    board = Scoreboard.create()
    for slot, name in ((0, ID), (SLOTS - 1, OTHER)):
        board.writer(slot).begin_upload(name, slot, 1.0)
    assert [board.uploads.find(name) for name in (ID, OTHER)] == [
        UploadReading(UploadState.UPLOADING, 1.0, 0, slot) for slot in (0, SLOTS - 1)
    ]
    assert (board.stopping, board.read(0).running) == (False, ())


def test_of_several_with_one_id_the_latest_counts(board: Scoreboard) -> None:
    for slot, started in ((0, 1.0), (2, 3.0), (1, 2.0)):
        board.writer(slot).begin_upload(ID, slot, started)
    reading = board.uploads.find(ID)
    assert reading is not None
    assert reading.expected == 2


def test_the_row_that_began_first_of_those_that_have_ended_is_used_again(board: Scoreboard) -> None:
    pen = board.writer(0)
    rows = [pen.begin_upload(name, -1, float(number)) for number, name in enumerate(NAMES)]
    for number in (20, 10, 30):
        row = rows[number]
        assert row is not None
        row.end(UploadState.ERROR)
    assert pen.begin_upload(ID, -1, 1000.0) is not None
    assert [name for name in NAMES if board.uploads.find(name) is None] == [NAMES[10]]


def all_running(board: Scoreboard) -> tuple[SlotWriter, list[UploadRow]]:
    """A slot that has no free row: each upload began a second after the one before."""
    pen = board.writer(0)
    rows = [pen.begin_upload(name, 1000, float(number)) for number, name in enumerate(NAMES)]
    return pen, [row for row in rows if row is not None]


def test_where_all_are_on_their_way_the_one_that_has_stalled_longest_gives_its_row(board: Scoreboard) -> None:
    pen, rows = all_running(board)
    for number, row in enumerate(rows):
        if number != 20:
            row.receive(1)
    pen.beat(100.0)
    new = pen.begin_upload(ID, 10, 100.5)
    assert new is not None
    assert [name for name in NAMES if board.uploads.find(name) is None] == [NAMES[20]]
    assert board.uploads.find(ID) == UploadReading(UploadState.UPLOADING, 100.5, 0, 10)


def test_whoever_has_lost_its_row_writes_into_no_other_upload(board: Scoreboard) -> None:
    pen, rows = all_running(board)
    new = pen.begin_upload(ID, 10, 1000.0)
    assert new is not None
    rows[0].receive(999)
    rows[0].end(UploadState.ERROR)
    new.receive(7)
    assert board.uploads.find(ID) == UploadReading(UploadState.UPLOADING, 1000.0, 7, 10)
    rows[0].receive(1000)
    assert board.uploads.find(ID) == UploadReading(UploadState.UPLOADING, 1000.0, 7, 10)
    assert board.uploads.find(NAMES[0]) is None


def test_what_has_received_something_lately_keeps_its_row(board: Scoreboard) -> None:
    pen, rows = all_running(board)
    for row in rows:
        row.receive(1)
    pen.beat(100.0)
    assert pen.begin_upload(ID, 10, 100.0 + STALLED_S - 0.1) is None
    rows[5].receive(2)
    pen.beat(100.0 + STALLED_S)
    assert pen.begin_upload(ID, 10, 100.0 + STALLED_S) is not None
    assert board.uploads.find(NAMES[5]) is not None


def test_a_row_that_a_killed_worker_left_is_free(board: Scoreboard) -> None:
    _, rows = all_running(board)
    assert len(rows) == UPLOADS
    assert board.writer(0).begin_upload(ID, 10, 1.0) is not None, "another process owns the slot now"


def test_a_worker_that_is_gone_leaves_how_its_uploads_ended(board: Scoreboard) -> None:
    pen = board.writer(1)
    done, cut = pen.begin_upload(ID, 10, 1.0), pen.begin_upload(OTHER, 10, 1.0)
    assert done is not None
    assert cut is not None
    done.end(UploadState.DONE)
    cut.receive(4)
    board.clear(1)
    pen.claim(4711, 1, 1, 2.0)
    assert board.uploads.find(ID) == UploadReading(UploadState.DONE, 1.0, 0, 10)
    assert board.uploads.find(OTHER) == UploadReading(UploadState.ERROR, 1.0, 4, 10)


@pytest.mark.parametrize(
    ("query", "field", "found"),
    [
        ("X-Progress-ID=0123456789abcdef", "", OTHER),
        ("a=b&X-Progress-ID=0123456789abcdef&c", "", OTHER),
        ("", "0123456789abcdef", OTHER),
        ("X-Progress-ID=ffffffffffffffff", "0123456789abcdef", OTHER),  # the field goes first, as in nginx's module
        ("X-Progress-ID=" + "Az09-_" * 5 + "xy", "", b"Az09-_" * 5 + b"xy"),
        ("", "", None),
        ("not-X-Progress-ID=0123456789abcdef", "", None),
        ("x-progress-id=0123456789abcdef", "", None),
        ("X-Progress-ID=0123456789abcde", "", None),  # 15: too easy to guess
        ("X-Progress-ID=" + "a" * 33, "", None),
        ("X-Progress-ID=0123456789abcde%66", "", None),
        ("", "0123456789abcdef, 1", None),
        ("", "0123456789abcdef\n", None),
        ("", "ß" * 20, None),
    ],
)
def test_the_id_of_an_upload(query: str, field: str, found: bytes | None) -> None:
    assert upload_id(query, field) == found
