"""A bounded memory from what was seen and judged before to what was made of it.

Two generations instead of a list by last use: `young` takes what is new; when it is full it becomes `old`,
and what was old is forgotten; what is found among the old becomes young again. So what is in use stays, a hit
costs one lookup, and a flood of what never comes again costs no more than its own misses.
"""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class HeadCache(Generic[K, V]):
    """Each of the two generations holds at most `entries` values under keys of `size` bytes together.

    Hot: callers may keep `young.get` (the dictionary stays the same object) and ask `recall` only when it
    gave None.
    """

    __slots__ = ("_entries", "_largest", "_old", "_room", "_size", "young")

    def __init__(self, entries: int, size: int) -> None:
        self.young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._entries = entries
        self._size = size
        self._room = size
        self._largest = size // 16  # a larger key is not kept: it would push out too much

    def recall(self, key: K, size: int) -> V | None:
        """What was kept under `key`, which has `size` bytes; from now on it counts as new."""
        value = self.young.get(key)
        if value is None and self._old:
            value = self._old.pop(key, None)
            if value is not None:
                self.keep(key, value, size)
        return value

    @property
    def has_old(self) -> bool:
        """Whether `recall` may find more than `young` holds."""
        return bool(self._old)

    def keep(self, key: K, value: V, size: int) -> None:
        """Remember `value`, which is not None, under a key of `size` bytes that is not among the young."""
        if size > self._largest:
            return
        self._room -= size
        if self._room < 0 or len(self.young) >= self._entries:
            self._old = self.young.copy()
            self.young.clear()
            self._room = self._size - size
        self.young[key] = value

    def __len__(self) -> int:
        return len(self.young) + len(self._old)
