"""One worker's part of a checkpoint, and what a worker is given to start from.

Progress counts are not in it: they follow from the batches, requests and open inputs that are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from limnad.timely.graph import PartitionFunction
from limnad.timely.source import PartitionKey, Position
from limnad.timely.state import Capture, Piece
from limnad.timely.timestamp import Timestamp

StateKey: TypeAlias = tuple[str, str]
"""``(stage, state)``."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch that has been sent and not delivered."""

    connector: int
    time: Timestamp
    batch: Any


@dataclass(frozen=True, slots=True)
class Request:
    """A notification that has been asked for and not given."""

    stage: str
    guarantee: Timestamp
    capability: Timestamp


@dataclass(frozen=True, slots=True)
class PartitionState:
    """Where one partition of a source stands.

    Attributes:
        epoch: The epoch whose capability it holds.
        position: What its reader reported; None: it has ended.
        entered: Which epoch of the job is the reader's first: not 0 if the partition was found after a checkpoint.
    """

    epoch: int
    position: Position | None
    entered: int = 0


@dataclass(frozen=True, slots=True)
class StateCapture:
    """A state at the moment of the checkpoint."""

    version: int
    capture: Capture


@dataclass(slots=True)
class Snapshot:
    """What one worker held at the moment of a checkpoint, by reference.

    Attributes:
        worker: Which worker.
        workers: How many there were.
        generation: Which run of the job.
        epochs_opened: How many epochs were known to exist.
        waiting: The batches that waited for delivery.
        requests: The notifications that were owed.
        partitions: Its partitions of the sources.
        completed: For each sink how many epochs it had completed, by stage.
        states: The declared states of its vertices.
        custom: What its vertices' `checkpoint` returned, by stage.
    """

    worker: int
    workers: int
    generation: int
    epochs_opened: int = 0
    waiting: list[Waiting] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    partitions: dict[PartitionKey, PartitionState] = field(default_factory=dict)
    completed: dict[str, int] = field(default_factory=dict)
    states: dict[StateKey, StateCapture] = field(default_factory=dict)
    custom: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Part:
    """The same after it was stored and read again: captures have become pieces.

    Attributes:
        states: For each state the version it was stored with, and its pieces.
    """

    worker: int
    workers: int
    generation: int
    epochs_opened: int
    waiting: Sequence[Waiting]
    requests: Sequence[Request]
    partitions: Mapping[PartitionKey, PartitionState]
    completed: Mapping[str, int]
    states: Mapping[StateKey, tuple[int, Sequence[Piece]]]
    custom: Mapping[str, Any]


def share_of(
    partition: PartitionFunction | None,
    batch: Any,
    origin: int,
    before: int,
    worker: int,
    workers: int,
    copied_from: int | None = None,
) -> Any | None:
    """What a worker gets of a batch that waited at worker ``origin`` of ``before``; None for nothing.

    With as many workers as before everything stays where it was. Else rows go where their connector's partition
    function sends them now; a batch that every worker had a copy of is taken from one worker, ``copied_from`` if that
    is given; and one that no function has spread may go to any worker.
    """
    if workers == before:
        return batch if origin == worker else None
    if partition is None:
        return batch if origin % workers == worker else None
    if partition.replicates:
        return batch if origin == (worker % before if copied_from is None else copied_from) else None
    for owner, part in partition.split(batch, workers):
        if owner == worker and len(part):
            return part
    return None
