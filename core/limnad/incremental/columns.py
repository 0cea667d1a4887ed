"""Columns of rows as arrays that cost a microsecond to touch: NumPy where the values allow it, Polars elsewhere.

A change of one row goes through some hundred operations on arrays of a few elements. NumPy's take 1 us each, Polars'
20 to 100 us: so integers and floats without nulls are NumPy arrays here, and everything else stays a Polars series.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.batch import combine_hashes, hash_numbers, hash_series
from limnad.incremental.quick import series

Column: TypeAlias = npt.NDArray[Any] | pl.Series
Columns: TypeAlias = tuple[Column, ...]
Indexes: TypeAlias = npt.NDArray[np.int64]
Hashes: TypeAlias = npt.NDArray[np.uint64]

_NUMBERS: Final = frozenset(
    {pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.Float32, pl.Float64}
)
_SIMPLE: Final = frozenset(
    {pl.String, pl.Binary, pl.Boolean, pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64}
)
"""Values that are the same for Polars' hash and for Python's dict just when they are the same for us, nulls too."""

FEW: Final = 32
"""So many rows Python looks through in the time of a few of NumPy's calls, which is what a change consists of."""

NO_HASH: Final = 0x51ED_270B_9F6E_21C7
"""The hash of a row without columns."""


def is_plain(dtype: pl.DataType) -> bool:
    """Whether a column of this type can be a NumPy array."""
    return dtype.base_type() in _NUMBERS


def from_series(values: pl.Series, *, plain: bool) -> Column:
    """A column of what may be a part of a frame."""
    return values.to_numpy() if plain and not values.null_count() else values


def to_series(column: Column, name: str, dtype: pl.DataType) -> pl.Series:
    """The column as Polars wants it."""
    if isinstance(column, np.ndarray):
        made = series(name, column)
        return made if made.dtype == dtype else made.cast(dtype)
    return column if column.name == name else column.alias(name)


def take(column: Column, rows: Indexes) -> Column:
    """The values at some places."""
    if isinstance(column, np.ndarray):
        return column.take(rows)
    return column[series("", rows.astype(np.uint32))]  # Ten times as fast as gather().


def size_bytes(columns: Columns) -> int:
    """About how much memory they take."""
    return sum(column.nbytes if isinstance(column, np.ndarray) else int(column.estimated_size()) for column in columns)


def concat(parts: Sequence[Column]) -> Column:
    """Several columns behind each other; a series if one is."""
    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    kept = next(part for part in parts if isinstance(part, pl.Series))
    return pl.concat([to_series(part, kept.name, kept.dtype) for part in parts], rechunk=True)


def equal(one: Column, at: Indexes, other: Column, there: Indexes) -> npt.NDArray[np.bool_]:
    """Whether values are the same, place by place: null is null, NaN is NaN, -0.0 is 0.0."""
    left, right = take(one, at), take(other, there)
    if isinstance(left, np.ndarray) and isinstance(right, np.ndarray):
        same: npt.NDArray[np.bool_] = left == right
        if left.dtype.kind == "f":
            same |= (left != left) & (right != right)  # noqa: PLR0124 - NaN
        return same
    kept = left if isinstance(left, pl.Series) else right
    assert isinstance(kept, pl.Series)
    pair = [to_series(side, kept.name, kept.dtype) for side in (left, right)]
    if kept.dtype.is_nested() or pair[0].null_count() or pair[1].null_count():
        return pair[0].eq_missing(pair[1]).to_numpy()
    return (pair[0] == pair[1]).to_numpy()


def all_equal(one: Columns, at: Indexes, other: Columns, there: Indexes) -> npt.NDArray[np.bool_]:
    """Whether whole rows are the same, place by place."""
    same = np.ones(len(at), bool)
    for left, right in zip(one, other, strict=True):
        same &= equal(left, at, right, there)
    return same


def hash_columns(columns: Columns, length: int) -> Hashes:
    """The stable hash of each row: that of `limnad.batch.hash_frame`."""
    if not columns:
        return np.full(length, NO_HASH, np.uint64)
    return combine_hashes(
        [hash_numbers(column) if isinstance(column, np.ndarray) else hash_series(column) for column in columns]
    )


