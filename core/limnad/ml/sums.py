"""Sums of vectors over all workers."""

from __future__ import annotations

from typing import Any

import numpy as np

from limnad import bsp
from limnad.bsp import Part, Reduction, Supersteps, run_supersteps
from limnad.errors import JobError
from limnad.stream import RecordStream

Vector = Any


def all_reduce(
    vectors: RecordStream[Vector], how: Reduction = Reduction.SCATTER, name: str = "all_reduce"
) -> RecordStream[Vector]:
    """The sum of all vectors of each time, on every worker.

    Args:
        vectors: One-dimensional NumPy arrays (or what makes one), all of a time of one length: any length, also shorter
            than there are workers. A worker may have any number of them, also none. In a loop, times are those of the
            loop.
        how: See `limnad.bsp.Reduction`.
        name: Of the stage.

    Returns:
        One vector on each worker: as many records as there are workers, for the next operator on each.

    Raises:
        JobError: While the job runs: vectors of different lengths, or of another number of dimensions.
    """

    def program(part: Part) -> Supersteps[list[Vector]]:
        mine = [_vector(record) for batch in part.inputs[0] for record in batch]
        lengths = {len(vector) for vector in mine}
        if len(lengths) > 1:
            raise JobError(f"all_reduce adds vectors of one length, but there are lengths {sorted(lengths)}")
        total = yield from bsp.all_reduce(part, np.sum(mine, axis=0) if mine else None, how)
        return [total]

    stream: RecordStream[Vector] = run_supersteps(program, vectors, name=name)
    return stream


def _vector(record: Any) -> Any:
    vector = np.asarray(record)
    if vector.ndim != 1:
        raise JobError(f"all_reduce adds vectors, but a record has {vector.ndim} dimensions: send array.ravel()")
    return vector
