"""Ours to write, ours to remove."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paste_unicorn.arbiter import pidfile

NOBODY, NOBODY_ELSE = 2**22 + 1, 2**22 + 2  # pids beyond those that the kernel gives


def test_it_holds_our_pid_until_it_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    pidfile.write(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    assert os.listdir(tmp_path) == ["pid"]
    pidfile.remove(str(path))
    assert not path.exists()


def test_that_of_a_running_server_is_respected(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(f"{os.getppid()}\n")
    with pytest.raises(pidfile.PidFileProblem, match=f"already running as pid {os.getppid()}"):
        pidfile.write(str(path))
    pidfile.remove(str(path))
    assert path.exists()


def test_that_of_a_dead_process_is_replaced(tmp_path: Path) -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    path = tmp_path / "pid"
    path.write_text(f"{done.pid}\n")
    pidfile.write(str(path))
    assert path.read_text() == f"{os.getpid()}\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_pid_that_another_process_got_later_is_no_server_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text(f"{os.getppid()}\n")
    os.utime(path, (1.0, 1.0))
    pidfile.write(str(path))
    assert path.read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("content", ["", "nonsense", "-"])
def test_what_holds_no_pid_is_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "pid"
    path.write_text(content)
    pidfile.write(str(path))
    assert path.read_text() == f"{os.getpid()}\n"


def test_a_folder_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(pidfile.PidFileProblem, match="name a file in a folder that exists"):
        pidfile.write(str(tmp_path / "nowhere" / "pid"))


def test_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "pid").mkdir()
    for way in (pidfile.write, pidfile.attempt):
        with pytest.raises(pidfile.PidFileProblem, match=r"Is a directory; name a file\Z"):
            way(str(tmp_path / "pid"))
    assert os.listdir(tmp_path) == ["pid"]


@pytest.mark.skipif(os.geteuid() != 0, reason="acts as two users")
def test_what_somebody_else_has_in_a_folder_like_tmp_is_told(tmp_path: Path) -> None:
    path = tmp_path / "pids" / "pid"
    path.parent.mkdir()
    path.parent.chmod(0o1777)
    path.write_text(f"{NOBODY}\n")
    for folder in path.parents[1:]:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
    os.seteuid(65534)
    try:
        for way in (pidfile.write, pidfile.attempt):
            with pytest.raises(pidfile.PidFileProblem, match="Operation not permitted"):
                way(str(path))
    finally:
        os.seteuid(0)
    assert os.listdir(path.parent) == ["pid"]


def test_what_is_tried_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    assert pidfile.attempt(str(path)) == 0
    assert os.listdir(tmp_path) == []
    path.write_text(f"{os.getppid()}\n")
    assert pidfile.attempt(str(path)) == os.getppid()
    assert path.read_text() == f"{os.getppid()}\n"


def test_to_look_whether_it_may_be_ours_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    pidfile.check(str(path))
    assert not path.exists()
    path.write_text(f"{os.getppid()}\n")
    with pytest.raises(pidfile.PidFileProblem, match=f"already running as pid {os.getppid()}"):
        pidfile.check(str(path))


def test_it_can_name_a_successor_and_is_then_that_one_s(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    pidfile.write(str(path))
    pidfile.hand_over(str(path), NOBODY)
    assert path.read_text() == f"{NOBODY}\n"
    assert os.listdir(tmp_path) == ["pid"]
    pidfile.remove(str(path))
    assert path.exists()


@pytest.mark.parametrize("content", [None, f"{NOBODY_ELSE}\n", "nonsense"])
def test_what_is_not_ours_is_not_handed_over(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "pid"
    if content is not None:
        path.write_text(content)
    pidfile.hand_over(str(path), NOBODY)
    assert (path.read_text() if path.exists() else None) == content


@pytest.mark.parametrize("content", [None, f"{NOBODY}\n", "nonsense"])
def test_a_successor_has_it_whoever_it_named(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "pid"
    if content is not None:
        path.write_text(content)
    pidfile.take_over(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    assert os.listdir(tmp_path) == ["pid"]


def test_one_that_was_handed_over_is_taken_over_without_being_written_again(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    pidfile.write(str(path))
    before = path.stat().st_ino
    pidfile.take_over(str(path))
    assert path.stat().st_ino == before
