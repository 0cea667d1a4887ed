"""Which object is looked at when: sans-IO.

Laws: an object is looked at by one task at a time; what is added while it is looked at is looked at once more; a look
that failed is followed by a pause that doubles up to `LONGEST_S`, and by the first pause again after one that did not.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

FIRST_S, LONGEST_S = 0.5, 60.0
"""Pauses after failures."""

KeyT = TypeVar("KeyT", bound=Hashable)


@dataclass
class Queue(Generic[KeyT]):
    """Objects that wait to be looked at.

    >>> queue = Queue[str]()
    >>> queue.add("a", 0.0); queue.add("a", 0.0)
    >>> queue.take(0.0), queue.take(0.0)
    ('a', None)
    """

    _due: dict[KeyT, float] = field(default_factory=dict)
    _heap: list[tuple[float, int, KeyT]] = field(default_factory=list)
    _working: set[KeyT] = field(default_factory=set)
    _again: dict[KeyT, float] = field(default_factory=dict)
    _failures: dict[KeyT, int] = field(default_factory=dict)
    _count: int = 0

    def __len__(self) -> int:
        """How many wait."""
        return len(self._due)

    def add(self, key: KeyT, at_s: float) -> None:
        """Has an object be looked at, at that time or before."""
        if key in self._working:
            self._again[key] = min(at_s, self._again.get(key, at_s))
        elif key not in self._due or at_s < self._due[key]:
            self._due[key] = at_s
            self._count += 1
            heapq.heappush(self._heap, (at_s, self._count, key))

    def take(self, now_s: float) -> KeyT | None:
        """The next object that is due; its look has begun."""
        while self._heap and self._heap[0][0] <= now_s:
            at_s, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == at_s:  # Else it was brought forward meanwhile.
                del self._due[key]
                self._working.add(key)
                return key
        return None

    def next_s(self) -> float | None:
        """When the next one is due; None: none waits."""
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def done(self, key: KeyT, now_s: float, again_s: float | None = None) -> None:
        """A look has ended well; look again after so many seconds, or never by itself."""
        self._failures.pop(key, None)
        self._finish(key, None if again_s is None else now_s + again_s)

    def failed(self, key: KeyT, now_s: float) -> float:
        """A look has failed; after how many seconds the object is looked at again, at the latest."""
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause_s = min(LONGEST_S, FIRST_S * 2.0 ** (failures - 1))
        # What was added meanwhile does not shorten the pause: a conflict is caused by just that.
        self._again.pop(key, None)
        self._finish(key, now_s + pause_s)
        return pause_s

    def _finish(self, key: KeyT, at_s: float | None) -> None:
        self._working.discard(key)
        again = self._again.pop(key, None)
        times = [each for each in (at_s, again) if each is not None]
        if times:
            self.add(key, min(times))

    def clear(self) -> None:
        """Forgets all that wait: another operator looks now."""
        self._due.clear()
        self._heap.clear()
        self._again.clear()
        self._failures.clear()