_FACTORS: Final = np.random.default_rng(0x11_3A_AD).integers(0, 2**63, 64, np.uint64) * np.uint64(2) + np.uint64(1)


def identities(columns: Sequence[Column], length: int) -> Hashes:
    """Words that are equal for equal rows, and different for nearly all others: a sixth of the time of a hash.

    They tell rows apart where `groups` looks at the rows themselves too; they are stored nowhere.
    """
    words = np.zeros(length, np.uint64)
    for place, column in enumerate(columns):
        words += _words(column) * _FACTORS[place % len(_FACTORS)]
    return words


def _words(column: Column) -> Hashes:
    if isinstance(column, pl.Series):
        # Polars' own hash may be another one in another process or version: a word lives no longer than a call.
        return column.hash().to_numpy() if column.dtype.base_type() in _SIMPLE else hash_series(column)
    if column.dtype.kind == "f":
        return hash_numbers(column)
    words: Hashes = column.view(np.uint64) if column.dtype.itemsize == 8 else column.astype(np.uint64)
    return words


def same_rows(columns: Columns, length: int) -> tuple[Indexes, Indexes]:
    """Which rows are the same; see `groups`."""
    if length > FEW or not all(map(_is_simple, columns)):
        return groups(identities(columns, length), columns)
    found: dict[tuple[Any, ...], list[int]] = {}
    for place, row in enumerate(zip(*map(_values, columns), strict=True)):
        found.setdefault(row, []).append(place)
    if len(found) == length:
        return np.arange(length), np.arange(length)
    order = [place for places in found.values() for place in places]
    lengths = np.array([len(places) for places in found.values()])
    return np.array(order), np.cumsum(lengths) - lengths


def _is_simple(column: Column) -> bool:
    # Floats are not, because Python's dict does not know that NaN is NaN.
    return column.dtype.base_type() in _SIMPLE if isinstance(column, pl.Series) else column.dtype.kind in "iu"


def _values(column: Column) -> list[Any]:
    return column.to_list() if isinstance(column, pl.Series) else column.tolist()


def groups(hashes: Hashes, columns: Columns) -> tuple[Indexes, Indexes]:
    """Which rows are the same, by their hashes.

    Args:
        hashes: Equal for equal rows.
        columns: What the rows are made of.

    Returns:
        ``(order, starts)``: the rows' indexes, equal ones side by side, and where in it each group starts.
    """
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    same = ordered[1:] == ordered[:-1]
    if not same.any():
        return order, np.arange(len(order))
    places = np.flatnonzero(same)
    if not all_equal(columns, order[places], columns, order[places + 1]).all():
        return _groups_in_spite_of_collisions(columns)
    return order, np.flatnonzero(np.concatenate(([True], ~same))) if len(order) else order


def _groups_in_spite_of_collisions(columns: Columns) -> tuple[Indexes, Indexes]:
    """The same by comparing all values: rows that differ have one hash, which chance alone does not bring about."""
    named = [
        column.alias(str(place)) if isinstance(column, pl.Series) else series(str(place), column)
        for place, column in enumerate(columns)
    ]
    names = [each.name for each in named]
    found = pl.DataFrame(named).with_row_index("row").group_by(names).agg(pl.col("row"))["row"]
    lengths = found.list.len().to_numpy().astype(np.int64)
    return found.explode().to_numpy().astype(np.int64), np.cumsum(lengths) - lengths


def ranges(starts: Indexes, counts: Indexes) -> Indexes:
    """The numbers of several ranges behind each other.

    >>> ranges(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    if len(counts) <= FEW and counts.sum() <= FEW:
        pairs = zip(starts.tolist(), counts.tolist(), strict=True)
        return np.array([number for start, count in pairs for number in range(start, start + count)], np.int64)
    ends = np.cumsum(counts)
    return np.arange(ends[-1]) + np.repeat(starts - ends + counts, counts)
