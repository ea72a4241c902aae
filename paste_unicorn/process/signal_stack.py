"""Room for signals that arrive together.

Once `faulthandler` is enabled a thread has an alternate stack for signal handlers, of some 16 KiB, and CPython runs
*all* its handlers there (SA_ONSTACK). When a process that had to wait for the processor is woken with several signals
pending, the kernel stacks one frame for each kind, with all registers, before any handler has run: 3 KiB each with
AVX-512, 11 with AMX. The sixth kind did not fit any more, and the process died by SIGSEGV without a word, since the
handler that would have spoken had no stack either.
"""

from __future__ import annotations

import ctypes
import mmap
import sys

_ROOM = 1 << 20  # 64 kinds of signals with 12 KiB each fit; only pages that were used are memory
_SS_DISABLE = 2  # <bits/sigstack.h>
_MAP_FAILED = ctypes.c_void_p(-1).value


class _Stack(ctypes.Structure):
    """`stack_t` as Linux has it (`man 2 sigaltstack`)."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def widen() -> None:
    """Let the calling thread's signal handlers run on a stack that holds every kind of signal at once.

    To be called after `faulthandler` was enabled, by whomever: its first `enable` sets the small stack. Does nothing
    where there is no alternate stack, where it is wide already (children inherit it by fork), and on systems other
    than Linux.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    stack = _Stack()
    if libc.sigaltstack(None, ctypes.byref(stack)) or stack.flags & _SS_DISABLE or stack.size >= _ROOM:
        return
    # Never given back: handlers may run until the process is gone, and longer than any object of Python's.
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = (
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
    )  # fmt: skip
    memory = libc.mmap(
        None, _ROOM, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0
    )  # fmt: skip
    if memory not in {None, _MAP_FAILED}:
        libc.sigaltstack(ctypes.byref(_Stack(memory, 0, _ROOM)), None)
