"""A bounded memory from what was seen and judged before to what was made of it.

Nothing is kept that came only once: most of what is new never comes again (ids, times). And two generations
instead of a list by last use: `young` takes what is new; when it is full it becomes `old`, and what was old
is forgotten; what is found among the old becomes young again. So what is in use stays, a hit costs one
lookup, and a flood of what never comes again costs no more than its own misses.
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

    __slots__ = ("_entries", "_largest", "_old", "_once", "_room", "_size", "young")

    def __init__(self, entries: int, size: int) -> None:
        self.young: dict[K, V] = {}
        self._old: dict[K, V] = {}
        self._once: set[int] = set()  # hashes of keys that came once
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
                self._store(key, value, size)
        return value

    def keep(self, key: K, value: V, size: int) -> None:
        """Remember `value`, not None, if it is not the first time. The key has `size` bytes and is not among
        the young."""
        mark = hash(key)
        if mark not in self._once:
            if len(self._once) >= self._entries:
                self._once.clear()
            self._once.add(mark)
        elif size <= self._largest:
            self._store(key, value, size)

    def _store(self, key: K, value: V, size: int) -> None:
        self._room -= size
        if self._room < 0 or len(self.young) >= self._entries:
            self._old = self.young.copy()
            self.young.clear()
            self._room = self._size - size
        self.young[key] = value

    def __len__(self) -> int:
        return len(self.young) + len(self._old)
