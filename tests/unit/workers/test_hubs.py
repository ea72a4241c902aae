"""Several greenlets wait for one descriptor, and it is closed meanwhile. In a process of its own: a hub is for ever."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, socket
from greenlet import greenlet
from paste_unicorn.workers.{library}_hub import {name}

hub = {name}()
ours, theirs = socket.socketpair()
ours.setblocking(False)
fd = ours.fileno()
seen = []

def start(mark, *kinds):
    greenlet(lambda: seen.append((mark, hub.wait(fd, *kinds, 60))), hub.greenlet).switch()

def later(step, count):
    "In a while, but not before so many have come back."
    hub.soon(lambda: step() if len(seen) >= count else later(step, count), 0.2)

def begin():
    start("reader", True, False)
    start("another", True, False)
    start("both", True, True)
    later(go_on, 1)

def go_on():
    assert seen == [("both", True)] and len(hub.waiting) == 2
    theirs.send(b"x")
    later(close, 3)

def close():
    global ours
    assert sorted(seen[1:]) == [("another", True), ("reader", True)] and not hub.waiting
    ours.recv(1)
    start("left behind", True, False)
    hub.forget(fd)
    ours.close()
    ours = socket.socket(fileno=os.dup2(theirs.fileno(), fd))
    start("next", False, True)
    later(end, 5)

def end():
    assert sorted(seen[3:]) == [("left behind", True), ("next", True)] and not hub.waiting
    hub.stop()

reader, writer = os.pipe()
hub.soon(begin)
hub.run(reader, lambda: None, 60, lambda: None)
print(len(seen))
"""


@pytest.mark.parametrize(("library", "name"), [("gevent", "GeventHub"), ("eventlet", "EventletHub")])
def test_waits_for_one_descriptor(library: str, name: str) -> None:
    program = PROGRAM.format(library=library, name=name)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("5\n", 0), done.stderr
