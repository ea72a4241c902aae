"""Life pipe, forks, the way out: with processes of their own, as nothing else would show it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from support.ports import free_port

from paste_unicorn.process.fork import fork, keep_private, unblock_signals
from paste_unicorn.process.lifeline import Lifeline

needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the kernel of Linux")


def ended(pid: int, timeout_s: float = 20.0) -> int:
    """Wait for a child; its status as `os.waitstatus_to_exitcode` tells it."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        gone, status = os.waitpid(pid, os.WNOHANG)
        if gone:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError(f"{pid} did not end")


@needs_linux
def test_a_process_dies_with_the_last_writer_whatever_it_is_doing() -> None:
    lifeline = Lifeline.create()
    armed_reader, armed_writer = os.pipe()
    pid = fork()
    if pid == 0:
        lifeline.let_go()
        lifeline.arm()
        unblock_signals()
        os.write(armed_writer, b"x")
        while True:  # it never looks
            pass
    os.read(armed_reader, 1)
    os.close(lifeline.write_fd)
    assert ended(pid) == -signal.SIGKILL
    for fd in (lifeline.read_fd, armed_reader, armed_writer):
        os.close(fd)


@needs_linux
def test_who_arms_too_late_dies_there() -> None:
    lifeline = Lifeline.create()
    os.close(lifeline.write_fd)
    pid = fork()
    if pid == 0:
        lifeline.write_fd = -1
        unblock_signals()
        lifeline.arm()
        os._exit(0)
    assert ended(pid) == -signal.SIGKILL
    os.close(lifeline.read_fd)


@needs_linux
def test_the_death_of_a_parent_that_is_not_the_last_writer_ends_nothing() -> None:
    lifeline = Lifeline.create()
    told, tell = os.pipe()
    wait, let_go = os.pipe()
    template = fork()
    if template == 0:
        lifeline.let_go()
        lifeline.arm()
        worker = fork()
        if worker == 0:
            lifeline.let_go()
            lifeline.arm()
            unblock_signals()
            os.close(let_go)
            os.read(wait, 1)
            os._exit(0)
        os.write(tell, b"%d" % worker)
        os.kill(os.getpid(), signal.SIGKILL)
    assert ended(template) == -signal.SIGKILL
    worker = int(os.read(told, 20))
    time.sleep(0.05)
    os.kill(worker, 0)
    assert not lifeline.is_cut()
    os.close(lifeline.write_fd)
    for fd in (lifeline.read_fd, told, tell, wait, let_go):
        os.close(fd)


def test_a_child_of_the_application_does_not_keep_what_is_private() -> None:
    port = free_port()  # nobody else gets it meanwhile
    listener = socket.create_server(("127.0.0.1", port))
    reader, writer = os.pipe()
    born, say_born = os.pipe()
    keep_private([listener.fileno()])
    try:
        pid = os.fork()  # not ours
        if pid == 0:
            os.write(say_born, b"x")
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        os.read(born, 1)
        listener.close()
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", port))
            again.listen()
    finally:
        keep_private([])
    os.write(writer, b"x")
    assert ended(pid) == 0
    for fd in (reader, writer, born, say_born):
        os.close(fd)


def test_a_child_of_ours_keeps_it() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    keep_private([listener.fileno()])
    try:
        pid = fork()
        if pid == 0:
            os._exit(listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        assert ended(pid) == 1
    finally:
        keep_private([])
        listener.close()


def test_what_was_printed_before_a_fork_is_written_once() -> None:
    code = (
        "import os\nfrom paste_unicorn.process.fork import fork\nfrom paste_unicorn.process import leave\n"
        "print('once')\npid = fork()\n"
        "if pid == 0: leave.child(0)\n"
        "os.waitpid(pid, 0)\nleave.main(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "once\n"


@pytest.mark.parametrize(("way", "said"), [("main", "bye\n"), ("child", "")])
def test_only_the_main_process_runs_what_is_registered_with_atexit(way: str, said: str) -> None:
    code = (
        "import atexit\nfrom paste_unicorn.process import leave\natexit.register(print, 'bye')\n"
        f"try: leave.{way}(7)\nexcept SystemExit: print('nobody sees a SystemExit')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, said, "")


def test_a_failing_atexit_function_does_not_change_the_exit_code() -> None:
    code = "import atexit\nfrom paste_unicorn.process import leave\natexit.register(lambda: 1 / 0)\nleave.main(0)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0


def test_signals_of_the_time_of_a_fork_reach_the_parent_and_not_the_child() -> None:
    hits: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: hits.append(number))
    try:
        pid = fork()
        if pid == 0:
            os._exit(int(signal.SIGUSR1 not in signal.pthread_sigmask(signal.SIG_BLOCK, ())))
        os.kill(os.getpid(), signal.SIGUSR1)
        assert hits == [signal.SIGUSR1]
        assert ended(pid) == 0
    finally:
        signal.signal(signal.SIGUSR1, before)
