"""Messages that many programs need. Each is a sub-program: ``total = yield from all_reduce(part, vector)``.

Whatever they answer is the same on all workers to the last bit, so programs may branch on it.
"""

from __future__ import annotations

from enum import Enum
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from limnad.bsp.programs import Part, Supersteps
from limnad.errors import JobError

Vector = npt.NDArray[Any]

FLAT_ITEMS = 1 << 10
"""Up to this length a vector is cheaper to send whole to everybody than to wait a superstep more."""


class Reduction(Enum):
    """How vectors are summed over ``n`` workers.

    FLAT: everybody sends the whole to everybody: one superstep, ``n`` times the vector from each worker.
    SCATTER: each worker sums one slice and sends it to all (reduce-scatter, all-gather): two supersteps, less than
        two vectors from each worker whatever ``n``.
    TREE: up a binomial tree and down again: ``2 log2 n`` supersteps, the fewest messages.
    """

    FLAT = "flat"
    SCATTER = "scatter"
    TREE = "tree"


def all_gather(part: Part, value: Any) -> Supersteps[list[Any]]:
    """Everybody's value, by worker. One superstep."""
    return list((yield [value] * part.workers))


def all_reduce(part: Part, vector: Vector | None, how: Reduction | None = None) -> Supersteps[Vector]:
    """The sum of all workers' vectors, on all workers.

    Args:
        part: The worker.
        vector: Of one length on all workers, also shorter than there are workers; None: nothing to add.
        how: By default what is cheapest for the length (all workers must agree: where one has None, say it).

    Raises:
        JobError: The vectors differ in length.
    """
    if how is None:
        how = Reduction.FLAT if vector is None or len(vector) <= FLAT_ITEMS else Reduction.SCATTER
    return (yield from _HOW[how](part, vector))


def _flat(part: Part, vector: Vector | None) -> Supersteps[Vector]:
    return _total((yield [vector] * part.workers))


def _scatter(part: Part, vector: Vector | None) -> Supersteps[Vector]:
    slices = [None] * part.workers if vector is None else np.array_split(vector, part.workers)
    mine = _total((yield slices))
    return np.concatenate((yield [mine] * part.workers))


def _tree(part: Part, vector: Vector | None) -> Supersteps[Vector]:
    workers, worker = part.workers, part.worker
    levels = (workers - 1).bit_length()
    total = vector
    for level in range(levels):
        distance = 1 << level
        sent: list[Vector | None] = [None] * workers
        if worker % (2 * distance) == distance:
            sent[worker - distance] = total
        received = [other for other in (yield sent) if other is not None]
        if received:
            total = _total(received if total is None else [total, *received])
    for level in reversed(range(levels)):
        distance = 1 << level
        sent = [None] * workers
        if worker % (2 * distance) == 0 and worker + distance < workers:
            sent[worker + distance] = total
        received = [other for other in (yield sent) if other is not None]
        if received:
            (total,) = received
    assert total is not None, "at least one worker has something to add"
    return total


def _total(vectors: Any) -> Vector:
    """The sum of those that are there, in the order of the workers."""
    present = [vector for vector in vectors if vector is not None]
    lengths = {len(vector) for vector in present}
    if len(lengths) > 1:
        raise JobError(
            f"all_reduce adds vectors of one length, but workers gave lengths {' and '.join(map(str, sorted(lengths)))}"
        )
    return np.asarray(reduce(np.add, present))


_HOW = {Reduction.FLAT: _flat, Reduction.SCATTER: _scatter, Reduction.TREE: _tree}
