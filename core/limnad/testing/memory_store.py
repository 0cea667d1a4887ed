"""A store in the memory of one process: what checkpoints are kept in while a job's recovery is simulated.

It answers as every store does (tests/unit/store/test_models.py); so what stands on stores, `limnad.store.Checkpoints`
and retention, is simulated as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import count

from limnad.store import ABSENT, ChunkMissing, ChunkRef, Conflict, Record, Version
from limnad.store.interface import Bytes, check_name


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

    def delete(self, key: str, expected: Version) -> None:
        """See `limnad.store.Ledger.delete`."""
        if self.get(key) is not None:
            self._check(key, expected)
            del self._records[key]

    def keys(self, prefix: str = "") -> list[str]:
        """See `limnad.store.Ledger.keys`."""
        return sorted(key for key in self._records if key.startswith(prefix))

    def _check(self, key: str, expected: Version) -> None:
        record = self.get(key)
        if (record.version if record else ABSENT) != expected:
            raise Conflict(f"somebody else changed {key!r} since it was read. Read it again and decide anew")


@dataclass(slots=True)
class MemoryChunks:
    """See `limnad.store.Chunks`."""

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

    def delete(self, refs: Iterable[ChunkRef], *, below: int | None = None) -> int:
        """See `limnad.store.Chunks.delete`."""
        gone = {ref for ref in self.has(refs) if below is None or self._held[ref][1] < below}
        for ref in gone:
            del self._held[ref]
        return len(gone)

    def refs(self) -> AbstractSet[ChunkRef]:
        """See `limnad.store.Chunks.refs`."""
        return set(self._held)


@dataclass(slots=True)
class MemorySpace:
    """See `limnad.store.Space`."""

    where: str = "memory"
    ledger: MemoryLedger = field(default_factory=MemoryLedger)
    chunks: MemoryChunks = field(default_factory=MemoryChunks)
