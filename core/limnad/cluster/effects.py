"""What a worker wants done: its shell does it and decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limnad.timely.timestamp import Timestamp
from limnad.timely.tracker import Update

if TYPE_CHECKING:
    from limnad.timely.snapshot import Snapshot
    from limnad.timely.source import Cut, PartitionKey

COORDINATOR = -1
"""The coordinator's number where workers have theirs."""


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
    """One batch of progress updates: the same to every peer, or with a coordinator to it alone, and from it to all.

    Attributes:
        sequence: 0, 1, 2, ... on each progress stream of the sender; number 0 holds the initial counts.
        updates: Applied as a whole.
        epochs: How many epochs the sender knows that inputs have opened so far.
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
        queued_bytes: What waits undelivered on this worker, whoever sent it, as back-pressure counts it.
        full: Whether it holds so much state that sources should wait until all is quiet.
    """

    peer: int
    received: int
    queued_bytes: int
    full: bool = False


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
        super().__init__(f"the {stream} stream from {member(peer)} lost messages {expected} to {got - 1}")
        self.peer = peer


def member(number: int) -> str:
    """What a member of a generation is called."""
    return "the coordinator" if number == COORDINATOR else f"worker {number}"


def is_next(counters: dict[int, int], sender: int, sequence: int, stream: str) -> bool:
    """Whether a message is the next one of its sender, which is counted then; False if it has come before.

    Raises:
        LinkError: One or more before it are missing.
    """
    expected = counters[sender]
    if sequence < expected:
        return False
    if sequence > expected:
        raise LinkError(sender, stream, expected, sequence)
    counters[sender] = expected + 1
    return True


def flatten(updates: Iterable[Update]) -> list[int]:
    """Updates as they stand in a `ProgressBatch`: location, number of coordinates, coordinates, delta.

    >>> unflatten(flatten([(3, (1, 0), -1)]))
    [(3, (1, 0), -1)]
    """
    flat: list[int] = []
    for location, time, delta in updates:
        flat += (location, len(time), *time, delta)
    return flat


def unflatten(flat: Sequence[int]) -> list[Update]:
    """What `flatten` was given."""
    updates: list[Update] = []
    place = 0
    while place < len(flat):
        end = place + 2 + flat[place + 1]
        updates.append((flat[place], tuple(flat[place + 2 : end]), flat[end]))
        place = end + 1
    return updates
