"""Ours to write, ours to remove."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paste_unicorn.arbiter import pidfile


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
    with pytest.raises(pidfile.PidFileProblem, match="name a folder that exists"):
        pidfile.write(str(tmp_path / "nowhere" / "pid"))
