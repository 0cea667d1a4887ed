"""What a worker wants done: its shell does it and decides nothing."""

from dataclasses import dataclass
from typing import Any

from limnad.timely.snapshot import PartitionKey, Snapshot
from limnad.timely.source import Cut
from limnad.timely.timestamp import Timestamp
from limnad.timely.tracker import Update


@dataclass(frozen=True, slots=True)
class Data:
    """One batch on the data stream to one peer.

    Attributes:
        peer: The receiving worker.
        sequence: 0, 1, 2, ... on this stream.
        connector: Which connector it travels on.
        time: Its timestamp.
        batch: A frame or a list.
    """

    peer: int
    sequence: int
    connector: int
    time: Timestamp
    batch: Any


@dataclass(frozen=True, slots=True)
class Progress:
    """One batch of progress updates, the same to every peer.

    Attributes:
        sequence: 0, 1, 2, ... on each progress stream of this worker; number 0 holds the initial counts.
        updates: Applied as a whole.
        epochs: How many epochs this worker's inputs have opened so far.
    """

    sequence: int
    updates: list[Update]
    epochs: int


@dataclass(frozen=True, slots=True)
class Ack:
    """Tells a peer, on the way back of its data stream, what has arrived and what still waits here.

    Attributes:
        peer: The sender that is answered.
        received: How many of its batches have arrived.
        queued_bytes: What waits undelivered on this worker, whoever sent it.
    """

    peer: int
    received: int
    queued_bytes: int


@dataclass(frozen=True, slots=True)
class Publish:
    """All rows of an epoch of a named output.

    Attributes:
        output: Its name.
        epoch: The epoch; epochs of an output come in order, the empty ones included.
        batch: The rows, None for none.
    """

    output: str
    epoch: int
    batch: Any


@dataclass(frozen=True, slots=True)
class Marker:
    """On the data stream to one peer: all that this worker sent before a checkpoint has gone before it.

    Attributes:
        peer: The receiving worker.
        sequence: Its number on the data stream, counted with the batches.
        checkpoint: The checkpoint's number.
    """

    peer: int
    sequence: int
    checkpoint: int


@dataclass(frozen=True, slots=True)
class Halt:
    """How long a worker stood still for a checkpoint, phase by phase, as its clock says.

    Attributes:
        stop_ns: From its last callback until its outgoing buffers were empty.
        markers_ns: From then on until every peer's marker was here.
        references_ns: Taking references to what it holds.
    """

    stop_ns: int
    markers_ns: int
    references_ns: int


@dataclass(frozen=True, slots=True)
class Captured:
    """This worker's part of a checkpoint is to be stored; the worker runs on.

    Attributes:
        checkpoint: The checkpoint's number.
        snapshot: By reference: its captures may be turned into pieces on another thread, once.
        halt: How long that took.
    """

    checkpoint: int
    snapshot: Snapshot
    halt: Halt


@dataclass(frozen=True, slots=True)
class LogCut:
    """A cut is to be appended to its input's log; the partition waits until it is durable.

    Attributes:
        key: The partition.
        cut: Where.
    """

    key: PartitionKey
    cut: Cut


Effect = LogCut | Data | Progress | Ack | Publish | Marker | Captured


class LinkError(Exception):
    """A message on a link is missing: counts would never add up again, so the generation must end.

    Attributes:
        peer: The sender.
    """

    def __init__(self, peer: int, stream: str, expected: int, got: int) -> None:
        super().__init__(f"the {stream} stream from worker {peer} lost messages {expected} to {got - 1}")
        self.peer = peer
