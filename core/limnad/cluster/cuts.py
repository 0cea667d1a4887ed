"""The logs of timed inputs: what an entry holds, and which entries nobody needs any more.

An entry holds cuts that one worker made at about the same time, one append for all of them. A partition's cuts lie in
their order: within a generation one worker reads it, and a new generation claims the log before it reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from limnad.cluster.records import CheckpointRecord, PartitionRecord
from limnad.timely.source import Cut, PartitionKey, Position

Standings: TypeAlias = Mapping[PartitionKey, PartitionRecord]
"""Where a checkpoint's partitions stand."""

_ENTRY = list[tuple[str, int | None, Position]]


def encode_cuts(cuts: Sequence[tuple[str, Cut]]) -> bytes:
    """An entry: partitions and their cuts.

    >>> decode_cuts(encode_cuts([("a", Cut(1, {"bytes": 7})), ("a", Cut(None, {}))]))
    [('a', Cut(epoch=1, position={'bytes': 7})), ('a', Cut(epoch=None, position={}))]
    """
    return msgspec.json.encode([(partition, cut.epoch, cut.position) for partition, cut in cuts])


def decode_cuts(data: bytes) -> list[tuple[str, Cut]]:
    """What `encode_cuts` was given."""
    return [(partition, Cut(epoch, position)) for partition, epoch, position in msgspec.json.decode(data, type=_ENTRY)]


def cuts_of(stage: str, entries: Iterable[tuple[int, bytes]]) -> dict[PartitionKey, list[Cut]]:
    """Each partition's cuts, in order.

    Args:
        stage: Whose log it is.
        entries: Offset and data.
    """
    found: dict[PartitionKey, list[Cut]] = {}
    for _, data in entries:
        for partition, cut in decode_cuts(data):
            found.setdefault((stage, partition), []).append(cut)
    return found


def passed(stage: str, entries: Iterable[tuple[int, bytes]], kept: Sequence[Standings]) -> int | None:
    """Below which offset a log is not needed by any checkpoint that is kept; None: nothing can be trimmed.

    Args:
        stage: Whose log it is.
        entries: Offset and data, from the first one that is there.
        kept: Where each of these checkpoints' partitions stand.
    """
    below = None
    for offset, data in entries if kept else ():
        if any(_needs(states.get((stage, name)), cut) for name, cut in decode_cuts(data) for states in kept):
            break
        below = offset + 1
    return below


def _needs(state: PartitionRecord | None, cut: Cut) -> bool:
    if state is None:
        return True
    return state.position is not None and (cut.epoch is None or cut.epoch + state.entered > state.epoch)


def standings(record: CheckpointRecord) -> Standings:
    """Where a checkpoint's partitions stand."""
    return {(each.stage, each.partition): each for part in record.parts for each in part.partitions}
