"""A store in the memory of one process: what checkpoints are kept in while a job's recovery is simulated.

It answers as every store does (tests/unit/store/test_models.py); so what stands on stores, `limnad.store.Checkpoints`
and retention, is simulated as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import count

from limnad.store import ABSENT, ChunkMissing, ChunkRef, Conflict, Guard, Record, Version
from limnad.store.interface import Bytes, check_name
from limnad.store.logs import Entry, Last, LogState, New, check_entry, fenced, first_offset, gap, trimmed


@dataclass(slots=True)
class MemoryLedger:
    """See `limnad.store.Ledger`. What is put is as durable as all that is simulated."""

    _records: dict[str, Record] = field(default_factory=dict)
    _versions: Iterator[int] = field(default_factory=lambda: count(1))

    def get(self, key: str) -> Record | None:
        """See `limnad.store.Ledger.get`."""
        check_name("key", key)
        return self._records.get(key)

    def put(self, key: str, value: Bytes, expected: Version, *, durable: bool = False) -> Version:
        """See `limnad.store.Ledger.put`."""
        self._check(key, expected)
        version = Version(next(self._versions).to_bytes(16, "big"))
        self._records[key] = Record(bytes(value), version)
        return version

    def delete(self, key: str, expected: Version, *, guard: Guard | None = None) -> None:
        """See `limnad.store.Ledger.delete`."""
        self.check(guard)
        if self.get(key) is not None:
            self._check(key, expected)
            del self._records[key]

    def keys(self, prefix: str = "") -> list[str]:
        """See `limnad.store.Ledger.keys`."""
        return sorted(key for key in self._records if key.startswith(prefix))

    def check(self, guard: Guard | None) -> None:
        """See `Guard`.

        Raises:
            Conflict: Its record has another version.
        """
        if guard is not None:
            self._check(guard.key, guard.version)

    def _check(self, key: str, expected: Version) -> None:
        record = self.get(key)
        if (record.version if record else ABSENT) != expected:
            raise Conflict(f"somebody else changed {key!r} since it was read. Read it again and decide anew")


@dataclass(slots=True)
class MemoryChunks:
    """See `limnad.store.Chunks`."""

    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    _held: dict[ChunkRef, tuple[bytes, int]] = field(default_factory=dict)

    def put(self, data: Bytes, *, mark: int) -> ChunkRef:
        """See `limnad.store.Chunks.put`."""
        (ref,) = self.put_many([data], mark=mark)
        return ref

    def put_many(self, datas: Iterable[Bytes], *, mark: int) -> list[ChunkRef]:
        """See `limnad.store.Chunks.put_many`."""
        refs = []
        for data in datas:
            ref = ChunkRef.of(data)
            _, before = self._held.get(ref, (b"", mark))
            self._held[ref] = (bytes(data), max(mark, before))
            refs.append(ref)
        return refs

    def touch(self, refs: Iterable[ChunkRef], *, mark: int) -> AbstractSet[ChunkRef]:
        """See `limnad.store.Chunks.touch`."""
        there = self.has(refs)
        for ref in there:
            data, before = self._held[ref]
            self._held[ref] = (data, max(mark, before))
        return there

    def get(self, ref: ChunkRef) -> bytes:
        """See `limnad.store.Chunks.get`."""
        (data,) = self.get_many([ref])
        return data

    def get_many(self, refs: Iterable[ChunkRef]) -> Iterator[bytes]:
        """See `limnad.store.Chunks.get_many`."""
        for ref in refs:
            if ref not in self._held:
                raise ChunkMissing(ref, "memory")
            yield self._held[ref][0]

    def has(self, refs: Iterable[ChunkRef]) -> AbstractSet[ChunkRef]:
        """See `limnad.store.Chunks.has`."""
        return {ref for ref in refs if ref in self._held}

    def delete(self, refs: Iterable[ChunkRef], *, below: int | None = None, guard: Guard | None = None) -> int:
        """See `limnad.store.Chunks.delete`."""
        self.ledger.check(guard)
        gone = {ref for ref in self.has(refs) if below is None or self._held[ref][1] < below}
        for ref in gone:
            del self._held[ref]
        return len(gone)

    def refs(self) -> AbstractSet[ChunkRef]:
        """See `limnad.store.Chunks.refs`."""
        return set(self._held)


@dataclass(slots=True)
class MemoryLog:
    """See `limnad.store.Log`."""

    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    _entries: list[Entry] = field(default_factory=list)
    _last: dict[str, Last] = field(default_factory=dict)
    _end: int = 0
    _generation: int = 0

    @property
    def claimed(self) -> bool:
        """Whether somebody has written to it."""
        return self._generation > 0

    def claim(self, generation: int) -> LogState:
        """See `limnad.store.Log.claim`."""
        self._check(generation)
        self._generation = generation
        return LogState(self._end, dict(self._last))

    def append(self, producer: str, sequence: int, data: Bytes, *, generation: int) -> int:
        """See `limnad.store.Log.append`."""
        check_entry(producer, sequence, data)
        self._check(generation)
        last = self._last.get(producer, Last(0, -1))
        if sequence == last.sequence:
            return last.offset
        if sequence < last.sequence:
            return first_offset(iter(self._entries), producer, sequence, self.first())
        if sequence > last.sequence + 1:
            raise gap("memory", producer, last.sequence, sequence)
        self._generation = generation
        self._entries.append(Entry(self._end, producer, sequence, bytes(data)))
        self._last[producer] = Last(sequence, self._end)
        self._end += 1
        return self._end - 1

    def append_many(self, entries: Sequence[New], *, generation: int) -> list[int]:
        """See `limnad.store.Log.append_many`."""
        return [self.append(each.producer, each.sequence, each.data, generation=generation) for each in entries]

    def read(self, start: int) -> Iterator[tuple[int, bytes]]:
        """See `limnad.store.Log.read`."""
        if start < min(self.first(), self._end):
            raise trimmed("memory", start, self.first())
        return iter([(entry.offset, entry.data) for entry in self._entries if entry.offset >= start])

    def first(self) -> int:
        """See `limnad.store.Log.first`."""
        return self._entries[0].offset if self._entries else self._end

    def end(self) -> int:
        """See `limnad.store.Log.end`."""
        return self._end

    def trim(self, below: int) -> None:
        """See `limnad.store.Log.trim`."""
        self._entries = [entry for entry in self._entries if entry.offset >= below]

    def last_sequence(self, producer: str) -> int:
        """See `limnad.store.Log.last_sequence`."""
        return self._last[producer].sequence if producer in self._last else 0

    def forget(self, producers: Mapping[str, Last], *, generation: int) -> AbstractSet[str]:
        """See `limnad.store.Log.forget`."""
        self._check(generation)
        gone = {name for name, last in producers.items() if self._last.get(name) == last}
        for name in gone:
            del self._last[name]
        return gone

    def delete(self, *, guard: Guard | None = None) -> None:
        """See `limnad.store.Log.delete`."""
        self.ledger.check(guard)
        self._entries, self._last, self._end, self._generation = [], {}, 0, 0

    def _check(self, generation: int) -> None:
        if generation < self._generation:
            raise fenced("memory", generation, self._generation)


@dataclass(slots=True)
class MemorySpace:
    """See `limnad.store.Space`."""

    where: str = "memory"
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    chunks: MemoryChunks = field(init=False)
    _logs: dict[str, MemoryLog] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chunks = MemoryChunks(self.ledger)

    def log(self, name: str) -> MemoryLog:
        """See `limnad.store.Space.log`."""
        return self._logs.setdefault(name, MemoryLog(self.ledger))

    def logs(self) -> list[str]:
        """See `limnad.store.Space.logs`."""
        return sorted(name for name, log in self._logs.items() if log.claimed)
