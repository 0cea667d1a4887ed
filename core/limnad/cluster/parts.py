"""What a checkpoint is made of as bytes: one record for each worker, and the chunks that the records refer to.

A batch is encoded as on the wire. Blocks of key groups, and whatever is large, are chunks of their own, so that what
has not changed is shared between checkpoints; the rest is bundled. Reading and writing chunks is left to the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from limnad.batch import decode, encode, groups_of
from limnad.cluster.records import (
    Blob,
    PartError,
    PartitionRecord,
    PartRecord,
    PieceRecord,
    RequestRecord,
    StateRecord,
    WaitingRecord,
)
from limnad.timely.snapshot import Part, PartitionState, Request, Snapshot, Waiting
from limnad.timely.state import Piece

BUNDLE_BYTES = 1 << 20
"""Small batches share a chunk up to this size; a larger one has its own."""

Put = Callable[[Iterable[bytes]], list[str]]
"""Stores chunks; returns their names in the same order."""

Get = Callable[[Iterable[str]], Iterable[bytes]]
"""The contents of chunks, in the same order."""

_Which = tuple[tuple[int, int] | None, int | None]
"""What tells the pieces of a state apart that may be as they were: key groups and run."""


def write_part(snapshot: Snapshot, put: Put, previous: PartRecord | None = None) -> PartRecord:
    """Stores what a worker has captured.

    Args:
        snapshot: Its captures are used up.
        put: Stores chunks.
        previous: The same worker's part of the last checkpoint that was committed in this generation: pieces that have
            not changed since are taken from there. The caller sees to it that their chunks stay.

    Raises:
        PartError: There is no such piece.
        TypeError: A value cannot be encoded.
    """
    writer = _Writer(previous)
    names = put(writer.chunks(snapshot))
    return writer.record(snapshot, names)


class _Writer:
    """Turns a snapshot into chunks while they are asked for, and remembers which batch went where."""

    def __init__(self, previous: PartRecord | None) -> None:
        self._before: dict[tuple[str, str], dict[_Which, Blob]] = {}
        if previous is not None:
            for state in previous.states:
                blobs = {(piece.groups, piece.run): piece.blob for piece in state.pieces}
                self._before[state.stage, state.name] = blobs
        self._places: list[tuple[int, int, int, int]] = []  # chunk, start, size, encoding
        self._slots: list[Callable[[Blob], None]] = []
        self._bundle: list[bytes] = []
        self._bundled: list[int] = []
        self._bundle_bytes = 0
        self._chunks = 0
        self._waiting: list[WaitingRecord] = []
        self._states: list[StateRecord] = []
        self._custom: dict[str, Blob] = {}

    def chunks(self, snapshot: Snapshot) -> Iterator[bytes]:
        for waiting in snapshot.waiting:
            yield from self._add(waiting.batch, self._waits(waiting))
        for (stage, name), state in snapshot.states.items():
            record = StateRecord(stage, name, state.version, [])
            self._states.append(record)
            for piece in state.capture.pieces():
                if piece.batch is None:
                    self._keep(record, piece)
                elif len(piece.batch):
                    yield from self._add(piece.batch, self._piece(record, piece), alone=piece.groups is not None)
        for stage, custom in snapshot.custom.items():
            yield from self._add([custom], self._own(stage))
        yield from self._close_bundle()

    def record(self, snapshot: Snapshot, names: list[str]) -> PartRecord:
        """The part's record, once the chunks have names."""
        for slot, (chunk, start, size, encoding) in zip(self._slots, self._places, strict=True):
            slot(Blob(names[chunk], start, size, encoding))
        return PartRecord(
            snapshot.worker,
            snapshot.workers,
            snapshot.generation,
            snapshot.epochs_opened,
            self._waiting,
            [RequestRecord(each.stage, each.guarantee, each.capability) for each in snapshot.requests],
            [
                PartitionRecord(*key, state.epoch, state.position, state.entered)
                for key, state in snapshot.partitions.items()
            ],
            snapshot.completed,
            self._states,
            self._custom,
        )

    def _add(self, batch: Any, slot: Callable[[Blob], None], *, alone: bool = False) -> Iterator[bytes]:
        encoding, data = encode(batch, trusted=True)
        self._slots.append(slot)
        if alone or len(data) >= BUNDLE_BYTES:
            self._places.append((self._chunks, 0, len(data), int(encoding)))
            self._chunks += 1
            yield data
            return
        if self._bundle_bytes + len(data) > BUNDLE_BYTES:
            yield from self._close_bundle()
        self._bundled.append(len(self._places))
        self._places.append((-1, self._bundle_bytes, len(data), int(encoding)))
        self._bundle.append(data)
        self._bundle_bytes += len(data)

    def _close_bundle(self) -> Iterator[bytes]:
        if not self._bundle:
            return
        for place in self._bundled:
            _, start, size, encoding = self._places[place]
            self._places[place] = (self._chunks, start, size, encoding)
        data = b"".join(self._bundle)
        self._bundle, self._bundled, self._bundle_bytes = [], [], 0
        self._chunks += 1
        yield data

    def _keep(self, record: StateRecord, piece: Piece) -> None:
        known = self._before.get((record.stage, record.name))
        if known is None:
            raise PartError(
                f"the state {record.name!r} of stage {record.stage!r} says that it has not changed, since nothing"
            )
        blob = known.get((piece.groups, piece.run))
        if blob is not None:  # None: it was empty.
            record.pieces.append(PieceRecord(blob, piece.groups, piece.port, piece.time, piece.run))

    def _waits(self, waiting: Waiting) -> Callable[[Blob], None]:
        return lambda blob: self._waiting.append(WaitingRecord(waiting.connector, waiting.time, blob))

    @staticmethod
    def _piece(record: StateRecord, piece: Piece) -> Callable[[Blob], None]:
        return lambda blob: record.pieces.append(PieceRecord(blob, piece.groups, piece.port, piece.time, piece.run))

    def _own(self, stage: str) -> Callable[[Blob], None]:
        return lambda blob: self._custom.__setitem__(stage, blob)


