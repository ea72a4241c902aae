"""How the arbiter gets a template: the first by a plain fork, later ones in a fresh interpreter.

The runner has already loaded the application when it calls us, so the first is ready within milliseconds.
Later ones are `python -m paste_unicorn.template`, because only a fresh interpreter sees new code; never the
runner's own command line, which would daemonize again, rewrite the pid file and close our descriptors.
"""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from ..ops import capture
from ..process import leave
from ..process.channel import Channel
from ..process.fork import fork
from ..process.identity import set_title
from ..process.messages import Load, Succeed
from .forking import Equipment, Template

CHANNEL_FD = 3

# What the runners' reloaders and monitors tell their child by; a template is nobody's child but ours.
_MARKERS = ("PYTHON_RELOADER_SHOULD_RUN", "PASTE_MONITOR_SHOULD_RUN")


def fork_template(equipment: Equipment, generation: int, close_parents: Callable[[], None]) -> tuple[int, Channel]:
    """Fork one from this process, which has the application; its pid and the channel to it. Raises OSError.

    `close_parents` closes, in the child, the descriptors that are the arbiter's alone.
    """
    ours, theirs = Channel.pair()
    # Before the fork, not after: a collection writes into the header of every object, and whoever does that after
    # the fork gets pages of its own.
    gc.collect()
    gc.freeze()
    pid = fork()
    if pid == 0:
        try:
            ours.close()
            close_parents()
            equipment.lifeline.let_go()
            equipment.lifeline.arm()
            set_title("template", equipment.ini, generation)
            Template(equipment, generation, theirs).serve(None)
        except BaseException:  # it must never return into the runner's frames
            equipment.logs.error.exception("The template (pid %d) ends by a fault", os.getpid())
        leave.child(1)
    theirs.close()
    ours.sock.setblocking(False)
    return pid, ours


def exec_template(load: Load, fds: Sequence[int], environ: Mapping[str, str]) -> tuple[int, Channel]:
    """Start one in a fresh interpreter, and tell it what to load; its pid and the channel to it. Raises OSError."""
    return exec_module("paste_unicorn.template", load, fds, environ)


def exec_module(
    module: str, message: Load | Succeed, fds: Sequence[int], environ: Mapping[str, str]
) -> tuple[int, Channel]:
    """A fresh interpreter that runs this module, and its first message; its pid and the channel to it. Raises
    OSError.
    """
    ours, theirs = Channel.pair()
    environ = {name: value for name, value in environ.items() if name not in _MARKERS}
    # So that it finds this package wherever the runner found it; it puts its import path right by itself.
    environ["PYTHONPATH"] = os.pathsep.join(path for path in message.origin.sys_path if path)
    with contextlib.ExitStack() as opened:
        null = os.open(os.devnull, os.O_RDWR)
        opened.callback(os.close, null)
        # With --daemon --log-file descriptors 1 and 2 are /dev/null and the log is only a Python object.
        out, err = capture.standard_descriptors()
        moves = [(null, 0), (null if out is None else out, 1), (null if err is None else err, 2)]
        moves.append((theirs.fileno(), CHANNEL_FD))
        # Copies beyond all targets: none of the moves may overwrite the source of a later one.
        copies = []
        for source, target in moves:
            copy = os.dup(source)
            while copy <= CHANNEL_FD:
                opened.callback(os.close, copy)
                copy = os.dup(source)
            opened.callback(os.close, copy)
            copies.append((os.POSIX_SPAWN_DUP2, copy, target))
        flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
        try:
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, *flags, "-m", module],
                environ,
                file_actions=copies,
                setsigmask=(),
            )
        except FileNotFoundError as error:
            gone = f"{sys.executable}, the Python of this server, is gone; restart the server with another one"
            raise FileNotFoundError(error.errno, gone) from None
    theirs.close()
    ours.send(message, fds)
    ours.sock.setblocking(False)
    return pid, ours
