"""Logs in a directory.

::

    <job>/logs/<name>/<offset>     a segment: 20 digits say which entry is the first that it may hold
    <job>/logs/<name>/lock         held while the log is written

A segment begins with a record that says what was known before it: the generation, and each producer's newest entry. So
older segments can be deleted whole. The newest one is appended to, one sync for all entries
that come at once.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

from limnad.store.errors import StoreError
from limnad.store.files import Lock, Scratch, make_folder, sync_folder, translated
from limnad.store.interface import Bytes, Guard
from limnad.store.logs import Entry, Last, LogState, New, check_entry, fenced, first_offset, gap, trimmed
from limnad.store.segments import Record, Torn, pack, pack_group, read_records, write_at

SEGMENT_BYTES: Final = 32 << 20
"""A segment that has so many is not appended to any more."""

WORTH_TRIMMING_BYTES: Final = 1 << 20
"""A newest segment of which nothing is needed is given up when it has so many."""

_BASE, _ENTRY, _CLAIM, _FORGET = range(4)


@dataclass(slots=True)
class _Known:
    """What is known of the newest segment, up to `size` bytes of it."""

    path: Path
    first: int
    inode: int = 0
    size: int = 0
    end: int = 0
    generation: int = 0
    last: dict[str, Last] = field(default_factory=dict)

    def learn(self, record: Record) -> None:
        """Takes the next record in."""
        match record.kind:
            case 0:  # _BASE
                base = json.loads(record.data)
                self.end, self.generation = record.number, base["generation"]
                self.last = {name: Last(*last) for name, last in base["producers"].items()}
            case 1:  # _ENTRY
                self.last[record.name.decode()] = Last(record.number, self.end)
                self.end += 1
            case 3:  # _FORGET
                for name in json.loads(record.data):
                    self.last.pop(name, None)
            case _:
                self.generation = record.number
        self.size = record.stop

    def base(self) -> bytes:
        """What the next segment begins with."""
        producers = {name: [last.sequence, last.offset] for name, last in self.last.items()}
        return json.dumps({"generation": self.generation, "producers": producers}).encode()


class DirectoryLog:
    """See `limnad.store.Log`.

    Args:
        folder: The log's own.
        where: For people.
        scratch: For files that are being written.
        guarded: Holds a guard: see `DirectoryLedger.held`.
        segment_bytes: See `SEGMENT_BYTES`.
    """

    def __init__(
        self,
        folder: Path,
        where: str,
        scratch: Scratch,
        guarded: Callable[[Guard | None], AbstractContextManager[None]],
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self._folder = folder
        self._where = where
        self._scratch = scratch
        self._guarded = guarded
        self._segment_bytes = segment_bytes
        self._lock = Lock(folder / "lock")
        self._now: _Known | None = None

    def claim(self, generation: int) -> LogState:
        """See `limnad.store.Log`."""
        with self._writing() as known:
            self._check(known, generation)
            if generation > known.generation:
                self._write(known, pack(_CLAIM, generation, b"", b""))
            return LogState(known.end, dict(known.last))

    def append(self, producer: str, sequence: int, data: Bytes, *, generation: int) -> int:
        """See `limnad.store.Log`."""
        return self.append_many([New(producer, sequence, data)], generation=generation)[0]

    def append_many(self, entries: Sequence[New], *, generation: int) -> list[int]:
        """See `limnad.store.Log`."""
        names = [check_entry(entry.producer, entry.sequence, entry.data) for entry in entries]
        with self._writing() as newest:
            known = newest
            self._check(known, generation)
            fresh: dict[str, Last] = {}
            records: list[list[Bytes]] = []
            offsets, end = [], known.end
            for entry, name in zip(entries, names, strict=True):
                last = fresh.get(entry.producer, known.last.get(entry.producer, Last(0, -1)))
                if entry.sequence > last.sequence + 1:
                    raise gap(self._where, entry.producer, last.sequence, entry.sequence)
                if entry.sequence <= last.sequence:
                    offsets.append(self._repeated(entry, last))
                    continue
                fresh[entry.producer] = Last(entry.sequence, end)
                records.append(pack(_ENTRY, entry.sequence, name, entry.data))
                offsets.append(end)
                end += 1
            if records:
                if known.size >= self._segment_bytes:
                    known = self._roll(known)
                if generation > known.generation:
                    records.insert(0, pack(_CLAIM, generation, b"", b""))
                self._write(known, pack_group(records))
            return offsets

    def _repeated(self, entry: New, last: Last) -> int:
        if entry.sequence == last.sequence:
            return last.offset
        return first_offset(self._entries(0), entry.producer, entry.sequence, self.first())

    def read(self, start: int) -> Iterator[tuple[int, bytes]]:
        """See `limnad.store.Log`."""
        with translated(self._where), self._reading() as known:
            end = known.end if known is not None else 0
            size = known.size if known is not None else 0
        if start < end and start < self.first():
            raise trimmed(self._where, start, self.first())
        return self._read(start, end, size)

    def _read(self, start: int, end: int, size: int) -> Iterator[tuple[int, bytes]]:
        if start >= end:
            return
        expected = start
        with translated(self._where):
            for entry in self._entries(start, size):
                if entry.offset != expected:
                    raise trimmed(self._where, expected, entry.offset)
                yield entry.offset, entry.data
                expected += 1
                if expected == end:
                    return
        raise trimmed(self._where, expected, self.first())

    def first(self) -> int:
        """See `limnad.store.Log`."""
        names = self._names()
        return int(names[0]) if names else 0

    def end(self) -> int:
        """See `limnad.store.Log`."""
        with translated(self._where), self._reading() as known:
            return 0 if known is None else known.end

    def last_sequence(self, producer: str) -> int:
        """See `limnad.store.Log`."""
        with translated(self._where), self._reading() as known:
            return 0 if known is None or producer not in known.last else known.last[producer].sequence

    def trim(self, below: int) -> None:
        """See `limnad.store.Log`."""
        if not self.exists:
            return
        with self._writing() as known:
            if known.first < known.end <= below and known.size >= min(WORTH_TRIMMING_BYTES, self._segment_bytes):
                self._roll(known)
            names = self._names()
            for name, following in pairwise(names):
                if int(following) > below:
                    break
                (self._folder / name).unlink()
            sync_folder(self._folder)

    def forget(self, producers: Mapping[str, Last], *, generation: int) -> AbstractSet[str]:
        """See `limnad.store.Log`."""
        if not self.exists:
            return set()
        with self._writing() as known:
            self._check(known, generation)
            gone = {name for name, last in producers.items() if known.last.get(name) == last}
            if gone:
                said = json.dumps(sorted(gone)).encode()
                # Of a Limnad that does not know this kind it is a claim, and changes nothing.
                self._write(known, pack(_FORGET, known.generation, b"", said), heads=False)
            return gone

    def delete(self, *, guard: Guard | None = None) -> None:
        """See `limnad.store.Log`."""
        if not self._folder.is_dir():
            return
        with translated(self._where), self._guarded(guard), self._lock.held():
            for name in self._names():
                (self._folder / name).unlink()
            sync_folder(self._folder)
            self._now = None

    @property
    def exists(self) -> bool:
        """Whether it has come into being."""
        return bool(self._names())

    # -- the newest segment, with the lock held ------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[_Known]:
        with translated(self._where):
            make_folder(self._folder)
            with self._lock.held():
                yield self._refresh() or self._begin(_Known(self._folder, 0))

    @contextmanager
    def _reading(self) -> Iterator[_Known | None]:
        if not self._folder.is_dir():
            yield None
            return
        with self._lock.held():
            yield self._refresh()

    def _refresh(self) -> _Known | None:
        """What is there now: others may have written since, and may have died at it."""
        names = self._names()
        if not names:
            return None
        path = self._folder / names[-1]
        status, known = path.stat(), self._now
        if known is None or (known.path, known.inode) != (path, status.st_ino) or known.size > status.st_size:
            known = _Known(path, int(names[-1]), status.st_ino)
        self._now = None  # Until all went well.
        if known.size < status.st_size:
            self._learn(known)
        self._now = known
        return known

    def _learn(self, known: _Known) -> None:
        try:
            for record in read_records(known.path, known.size):
                known.learn(record)
        except Torn as torn:
            if not torn.start:  # It was made whole.
                raise StoreError(f"{known.path} is no segment of a log: the disk is damaged") from None
            os.truncate(known.path, torn.start)
        # Who wrote this may have died before it came to this; and a cut that is not synced may come undone.
        write_at(known.path, known.size, [])

    def _begin(self, before: _Known) -> _Known:
        path = self._folder / f"{before.end:020d}"
        base = pack(_BASE, before.end, b"", before.base())
        self._scratch.write(b"".join(base)).rename(path)
        sync_folder(self._folder)
        fresh = self._refresh()
        assert fresh is not None
        return fresh

    def _roll(self, known: _Known) -> _Known:
        # A segment without entries is the newest one already.
        return self._begin(known) if known.end > known.first else known

    def _write(self, known: _Known, parts: list[Bytes], *, heads: bool = True) -> None:
        self._now = None  # Until all went well.
        write_at(known.path, known.size, parts)
        for record in read_records(known.path, known.size, heads=heads):
            known.learn(record)
        self._now = known

    def _check(self, known: _Known, generation: int) -> None:
        if generation < known.generation:
            raise fenced(self._where, generation, known.generation)

    # -- all segments --------------------------------------------------------------------------------------------------

    def _entries(self, start: int, size: int | None = None) -> Iterator[Entry]:
        """Entries from the first segment on that can hold ``start``; of the newest segment only so many bytes."""
        names = self._names()
        for place, name in enumerate(names):
            newest = place == len(names) - 1
            if not newest and int(names[place + 1]) <= start:
                continue
            try:
                yield from self._segment(name, start, size if newest else None)
            except FileNotFoundError:
                return
            except Torn as torn:
                raise StoreError(f"{self._folder / name} is damaged at byte {torn.start}: check the disk") from None

    def _segment(self, name: str, start: int, size: int | None) -> Iterator[Entry]:
        offset = int(name)
        for record in read_records(self._folder / name, stop=size):
            if record.kind == _ENTRY:
                if offset >= start:
                    yield Entry(offset, record.name.decode(), record.number, record.data)
                offset += 1

    def _names(self) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._folder) if name.isdigit())  # noqa: PTH208 - names only
        except FileNotFoundError:
            return []
