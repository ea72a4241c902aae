"""What is written to a reader that stands still, by a process that must not wait: the arbiter."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from paste_unicorn.ops import patience
from paste_unicorn.ops.sink import Sink
from paste_unicorn.ops.stand_ins import StandIn

LONGER_THAN_A_PAGE = b"x" * 10_000 + b"\n"


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the arbiter."""
    monkeypatch.setattr(patience, "_has_lost_it", True)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """One that is full."""
    reader, writer = os.pipe()
    fill(writer)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def fill(writer: int) -> None:
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"-" * 4096)
    os.set_blocking(writer, True)


def take(reader: int) -> bytes:
    """All that is in there."""
    os.set_blocking(reader, False)
    taken = b""
    with contextlib.suppress(BlockingIOError):
        while data := os.read(reader, 65536):
            taken += data
    return taken


def test_what_a_full_pipe_does_not_take_is_lost_and_counted_in_the_pipe_itself(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sink = Sink("standard error", writer, None, None)
    for _ in range(3):
        sink.write(b"lost\n")
    assert set(take(reader)) == {ord("-")}
    sink.write(b"kept\n")
    sink.write(b"kept\n")
    said, *kept = take(reader).splitlines()
    assert said.endswith(b"[WARNING] The standard error can be written again; 3 lines of this process were lost.")
    assert kept == [b"kept", b"kept"]


def test_a_line_for_which_there_is_room_in_part_is_cut_and_ended(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    sink = Sink("standard error", writer, None, None)
    os.read(reader, 4096)
    sink.write(LONGER_THAN_A_PAGE)
    assert take(reader).endswith(b"-" + b"x" * 4096)
    sink.write(b"whole\n")
    nothing, said, whole = take(reader).splitlines()
    assert (nothing, whole) == (b"", b"whole")
    assert b"; 1 lines of this process were lost" in said


def test_another_log_s_reader_is_complained_of_on_the_console(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    said: list[str] = []
    sink = Sink.open("errorlog", "error log", str(path), lambda level, sentence: said.append(sentence))
    fill(sink.fd)
    sink.write(b"lost\n")
    assert said == [
        f"Could not write to the error log {path} (whoever reads it stands still); requests go on, their lines are lost"
        " until it can be written again."
    ]
    os.close(reader)  # nor is a reader waited for where there is none
    sink.reopen()
    assert "Could not reopen" in said[1]
    sink.close()


def test_a_socket_is_not_waited_for_either() -> None:
    ours, theirs = socket.socketpair()
    fill(ours.fileno())
    with pytest.raises(BlockingIOError):
        patience.write(ours.fileno(), b"lost\n")
    take(theirs.fileno())
    assert patience.write(ours.fileno(), LONGER_THAN_A_PAGE) == len(LONGER_THAN_A_PAGE)
    for one in (ours, theirs):
        one.close()


def test_a_pipe_without_a_reader_is_told_as_such() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        patience.write(writer, b"nobody\n")
    os.close(writer)


def test_a_file_gets_each_line_in_one_piece(tmp_path: Path) -> None:
    with (tmp_path / "log").open("ab") as file:
        assert patience.write(file.fileno(), LONGER_THAN_A_PAGE) == len(LONGER_THAN_A_PAGE)


def test_a_print_through_a_stand_in_is_one_line(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    with open(writer, "w", encoding="latin-1", closefd=False) as stream:
        stand_in = StandIn(stream, Sink("standard output", writer, None, None))
        print("lost", "as", "one", file=stand_in, flush=True)
        take(reader)
        print("grün", "☃", file=stand_in)
        said, printed = take(reader).splitlines()
        assert b"; 1 lines of this process" in said
        assert printed == b"gr\xfcn \\u2603"
        assert stand_in.fileno() == writer


def test_children_get_the_streams_that_were_there_and_wait() -> None:
    program = (
        "import os, sys\n"
        "from paste_unicorn.ops import patience, stand_ins\n"
        "before = sys.stdout\n"
        "stand_ins.never_wait()\n"
        "stand_ins.never_wait()\n"
        "assert sys.stdout.stream is before and patience._has_lost_it\n"
        "if not os.fork():\n"
        "    os._exit(0 if sys.stdout is before and not patience._has_lost_it else 1)\n"
        "assert os.waitpid(-1, 0)[1] == 0\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
