"""How far uploads are: a page of the shared memory for each slot, with a row for each body whose client gave an id.

The slot's worker writes the rows; whoever knows an id finds its row, whichever worker that is. A row stays when its
body has arrived, and when its worker has gone, until it is needed for another upload: so somebody who asks a little
later still learns how it ended. Where all rows are of uploads on their way, one that has stalled loses its own.
"""

from __future__ import annotations

import mmap
import re
import struct
from enum import IntEnum
from typing import NamedTuple

UPLOADS = 64  # rows of a slot
STALLED_S = 10.0  # who has received nothing for so long gives its row to another upload, if there is no other row
LONGEST_ID, SHORTEST_ID = 32, 16

_ROW = struct.Struct("<32sB7xdQq")  # id, state, monotonic seconds of its begin, bytes received, bytes expected
_STATE_OFFSET, _RECEIVED_OFFSET = 32, 48
_RECEIVED = struct.Struct("<Q")
PAGE_SIZE = UPLOADS * _ROW.size

_ID = re.compile(r"[A-Za-z0-9_-]{16,32}", re.ASCII)
_PARAMETER = "X-Progress-ID="


class UploadState(IntEnum):
    """What became of an upload."""

    NONE = 0
    UPLOADING = 1
    DONE = 2  # all of it has arrived
    ERROR = 3  # no more of it will


class UploadReading(NamedTuple):
    """`started` in monotonic seconds; decoded bytes of the body so far, and of all of it (-1: not known)."""

    state: UploadState
    started: float
    received: int
    expected: int


def upload_id(query: str, field: str) -> bytes | None:
    """The id that a client gives its upload: the value of the field X-Progress-ID, else the query's parameter.

    None where there is none, or one that is not 16 to 32 letters, digits, "-" and "_".
    """
    found = field
    if not found and _PARAMETER in query:
        given = (one.removeprefix(_PARAMETER) for one in query.split("&") if one.startswith(_PARAMETER))
        found = next(given, "")
    return found.encode() if _ID.fullmatch(found) else None


class UploadRow:
    """The pen for one body. Only the process that owns the slot may use it."""

    __slots__ = ("_noted", "_row", "arrived")

    def __init__(self, row: memoryview, now: float) -> None:
        self._row: memoryview | bytearray = row
        self._noted = 0  # bytes received, when somebody looked last
        self.arrived = now  # monotonic seconds at which somebody saw last that more had arrived

    def receive(self, received: int) -> None:
        """So many bytes have arrived."""
        _RECEIVED.pack_into(self._row, _RECEIVED_OFFSET, received)

    def end(self, state: UploadState) -> None:
        """The body has arrived, or never will."""
        self._row[_STATE_OFFSET] = state

    def look(self, now: float) -> None:
        """Note whether more has arrived since the last look."""
        (received,) = _RECEIVED.unpack_from(self._row, _RECEIVED_OFFSET)
        if received != self._noted:
            self._noted, self.arrived = received, now

    def lose(self) -> None:
        """From now on this body is not followed: whoever receives it, in another thread perhaps, writes into nothing.

        One attribute changes, which each writing reads once, so that none meets the upload that gets the row.
        """
        self._row = bytearray(_ROW.size)


class UploadPage:
    """The page of one slot, for the process that owns it. `mark` is where to say that it was used."""

    def __init__(self, memory: mmap.mmap, mark: int, page: int) -> None:
        self._memory = memory
        self._mark = mark
        self._page = page
        self._rows: dict[int, UploadRow] = {}  # where a row lies → the pen of the upload that has it, or had it last

    def begin(self, upload: bytes, expected: int, now: float) -> UploadRow | None:
        """A row for a body that is about to arrive at this slot's worker; None where so many are on their way that all
        rows are taken, and none of them has stalled.
        """
        memory = self._memory
        at = self._free(now)
        if at < 0:
            at = self._stalled(now)
        if at < 0:
            return None
        # The state comes last, so that nobody takes what is half written for the upload that was here before.
        _ROW.pack_into(memory, at, upload, UploadState.NONE, now, 0, expected)
        memory[at + _STATE_OFFSET] = UploadState.UPLOADING
        memory[self._mark] = 1
        row = self._rows[at] = UploadRow(memoryview(memory)[at : at + _ROW.size], now)
        return row

    def look(self, now: float) -> None:
        """To be called again and again: note which uploads have received something since. 40 µs for 64."""
        for row in tuple(self._rows.values()):
            row.look(now)

    def _free(self, now: float) -> int:
        """Where the row lies that began first of those whose upload has ended; -1 where none has."""
        oldest, at = now, -1
        for row in range(self._page, self._page + PAGE_SIZE, _ROW.size):
            _, state, started, _, _ = _ROW.unpack_from(self._memory, row)
            # What is on its way and was not begun here was the slot's last worker's.
            if (state != UploadState.UPLOADING or row not in self._rows) and (at < 0 or started < oldest):
                oldest, at = started, row
        return at

    def _stalled(self, now: float) -> int:
        """Where the row lies whose upload has received nothing for the longest time, and has lost it; -1 where all of
        them have received something lately.
        """
        self.look(now)
        at, row = min(self._rows.items(), key=lambda found: found[1].arrived)
        if now - row.arrived < STALLED_S:
            return -1
        row.lose()
        return at


class Uploads:
    """The pages of all slots. `marks` is where one byte for each slot says whether its page was ever used: to read one
    that was not would cost the memory of it.
    """

    def __init__(self, memory: mmap.mmap, marks: int, pages: int, slots: int) -> None:
        self._memory = memory
        self._marks = marks
        self._pages = pages
        self._slots = slots

    def page(self, slot: int) -> UploadPage:
        """For the worker that owns this slot."""
        return UploadPage(self._memory, self._marks + slot, self._pages + slot * PAGE_SIZE)

    def find(self, upload: bytes) -> UploadReading | None:
        """How far the upload with this id is; the latest one where there were several. 1 µs for each slot in use."""
        memory, name = self._memory, upload.ljust(LONGEST_ID, b"\0")
        latest: UploadReading | None = None
        slot = memory.find(b"\1", self._marks, self._marks + self._slots)
        while slot >= 0:
            page = self._pages + (slot - self._marks) * PAGE_SIZE
            at = memory.find(name, page, page + PAGE_SIZE)
            while at >= 0:
                reading = self._read(at, name)
                if reading is not None and (latest is None or reading.started > latest.started):
                    latest = reading
                at = memory.find(name, at + 1, page + PAGE_SIZE)
            slot = memory.find(b"\1", slot + 1, self._marks + self._slots)
        return latest

    def _read(self, at: int, name: bytes) -> UploadReading | None:
        if (at - self._pages) % _ROW.size:
            return None
        _, state, started, received, expected = _ROW.unpack_from(self._memory, at)
        found, state_after, started_after, _, _ = _ROW.unpack_from(self._memory, at)
        if found != name or started_after != started or not state or not state_after:
            return None  # it became another upload's at this moment
        return UploadReading(UploadState(state), started, received, expected)

    def end_all(self, slot: int) -> None:
        """The slot's worker is gone: what had not arrived never will."""
        if self._memory[self._marks + slot]:
            page = self._pages + slot * PAGE_SIZE
            for state in range(page + _STATE_OFFSET, page + PAGE_SIZE, _ROW.size):
                if self._memory[state] == UploadState.UPLOADING:
                    self._memory[state] = UploadState.ERROR


assert PAGE_SIZE == 4096
