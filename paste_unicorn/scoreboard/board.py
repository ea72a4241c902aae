"""The shared page in which each worker writes what it is doing: one table of fields, with readers and writers for it.

Workers write their own slot, anyone may read any slot, and nobody takes a lock. The memory is a `memfd` whose
descriptor every template inherits (an anonymous mapping could not reach an exec'ed one). No process, socket or
clock is touched here: times come in as `time.monotonic()` seconds, which all processes of a machine share.

Hot: `SlotWriter.begin`, `end` and `count` run once a request and must stay well under a microsecond together.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from bisect import bisect_right
from collections.abc import Iterable
from enum import IntEnum
from itertools import compress
from typing import NamedTuple

from .uploads import PAGE_SIZE, UploadPage, Uploads

SLOTS = 2048  # a reload needs as many slots again as there are workers
# The first slots have more cells than the others. Cells that nobody uses cost no memory, but all of the file counts for
# `ulimit -v`, of each process, and for `ulimit -f`.
ROOMY_SLOTS = 128
CELLS = 1024
FEW_CELLS = 64

# The header: a page of its own, so that slots stay page-aligned.
_HEADER = struct.Struct("<8sIII")  # magic, layout version, number of slots, cells in a slot with many
_MAGIC = b"unicorn\0"
_LAYOUT = 3
_STOPPING = 64  # offset of one byte: 1 while the whole server is being stopped for good
_WORKERS = struct.Struct("<I")  # how many are wanted now
_WORKERS_OFFSET = 68
_CLOSINGS = 72  # offset of one byte: how often listeners have been told to take no more connections
_ROOM_AT = 80  # monotonic seconds, as in `_BEAT`: when a worker has last said that it has room for connections
_UPLOADS_MARKS = 2048  # a byte for each slot, of `Uploads`
_HEADER_SIZE = 4096

# A slot: who it is, then counters (all unsigned 64 bit, so that a reader never sees half of one), then cells.
_IDENTITY = struct.Struct("<iIIBxxx")  # pid, generation, age (the how manieth worker), state
_DISMISSED_OFFSET = 13  # one byte, which the arbiter writes
_BEAT_OFFSET = 16
_BEAT = struct.Struct("<d")  # monotonic seconds of the last sign of life
_USED_OFFSET = 24
_USED = struct.Struct("<I")  # how many cells, from the first, were ever used: nobody looks at more
_COUNTERS_OFFSET = 32

# How long requests took, in seconds: upper bounds of the histogram's buckets; one more bucket holds the rest.
LATENCY_BOUNDS_S = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip

_COUNTERS = (
    "informational", "successful", "redirected", "client_errors", "server_errors",  # answers, by status class
    "refused",            # answered by the server alone, before any application saw them
    "application_errors",  # exceptions that an application let out
    "bytes_in",
    "bytes_out",
    "connections",        # open now
    "uncelled",           # requests running beyond the number of cells
    "handed_off",         # connections that siblings, or a later generation, got from this worker
    "taken_over",         # connections that it got from others
    "answered_before_retiring",  # requests answered when it was told to go
    "memory",             # bytes resident at the last look, about once a second; 0 where nobody can tell
)  # fmt: skip
_LATENCY = len(_COUNTERS)
_COUNTER_WORDS = _LATENCY + len(LATENCY_BOUNDS_S) + 1
REFUSED, APPLICATION_ERRORS, BYTES_IN, BYTES_OUT, CONNECTIONS, UNCELLED = range(5, 11)
HANDED_OFF, TAKEN_OVER, ANSWERED_BEFORE_RETIRING, MEMORY = range(11, 15)

# A request cell. `first` and `last` are the same number, counted up by each writing and never 0; the writer stores
# first ... last in this order, a reader copies `last` first: if they differ the cell was being written.
_CELL = struct.Struct("<BxxxxxxxQdQq40s32s136sQ")
_CELL_STARTED = struct.Struct("<d")
_CELL_STARTED_OFFSET = 16
_CELL_RECEIVED = struct.Struct("<Q")
_CELL_RECEIVED_OFFSET = 24
_CELLS_OFFSET = _COUNTERS_OFFSET + 8 * 64


def _size_of_slot(cells: int) -> int:
    size = _CELLS_OFFSET + (cells + 1) * _CELL.size  # the last one takes what has no cell, and is never read
    return size + -size % 4096


def _begin_of_slot(slot: int) -> int:
    roomy = min(slot, ROOMY_SLOTS)
    return _HEADER_SIZE + roomy * _size_of_slot(CELLS) + (slot - roomy) * _size_of_slot(FEW_CELLS)


class State(IntEnum):
    """What a worker says of itself."""

    EMPTY = 0
    BOOTING = 1
    READY = 2
    RETIRING = 3
    GONE = 4


class CellReading(NamedTuple):
    """A request under way: `started` in monotonic seconds, sizes in bytes (`expected` -1: not known)."""

    started: float
    received: int
    expected: int
    peer: str
    request_id: str
    request_line: str


class SlotReading(NamedTuple):
    """What a slot says; `counters` maps each counter's name to its value, `latency` has a number a bucket."""

    pid: int
    generation: int
    age: int
    state: State
    last_beat: float
    counters: dict[str, int]
    latency: tuple[int, ...]
    running: tuple[CellReading, ...]

    @property
    def requests(self) -> int:
        """Requests answered, refused ones among them."""
        names = _COUNTERS[:5]
        return sum(self.counters[name] for name in names)