def read_part(record: PartRecord, get: Get, worker: int, workers: int) -> Part:
    """Reads what one worker may get a share of; the rest of the part's batches is left out.

    Args:
        record: Of any worker of the checkpoint.
        get: Reads chunks.
        worker: Who asks.
        workers: How many there are now.

    Raises:
        CodecError: A chunk holds something else.
    """
    mine = record.worker == worker
    moves = record.workers != workers
    first, stop = groups_of(worker, workers)

    def wanted(groups: tuple[int, int] | None) -> bool:
        if groups is not None and moves:
            return groups[0] < stop and first < groups[1]
        return mine or moves

    waiting = record.waiting if mine or moves else []
    states = [(state, [piece for piece in state.pieces if wanted(piece.groups)]) for state in record.states]
    custom = record.custom if mine or moves else {}
    blobs = [each.blob for each in waiting] + [piece.blob for _, pieces in states for piece in pieces]
    blobs += custom.values()
    batches = iter(_batches(blobs, get))
    return Part(
        record.worker,
        record.workers,
        record.generation,
        record.epochs_opened,
        [Waiting(each.connector, each.time, next(batches)) for each in waiting],
        [Request(each.stage, each.guarantee, each.capability) for each in record.requests],
        {
            (each.stage, each.partition): PartitionState(each.epoch, each.position, each.entered)
            for each in record.partitions
        },
        record.completed,
        {
            (state.stage, state.name): (
                state.version,
                [Piece(next(batches), piece.groups, piece.port, piece.time, piece.run) for piece in pieces],
            )
            for state, pieces in states
        },
        {stage: next(batches)[0] for stage in custom},
    )


def _batches(blobs: list[Blob], get: Get) -> list[Any]:
    names = list(dict.fromkeys(blob.chunk for blob in blobs))
    by_chunk: dict[str, list[int]] = {name: [] for name in names}
    for place, blob in enumerate(blobs):
        by_chunk[blob.chunk].append(place)
    batches: list[Any] = [None] * len(blobs)
    for name, data in zip(names, get(names), strict=True):
        for place in by_chunk[name]:
            blob = blobs[place]
            batches[place] = decode(blob.encoding, data[blob.start : blob.start + blob.size], trusted=True)
    return batches
