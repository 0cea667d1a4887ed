"""Differences: rows, each with the time at which it changes and by how much, as columns and as frames.

On the wire a difference is a row of a frame: first the columns of the row itself, then one for each coordinate of its
time, then its multiplicity. `Layout` turns such frames into `Deltas` and back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.incremental.columns import (
    Columns,
    Indexes,
    concat,
    from_series,
    is_plain,
    same_rows,
    size_bytes,
    take,
    to_series,
)
from limnad.incremental.quick import frame as frame_of
from limnad.incremental.quick import series
from limnad.incremental.times import Times

EPOCH = "__epoch"
DIFF = "__diff"


def time_columns(depth: int) -> list[str]:
    """The names of the columns that hold a time."""
    return [EPOCH, *(f"__counter_{number}" for number in range(1, depth))]


def hidden_columns(depth: int) -> list[str]:
    """The names of the columns behind a row's own."""
    return [*time_columns(depth), DIFF]


@dataclass(frozen=True, slots=True, eq=False)
class Deltas:
    """Differences in columns; nothing in them is ever changed in place.

    Attributes:
        columns: Of the rows.
        times: When each row changes.
        diffs: By how much its multiplicity changes.
    """

    columns: Columns
    times: Times
    diffs: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.diffs)

    def size_bytes(self) -> int:
        """About how much memory they take."""
        return size_bytes(self.columns) + self.times.nbytes + self.diffs.nbytes

    def take(self, rows: Indexes) -> Deltas:
        """Some of them."""
        return Deltas(tuple(take(column, rows) for column in self.columns), self.times[:, rows], self.diffs[rows])

    def pick(self, places: Sequence[int]) -> Columns:
        """Some of the columns."""
        return tuple(self.columns[place] for place in places)

    def at(self, times: Times) -> Deltas:
        """The same at other times."""
        return Deltas(self.columns, times, self.diffs)

    def consolidated(self) -> Deltas:
        """The same in as few differences as possible: one for each row and time, none of them zero."""
        if len(self) <= 1:
            return self if len(self) == 0 or self.diffs[0] else self.take(np.empty(0, np.int64))
        whole = (*self.columns, *self.times)
        order, starts = same_rows(whole, len(self))
        if len(starts) == len(order):
            return self if self.diffs.all() else self.take(np.flatnonzero(self.diffs))
        sums = np.add.reduceat(self.diffs[order], starts)
        kept = np.flatnonzero(sums)
        rows = order[starts[kept]]
        return Deltas(tuple(take(column, rows) for column in self.columns), self.times[:, rows], sums[kept])


def concat_deltas(parts: Sequence[Deltas]) -> Deltas:
    """All of these."""
    if len(parts) == 1:
        return parts[0]
    columns = tuple(concat(column) for column in zip(*(part.columns for part in parts), strict=True))
    times = np.concatenate([part.times for part in parts], axis=1)
    return Deltas(columns, times, np.concatenate([part.diffs for part in parts]))


@dataclass(frozen=True)
class Layout:
    """How differences of rows of one schema lie in a frame.

    Attributes:
        schema: Of the rows.
        depth: How many coordinates a time has.
    """

    schema: Mapping[str, pl.DataType]
    depth: int
    names: tuple[str, ...] = field(init=False)
    _plain: tuple[bool, ...] = field(init=False)
    _hidden: tuple[str, ...] = field(init=False)
    _empty: Deltas = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.schema))
        object.__setattr__(self, "_plain", tuple(map(is_plain, self.schema.values())))
        object.__setattr__(self, "_hidden", tuple(hidden_columns(self.depth)))
        object.__setattr__(self, "_empty", self.read(pl.DataFrame(schema=self.frame_schema)))

    @property
    def frame_schema(self) -> pl.Schema:
        """Of the frames."""
        return pl.Schema({**self.schema, **dict.fromkeys(self._hidden, pl.Int64())})

    def places(self, names: Sequence[str]) -> tuple[int, ...]:
        """Where some columns stand."""
        return tuple(self.names.index(name) for name in names)

    def empty(self) -> Deltas:
        """No differences."""
        return self._empty

    def read(self, frame: pl.DataFrame) -> Deltas:
        """A frame's differences. A frame of fewer loop counters is one from outside those loops: they are zero."""
        given = frame.get_columns()
        width = len(self._plain)
        columns = tuple(from_series(one, plain=plain) for one, plain in zip(given[:width], self._plain, strict=True))
        times = np.zeros((self.depth, len(frame)), np.int64)
        for place, one in enumerate(given[width:-1]):
            times[place] = one.to_numpy()
        return Deltas(columns, times, given[-1].to_numpy())

    def write(self, deltas: Deltas) -> pl.DataFrame:
        """The differences as a frame."""
        columns: list[Any] = [
            to_series(column, name, dtype)
            for column, (name, dtype) in zip(deltas.columns, self.schema.items(), strict=True)
        ]
        columns += map(series, self._hidden, (*deltas.times, deltas.diffs))
        return frame_of(columns)