class ScoreboardError(ValueError):
    """The descriptor does not hold a scoreboard of this version."""


class Scoreboard:
    """The mapping of the shared page; `fd` is what an exec'ed process needs to `attach`."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, 0)
        if hasattr(mmap, "MADV_DONTDUMP"):
            # Who dumps core reads all that is mapped, and would make memory of what nobody has touched.
            self._memory.madvise(mmap.MADV_DONTDUMP)
        magic, layout, self.slots, cells = _HEADER.unpack_from(self._memory, 0)
        if (magic, layout, cells) != (_MAGIC, _LAYOUT, CELLS):
            raise ScoreboardError(f"descriptor {fd} does not hold a scoreboard of this version")
        self.uploads = Uploads(self._memory, _UPLOADS_MARKS, _begin_of_slot(self.slots), self.slots)

    @classmethod
    def create(cls, slots: int = SLOTS) -> Scoreboard:
        """A new, empty one. The file is sparse: a slot costs memory once a worker has used it."""
        if hasattr(os, "memfd_create"):
            fd = os.memfd_create("unicorn-scoreboard", os.MFD_CLOEXEC)
        else:
            fd, path = tempfile.mkstemp(prefix="unicorn-scoreboard-")
            os.unlink(path)
        os.ftruncate(fd, _begin_of_slot(slots) + slots * PAGE_SIZE)
        os.pwrite(fd, _HEADER.pack(_MAGIC, _LAYOUT, slots, CELLS), 0)
        return cls(fd)

    @classmethod
    def attach(cls, fd: int) -> Scoreboard:
        """The one that another process created. Raises ScoreboardError."""
        return cls(fd)

    @property
    def stopping(self) -> bool:
        """Whether the server is being stopped for good: a worker that is told to go drains instead of handing over."""
        return bool(self._memory[_STOPPING])

    @stopping.setter
    def stopping(self, value: bool) -> None:
        self._memory[_STOPPING] = int(value)

    @property
    def closings(self) -> int:
        """Another value than before: some listeners take no new connections any more (modulo 256)."""
        return self._memory[_CLOSINGS]

    def say_closing(self) -> None:
        """To be called before listeners are changed, so that whoever accepts from them knows."""
        self._memory[_CLOSINGS] = (self._memory[_CLOSINGS] + 1) % 256

    @property
    def room_at(self) -> float:
        """When a worker has last said that it has room for more connections, in monotonic seconds."""
        return float(_BEAT.unpack_from(self._memory, _ROOM_AT)[0])

    @room_at.setter
    def room_at(self, value: float) -> None:
        _BEAT.pack_into(self._memory, _ROOM_AT, value)

    @property
    def workers(self) -> int:
        """How many workers are wanted now."""
        return int(_WORKERS.unpack_from(self._memory, _WORKERS_OFFSET)[0])

    @workers.setter
    def workers(self, value: int) -> None:
        _WORKERS.pack_into(self._memory, _WORKERS_OFFSET, value)

    def dismiss(self, slot: int) -> None:
        """The arbiter tells this worker to go while the server goes on: it need not look whether all of it stops."""
        self._memory[self._offset(slot) + _DISMISSED_OFFSET] = 1

    def writer(self, slot: int) -> SlotWriter:
        """For the worker that owns this slot."""
        cells = CELLS if slot < ROOMY_SLOTS else FEW_CELLS
        return SlotWriter(self._memory, self._offset(slot), cells, self.uploads.page(slot))

    def read(self, slot: int) -> SlotReading:
        """What the slot says now; cells that are being written at this moment are left out."""
        memory, offset = self._memory, self._offset(slot)
        pid, generation, age, state = _IDENTITY.unpack_from(memory, offset)
        (beat,) = _BEAT.unpack_from(memory, offset + _BEAT_OFFSET)
        words = struct.unpack_from(f"<{_COUNTER_WORDS}Q", memory, offset + _COUNTERS_OFFSET)
        running = map(self._read_cell, self._busy_cells(offset))
        return SlotReading(
            pid, generation, age, State(state), beat,
            dict(zip(_COUNTERS, words, strict=False)), words[_LATENCY:], tuple(cell for cell in running if cell),
        )  # fmt: skip

    def progress(self, slot: int) -> tuple[int, float]:
        """Whose the slot is, and when that one last made progress: a sign of life, or the start of a request.

        `read` knows that too, and costs 30 times as much where many run: 4 ms for 1024.
        """
        memory, offset = self._memory, self._offset(slot)
        pid, _, _, _ = _IDENTITY.unpack_from(memory, offset)
        (beat,) = _BEAT.unpack_from(memory, offset + _BEAT_OFFSET)
        starts = (_CELL_STARTED.unpack_from(memory, at + _CELL_STARTED_OFFSET)[0] for at in self._busy_cells(offset))
        return pid, max([beat, *starts])

    def clear(self, slot: int) -> None:
        """Make the slot empty again, once its worker is gone and has been reported. How its uploads ended stays."""
        self.uploads.end_all(slot)
        _wipe(self._memory, self._offset(slot))

    def _offset(self, slot: int) -> int:
        if not 0 <= slot < self.slots:
            raise IndexError(f"slot {slot}: there are {self.slots}")
        return _begin_of_slot(slot)

    def _busy_cells(self, offset: int) -> Iterable[int]:
        """Where in the memory they lie, of the slot that lies there."""
        memory = self._memory
        (used,) = _USED.unpack_from(memory, offset + _USED_OFFSET)
        begin = offset + _CELLS_OFFSET
        end = begin + used * _CELL.size
        return compress(range(begin, end, _CELL.size), memory[begin : end : _CELL.size])

    def _read_cell(self, offset: int) -> CellReading | None:
        memory = self._memory
        last = memory[offset + _CELL.size - 8 : offset + _CELL.size]
        copy = memory[offset : offset + _CELL.size]
        busy, first, started, received, expected, peer, request_id, line, _ = _CELL.unpack(copy)
        if not busy or not first or struct.pack("<Q", first) != last:
            return None
        texts = (text.rstrip(b"\0").decode("latin-1") for text in (peer, request_id, line))
        return CellReading(started, received, expected, *texts)


def _wipe(memory: mmap.mmap, offset: int) -> None:
    """All of a slot that anybody has written."""
    (used,) = _USED.unpack_from(memory, offset + _USED_OFFSET)
    size = _CELLS_OFFSET + used * _CELL.size
    memory[offset : offset + size] = bytes(size)


class SlotWriter:
    """A worker's pen: only the process that owns the slot may use it."""

    def __init__(self, memory: mmap.mmap, offset: int, cells: int, uploads: UploadPage) -> None:
        self._memory = memory
        self._offset = offset
        self.cells = cells  # that it may have; the one behind them is for all requests that have none
        self._uploads = uploads
        self.begin_upload = uploads.begin
        self._cells = offset + _CELLS_OFFSET
        self._writings = 0
        words = memoryview(memory)[offset + _COUNTERS_OFFSET : offset + _COUNTERS_OFFSET + 8 * _COUNTER_WORDS]
        self.counters = words.cast("Q")

    def claim(self, pid: int, generation: int, age: int, now: float) -> None:
        """Take the slot over from whoever had it before; counters begin at 0, and there is one cell."""
        _wipe(self._memory, self._offset)
        _IDENTITY.pack_into(self._memory, self._offset, pid, generation, age, State.BOOTING)
        self.use_cells(1)
        self.beat(now)

    def use_cells(self, count: int) -> int:
        """From now on there are so many cells, or as many as there may be: that number. Before one of them is used."""
        used = min(count, self.cells)
        _USED.pack_into(self._memory, self._offset + _USED_OFFSET, used)
        return used

    def set_state(self, state: State) -> None:
        self._memory[self._offset + _IDENTITY.size - 4] = state

    @property
    def is_dismissed(self) -> bool:
        """Whether the arbiter has told this worker to go while the server goes on."""
        return bool(self._memory[self._offset + _DISMISSED_OFFSET])

    @property
    def answered(self) -> int:
        """Requests that were answered and counted."""
        return sum(self.counters[:5])

    @property
    def writings(self) -> int:
        """How many requests have begun: another number is another request."""
        return self._writings

    def beat(self, now: float) -> None:
        """A sign of life, in monotonic seconds."""
        _BEAT.pack_into(self._memory, self._offset + _BEAT_OFFSET, now)
        self._uploads.look(now)

    def begin(
        self,
        cell: int,
        started: float,
        peer: bytes,
        request_line: bytes,
        expected: int = 0,
        request_id: bytes = b"",
    ) -> None:
        """A request starts in this cell; texts are cut to the space that they have."""
        self._writings = number = self._writings + 1
        at = self._cells + cell * 256
        _CELL.pack_into(self._memory, at, 1, number, started, 0, expected, peer, request_id, request_line, number)

    def receive(self, cell: int, received: int) -> None:
        """So many bytes of the request's body have arrived."""
        _CELL_RECEIVED.pack_into(self._memory, self._cells + cell * 256 + _CELL_RECEIVED_OFFSET, received)

    def end(self, cell: int) -> None:
        """The request in this cell is over."""
        self._memory[self._cells + cell * 256] = 0

    def count(self, statuses: list[int], sizes: list[int], durations_s: list[float]) -> None:
        """Answers were given: of each its status (0: none was begun), bytes of the body, and seconds that it took.

        Many at a time, with as little as possible done for each.
        """
        counters = self.counters
        for status in set(statuses):
            counters[(status or 500) // 100 - 1] += statuses.count(status)
        counters[BYTES_OUT] += sum(sizes)
        ordered = sorted(durations_s)
        below = 0
        for bucket, bound_s in enumerate(LATENCY_BOUNDS_S, _LATENCY):
            reached = bisect_right(ordered, bound_s, below)
            if reached != below:
                counters[bucket] += reached - below
                below = reached
                if below == len(ordered):
                    return
        counters[_LATENCY + len(LATENCY_BOUNDS_S)] += len(ordered) - below


assert _CELL.size == 256
assert _COUNTER_WORDS <= 64
assert _UPLOADS_MARKS + SLOTS <= _HEADER_SIZE
