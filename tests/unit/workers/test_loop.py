"""Both loops report the same, and a shared descriptor wakes one of those who wait."""

from __future__ import annotations

import os
import select
import signal
import socket
import time

import pytest

from paste_unicorn.workers.loop import READABLE, WRITABLE, EpollLoop, SelectorLoop, make_loop

LOOPS = [SelectorLoop, *([EpollLoop] if hasattr(select, "epoll") else [])]


@pytest.mark.parametrize("make", LOOPS)
def test_a_loop_reports_what_it_was_asked_for(make: type[EpollLoop] | type[SelectorLoop]) -> None:
    loop = make()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fd = ours.fileno()
        loop.add(fd)
        assert loop.poll(0) == []
        theirs.send(b"x")
        assert loop.poll(1) == [(fd, READABLE)]
        loop.modify(fd, READABLE | WRITABLE)
        assert loop.poll(1) == [(fd, READABLE | WRITABLE)]
        loop.remove(fd)
        assert loop.poll(0) == []
    loop.close()


@pytest.mark.skipif(not hasattr(select, "EPOLLEXCLUSIVE"), reason="only Linux has exclusive wake-ups")
def test_one_connection_wakes_one_of_several_waiting_processes() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    reader, writer = os.pipe()
    pids = []
    for _ in range(4):
        pid = os.fork()
        if pid == 0:
            loop = make_loop()
            loop.add_shared(listener.fileno())
            os.write(writer, b"r")
            if loop.poll(60):
                os.write(writer, b"w")
                listener.accept()
            os._exit(0)
        pids.append(pid)
    ready = b""
    while len(ready) < 4:
        ready += os.read(reader, 4)
    # Waiting is a system call: each child has announced itself just before it.
    for pid in pids:
        while "epoll" not in _wchan(pid):
            time.sleep(0.001)
    client = socket.create_connection(listener.getsockname())
    assert os.read(reader, 10) == b"w"
    for pid in pids:
        os.kill(pid, signal.SIGKILL)  # one is a zombie by now, or about to be; the others still wait
        os.waitpid(pid, 0)
    os.set_blocking(reader, False)
    with pytest.raises(BlockingIOError):
        os.read(reader, 10)
    client.close()
    listener.close()
    os.close(reader)
    os.close(writer)


def _wchan(pid: int) -> str:
    """Where the process sleeps in the kernel; the state alone where the kernel doesn't tell."""
    with open(f"/proc/{pid}/wchan") as file:
        name = file.read()
    if name not in ("", "0"):
        return name
    with open(f"/proc/{pid}/stat") as file:
        return "epoll" if file.read().rsplit(")", 1)[1].split()[0] == "S" else ""
