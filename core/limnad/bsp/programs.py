"""What a program of supersteps is given, and what it keeps for a restart."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.batch import hash_frame, owners

T = TypeVar("T")

Supersteps: TypeAlias = Generator[Sequence[Any], Sequence[Any], T]
"""Yields what each worker is to be sent, by worker; is given what each worker has sent; returns its answer."""

Columns: TypeAlias = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Saved:
    """What a program has kept of one superstep.

    Attributes:
        by: The column by which rows belong to workers, as `limnad.FrameStream.partition_by` has it; None: every worker
            has the same.
        columns: Arrays of one length, or (``by`` None) of any. They are never changed.
    """

    by: str | None
    columns: Columns


class Part:
    """One worker's part of the rows of one time.

    Attributes:
        worker: Which worker this is, from 0.
        workers: How many there are.
        inputs: For each input stream its batches on this worker.
        saved: After a restart, this worker's part of what all workers had saved last; else None.
    """

    KEPT = 2
    """How many saves are kept: workers are never more than one superstep apart, so all have the older one."""

    def __init__(self, worker: int, workers: int, inputs: Sequence[Sequence[Any]]) -> None:
        self.worker = worker
        self.workers = workers
        self.inputs = inputs
        self.saved: Columns | None = None
        self.saves: dict[int, Saved] = {}
        self._number = 0

    def frame(self, port: int, schema: Mapping[str, Any]) -> pl.DataFrame:
        """All rows of an input of frames, with their columns in the schema's order."""
        batches = self.inputs[port]
        whole = pl.concat(batches) if batches else pl.DataFrame(schema=schema)
        return whole.select(list(schema)).rechunk()

    def owners(self, keys: pl.Series) -> npt.NDArray[np.intp]:
        """The worker of each key: the one to which ``partition_by`` sends rows with that key."""
        return owners(hash_frame(keys.alias("key").to_frame(), ["key"]), self.workers).astype(np.intp)

    def save(self, by: str | None = None, **columns: npt.NDArray[Any]) -> None:
        """Keeps arrays, by reference, from which a restart may go on; at most once between two yields.

        All workers save at the same supersteps. After a restart, perhaps on another number of workers, the program is
        started anew on its part of the rows, with what was saved in `saved`: rows by their owner, or (``by`` None) the
        whole.

        Args:
            by: The column that decides whose a row is; None: all workers save the same.
            columns: What to keep; must not be changed any more.
        """
        self.saves[self._number] = Saved(by, columns)
        self.saves.pop(self._number - self.KEPT, None)
        self._number += 1

    def go_on(self, number: int, saved: Saved | None) -> None:
        """The restart starts from this save; for the runner."""
        self._number = number + 1
        if saved is not None:
            self.saved = saved.columns
            self.saves = {number: saved}


Program: TypeAlias = Callable[[Part], Supersteps[Any]]
"""Makes the generator that runs on one worker; its answer is a batch, or None for nothing."""
