"""When a file may be sent by the kernel, and from where."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
from pathlib import Path

import pytest

from paste_unicorn.wsgi.file_wrapper import FileWrapper


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * 1000)
    return path


def test_a_fresh_file_is_sent_whole(path: Path) -> None:
    with path.open("rb") as file:
        assert FileWrapper(file).region() == (file.fileno(), 0, 10000)


def test_a_buffered_file_is_sent_from_where_python_stands(path: Path) -> None:
    with path.open("rb") as file:
        file.read(3)  # the descriptor itself is 8192 bytes further by now
        assert FileWrapper(file).region() == (file.fileno(), 3, 9997)


def test_an_unbuffered_file_qualifies(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        file.seek(9990)
        assert FileWrapper(file).region() == (file.fileno(), 9990, 10)


def test_what_was_written_to_an_updated_file_is_flushed_first(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(0, io.SEEK_END)
        file.write(b"more")
        file.seek(10000 - 10)
        region = FileWrapper(file).region()
        assert region is not None
        assert region[1:] == (9990, 14)


def test_a_named_temporary_file_qualifies() -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"abc")
        file.seek(1)
        region = FileWrapper(file).region()
        assert region is not None
        assert region[1:] == (1, 2)


def test_a_position_beyond_the_end_leaves_nothing(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(20000)
        region = FileWrapper(file).region()
        assert region is not None
        assert region.length == 0


def test_files_whose_read_gives_something_else_are_read(path: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(b"hello"))
    with gzip.open(packed) as file:
        assert FileWrapper(file).region() is None
    with path.open() as text:
        assert FileWrapper(text).region() is None
    assert FileWrapper(io.BytesIO(b"x")).region() is None


def test_what_is_not_a_regular_file_is_read() -> None:
    with open("/dev/zero", "rb") as file:
        assert FileWrapper(file).region() is None


@pytest.mark.skipif(not os.path.exists("/proc/version"), reason="asks the kernel of Linux")
def test_a_file_of_which_the_kernel_tells_no_size_is_read() -> None:
    with open("/proc/version", "rb") as file:
        assert os.fstat(file.fileno()).st_size == 0
        assert FileWrapper(file).region() is None
        assert b"".join(FileWrapper(file)).startswith(b"Linux version ")


def test_a_file_opened_for_writing_alone_is_not_sent(tmp_path: Path) -> None:
    with (tmp_path / "w").open("wb", buffering=0) as file:
        assert FileWrapper(file).region() is None


def test_iteration_gives_blocks_and_close_closes(path: Path) -> None:
    file = path.open("rb")
    wrapper = FileWrapper(file, 4000)
    assert [len(block) for block in wrapper] == [4000, 4000, 2000]
    wrapper.close()
    assert file.closed


def test_a_filelike_without_close_gives_none() -> None:
    class Reader:
        def read(self, size: int) -> bytes:
            return b""

    assert not hasattr(FileWrapper(Reader()), "close")
