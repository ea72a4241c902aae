"""A log that can't be written costs lines, said once, and never an exception."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from paste_unicorn.ops import sink as sink_module
from paste_unicorn.ops.sink import Console, LogsProblem, Sink


class Heard:
    """Collects what a sink complains about."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def __call__(self, level: str, sentence: str) -> None:
        self.said.append((level, sentence))


def opened(path: Path, heard: Heard) -> Sink:
    return Sink.open("errorlog", "error log", str(path), heard)


def test_lines_are_appended_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "site.log"
    path.write_bytes(b"old\n")
    sink = opened(path, Heard())
    sink.write(b"new\n")
    sink.close()
    assert path.read_bytes() == b"old\nnew\n"


def test_a_path_that_cannot_be_opened_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(LogsProblem) as caught:
        opened(tmp_path / "missing" / "site.log", Heard())
    assert str(caught.value).startswith(f'errorlog: "{tmp_path}/missing/site.log" can\'t be opened')
    assert "No such file or directory" in str(caught.value)


def test_the_descriptor_is_closed_on_exec_and_keeps_its_number_when_reopened(tmp_path: Path) -> None:
    path = tmp_path / "site.log"
    sink = opened(path, Heard())
    fd = sink.fd
    sink.write(b"one\n")
    path.rename(tmp_path / "site.log.1")
    sink.write(b"still the old file\n")
    sink.reopen()
    sink.write(b"two\n")
    assert sink.fd == fd
    assert not os.get_inheritable(fd)
    sink.close()
    assert (tmp_path / "site.log.1").read_bytes() == b"one\nstill the old file\n"
    assert path.read_bytes() == b"two\n"


def test_a_reopen_that_fails_is_said_and_the_old_file_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    heard = Heard()
    sink = opened(folder / "site.log", heard)
    folder.rename(tmp_path / "moved")
    sink.reopen()
    sink.write(b"goes on\n")
    sink.close()
    assert [level for level, _ in heard.said] == ["ERROR"]
    assert (tmp_path / "moved" / "site.log").read_bytes() == b"goes on\n"


def test_after_copytruncate_the_next_line_is_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "site.log"
    sink = opened(path, Heard())
    sink.write(b"x" * 1000 + b"\n")
    os.truncate(path, 0)
    sink.write(b"fresh\n")
    sink.close()
    assert path.read_bytes() == b"fresh\n"


def test_a_full_disk_is_said_once_and_recovery_names_the_lost_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "_RETRY_S", 3600.0)  # only `reopen` opens it anew, however long this takes
    path = tmp_path / "site.log"
    heard = Heard()
    sink = opened(path, heard)
    with open("/dev/full", "wb") as full:  # every write fails with ENOSPC
        os.dup2(full.fileno(), sink.fd)
    for _ in range(3):
        sink.write(b"lost\n")
    assert len(heard.said) == 1
    assert "No space left on device" in heard.said[0][1]
    sink.reopen()
    sink.write(b"kept\n")
    sink.write(b"kept\n")
    sink.close()
    assert [level for level, _ in heard.said] == ["ERROR", "WARNING"]
    assert "3 lines" in heard.said[1][1]
    assert path.read_bytes() == b"kept\nkept\n"


def test_a_line_that_the_disk_cut_is_not_glued_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "site.log"
    sink = opened(path, Heard())
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(sink_module.os, "write", lambda fd, data: real(fd, data[:3]))
        sink.write(b"cut off\n")
    sink.write(b"whole\n")
    sink.write(b"whole\n")
    sink.close()
    assert path.read_bytes() == b"cut\nwhole\nwhole\n"


def test_a_descriptor_that_went_bad_is_opened_anew_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sink_module, "_RETRY_S", 0.0)
    path = tmp_path / "site.log"
    sink = opened(path, Heard())
    read_end, write_end = os.pipe()
    os.dup2(write_end, sink.fd)
    os.close(write_end)
    os.close(read_end)  # a pipe without a reader: EPIPE
    sink.write(b"lost\n")
    sink.write(b"kept\n")
    sink.close()
    assert path.read_bytes() == b"kept\n"


def test_a_console_that_is_gone_hurts_nobody() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    Console(write_end).say("ERROR", "nobody hears this")
    Sink("standard error", write_end, None, None).write(b"nor this\n")
    os.close(write_end)


def test_lines_of_many_threads_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "site.log"
    sink = opened(path, Heard())
    lines = [bytes([letter]) * 300 + b"\n" for letter in b"abcd"]

    def write(line: bytes) -> None:
        for _ in range(200):
            sink.write(line)

    threads = [threading.Thread(target=write, args=(line,)) for line in lines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sink.close()
    found = path.read_bytes().splitlines(keepends=True)
    assert sorted(found) == sorted(lines * 200)
