"""`wsgi.file_wrapper`, and when it may become `sendfile` (PEP 3333, "Optional Platform-Specific File Handling")."""

from __future__ import annotations

import io
import os
import stat
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple


class FileRegion(NamedTuple):
    """Bytes of a file that the kernel can send by itself: descriptor, first byte, length in bytes."""

    fd: int
    offset: int
    length: int


class FileWrapper:
    """An iterable over a file-like object, in blocks; `close` closes the object."""

    def __init__(self, filelike: Any, block_size: int = 65536) -> None:
        self.filelike = filelike
        self.block_size = block_size
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> Iterator[bytes]:
        while block := self.filelike.read(self.block_size):
            yield block

    def region(self) -> FileRegion | None:
        """What remains of the file from its position *as Python sees it*, or None where only reading is right.

        Only the standard library's own binary files qualify. Others may have a `fileno` too, but their `read` can give
        something else than the bytes on disk (a GzipFile's does).
        """
        file = self.filelike
        if isinstance(file, tempfile._TemporaryFileWrapper):
            file = file.file
        raw = file.raw if type(file) in (io.BufferedReader, io.BufferedRandom) else file
        if type(raw) is not io.FileIO:
            return None
        try:
            if type(file) is io.BufferedRandom:
                file.flush()
            offset = file.tell()  # counts what the buffer has read ahead as not yet read
            status = os.fstat(raw.fileno())
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(status.st_mode) or not raw.readable():
            return None
        if not status.st_size:  # there may be something all the same: in /proc, and in file systems of programs (FUSE)
            return None
        return FileRegion(raw.fileno(), offset, max(0, status.st_size - offset))
