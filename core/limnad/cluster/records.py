"""The records of a checkpoint: what a manifest's body says. Batches are in chunks; see `limnad.cluster.parts`.

A leader reads and writes these without the libraries that batches need.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from limnad.timely.timestamp import Timestamp


class PartError(Exception):
    """A part cannot be written as it was captured, or what was read is no part."""


class Blob(msgspec.Struct, array_like=True, frozen=True):
    """Where an encoded batch lies.

    Attributes:
        chunk: The chunk's name.
        start: Its first byte in the chunk.
        size: How many bytes.
        encoding: See `limnad.batch.Encoding`.
    """

    chunk: str
    start: int
    size: int
    encoding: int


class WaitingRecord(msgspec.Struct, array_like=True, frozen=True):
    """See `limnad.timely.snapshot.Waiting`."""

    connector: int
    time: Timestamp
    blob: Blob


class PieceRecord(msgspec.Struct, array_like=True, frozen=True):
    """See `limnad.timely.state.Piece`."""

    blob: Blob
    groups: tuple[int, int] | None
    port: int | None
    time: Timestamp | None
    run: int | None = None


class StateRecord(msgspec.Struct, array_like=True):
    """One state of one stage's vertex."""

    stage: str
    name: str
    version: int
    pieces: list[PieceRecord]


class PartitionRecord(msgspec.Struct, array_like=True, frozen=True):
    """See `limnad.timely.snapshot.PartitionState`."""

    stage: str
    partition: str
    epoch: int
    position: dict[str, Any] | None
    entered: int = 0


class RequestRecord(msgspec.Struct, array_like=True, frozen=True):
    """See `limnad.timely.snapshot.Request`."""

    stage: str
    guarantee: Timestamp
    capability: Timestamp


class PartRecord(msgspec.Struct):
    """One worker's part of a checkpoint. Attributes: see `limnad.timely.snapshot.Part`."""

    worker: int
    workers: int
    generation: int
    epochs_opened: int
    waiting: list[WaitingRecord]
    requests: list[RequestRecord]
    partitions: list[PartitionRecord]
    completed: dict[str, int]
    states: list[StateRecord]
    custom: dict[str, Blob]

    def blobs(self) -> Iterator[Blob]:
        """All that it refers to."""
        yield from (waiting.blob for waiting in self.waiting)
        yield from (piece.blob for state in self.states for piece in state.pieces)
        yield from self.custom.values()

    def chunks(self) -> set[str]:
        """The names of the chunks it refers to."""
        return {blob.chunk for blob in self.blobs()}


class OutputRecord(msgspec.Struct, array_like=True, frozen=True):
    """An epoch of a named output that a checkpoint keeps for those who have not read it yet."""

    name: str
    epoch: int
    rows: int
    blob: Blob | None


class PhasesRecord(msgspec.Struct, array_like=True, frozen=True):
    """How long one worker took, in microseconds, and how much it stored; see `limnad.cluster.effects.Halt`."""

    stop_us: int
    markers_us: int
    references_us: int
    encode_us: int
    upload_us: int
    stored_bytes: int

    @property
    def halted_us(self) -> int:
        """How long it stood still."""
        return self.stop_us + self.markers_us + self.references_us


class CheckpointRecord(msgspec.Struct):
    """What a manifest's body says.

    Attributes:
        fingerprint: Of the graph.
        stages: The names of its stages, with what each is.
        generation: Which run of the job made it.
        parts: By worker.
        outputs: Epochs of named outputs that are kept.
        epoch: The first epoch that was not complete, as the leader knew it; for listings.
        made_s: When, in seconds since 1970; for listings.
        phases: How long each worker took; for listings.
    """

    fingerprint: str
    stages: list[tuple[str, str]]
    generation: int
    parts: list[PartRecord]
    outputs: list[OutputRecord]
    epoch: int | None = None
    made_s: float = 0.0
    phases: list[PhasesRecord] = []

    def encode(self) -> bytes:
        """As MessagePack."""
        return msgspec.msgpack.encode(self)

    @staticmethod
    def decode(data: bytes) -> CheckpointRecord:
        """Reads one.

        Raises:
            PartError: It is damaged, or of a newer Limnad.
        """
        try:
            return msgspec.msgpack.decode(data, type=CheckpointRecord)
        except msgspec.DecodeError as error:
            raise PartError(f"this checkpoint cannot be read: {error}") from None

    def chunks(self) -> set[str]:
        """The names of all chunks it refers to."""
        held = {output.blob.chunk for output in self.outputs if output.blob is not None}
        return held.union(*(part.chunks() for part in self.parts))
