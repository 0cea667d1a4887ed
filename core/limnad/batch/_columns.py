"""The stable hash of Polars columns: by logical value, so that width, unit, chunks and encoding do not show."""

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.batch._mix import (
    HEAD_FACTOR,
    MASK,
    NULL_HASH,
    Kind,
    Words,
    container_seed,
    hash_integers,
    mix,
)
from limnad.batch._numbers import hash_floats
from limnad.batch._text import hash_strings
from limnad.batch._values import combine_ragged, hash_values

# Polars before 1.36 has no extension types.
_EXTENSION: Any = getattr(pl, "BaseExtension", None)
_PER_MICROSECOND = {"us": 1, "ms": 1_000}
_SUBMICROSECOND = np.uint64(HEAD_FACTOR)


def hash_column(series: pl.Series) -> Words:
    """Hashes a column; row i equals `hash_values([series[i]])[0]`.

    >>> frame = pl.Series([1, None, 3], dtype=pl.Int8)
    >>> bool((hash_column(frame) == hash_values([1, None, 3])).all())
    True
    """
    dtype = series.dtype
    if _EXTENSION is not None and isinstance(dtype, _EXTENSION):
        return hash_column(series.ext.storage())
    if dtype == pl.String:
        return hash_strings(series, Kind.TEXT)
    if dtype == pl.Binary:
        return hash_strings(series, Kind.BYTES)
    if dtype in (pl.Categorical, pl.Enum):
        return _hash_categories(series)
    if dtype == pl.Null:
        return np.full(len(series), NULL_HASH)
    if series.null_count():
        return _hash_with_nulls(series)
    return _hash_full(series)


def _hash_with_nulls(series: pl.Series) -> Words:
    """Hashes the values that are there, by themselves: what lies under a null is not defined."""
    valid = series.is_not_null()
    rows = valid.to_numpy()
    hashes = np.full(len(series), NULL_HASH)
    hashes[rows] = _hash_full(series.filter(valid))
    return hashes


def _hash_full(series: pl.Series) -> Words:
    dtype = series.dtype
    if dtype in _WIDE or dtype == pl.Decimal:
        return _hash_by_distinct(series)
    if dtype.is_integer():
        return hash_integers(series.to_numpy(), Kind.INTEGER)
    if dtype == pl.Boolean:
        return hash_integers(series.to_numpy().view(np.uint8), Kind.INTEGER)
    if dtype.is_float():
        return hash_floats(series.to_numpy())
    if dtype.is_temporal():
        return _hash_temporal(series)
    if isinstance(dtype, pl.Struct):
        return _hash_structs(series, dtype)
    if isinstance(dtype, pl.Array):
        series = series.arr.to_list()
    if isinstance(series.dtype, pl.List):
        return _hash_lists(series)
    # Objects and maps have no columnar form of their own.
    return hash_values(series.to_list())


_WIDE = tuple(getattr(pl, name) for name in ("Int128", "UInt128") if hasattr(pl, name))


def _hash_by_distinct(series: pl.Series) -> Words:
    """Decimals and 128-bit integers, which numpy does not have: each distinct value once, as a Python number."""
    if series.dtype in _WIDE and _fits_int64(series):
        return hash_integers(series.cast(pl.Int64).to_numpy(), Kind.INTEGER)
    numbers: dict[Any, int] = {}
    values = series.to_list()
    codes = np.fromiter((numbers.setdefault(value, len(numbers)) for value in values), np.int64, len(values))
    return hash_values(list(numbers)).take(codes)


def _fits_int64(series: pl.Series) -> bool:
    low, high = series.min(), series.max()
    return isinstance(low, int) and isinstance(high, int) and low >= -(1 << 63) and high < 1 << 63


def _hash_temporal(series: pl.Series) -> Words:
    dtype = series.dtype
    ticks = series.to_physical().to_numpy()
    if dtype == pl.Date:
        return hash_integers(ticks, Kind.DATE)
    if dtype == pl.Time:
        return hash_integers(ticks, Kind.TIME)
    if isinstance(dtype, pl.Datetime):
        return _hash_ticks(ticks, dtype.time_unit, Kind.LOCAL_DATETIME if dtype.time_zone is None else Kind.INSTANT)
    assert isinstance(dtype, pl.Duration), f"{dtype} is temporal and unknown"
    return _hash_ticks(ticks, dtype.time_unit, Kind.DURATION)


def _hash_ticks(ticks: npt.NDArray[np.int64], unit: str, kind: Kind) -> Words:
    """Hashes microseconds; nanoseconds beyond them, which Python's types cannot hold, are mixed in."""
    if unit != "ns":
        scale = _PER_MICROSECOND[unit]
        return hash_integers(ticks if scale == 1 else ticks * scale, kind)
    microseconds = ticks // 1_000
    rest = ticks - microseconds * 1_000
    hashes = hash_integers(microseconds, kind)
    rows = np.flatnonzero(rest)
    if rows.size:
        hashes[rows] = mix(hashes[rows] + rest[rows].astype(np.uint64) * _SUBMICROSECOND)
    return hashes


def _hash_categories(series: pl.Series) -> Words:
    """Hashes each category that occurs once, as a string, and looks the rows up by code."""
    if not len(series):
        return np.empty(0, np.uint64)
    codes = series.to_physical().fill_null(0).to_numpy()
    size = int(codes.max()) + 1
    if size > 4 * len(series):
        # Codes are shared by the whole process: a table of all could be far larger than the batch.
        return hash_strings(series.cast(pl.String), Kind.TEXT)
    # Any row of a category will do; a null, whose code is a stand-in, must not be the one.
    rows = np.zeros(size, np.uint32)
    valid = series.is_not_null().to_numpy()
    indexes = np.arange(len(series), dtype=np.uint32)
    rows[codes[valid]] = indexes[valid]
    table = hash_strings(series.gather(rows).cast(pl.String), Kind.TEXT)
    hashes: Words = table[codes]
    if series.null_count():
        hashes[~valid] = NULL_HASH
    return hashes


def _hash_structs(series: pl.Series, dtype: pl.Struct) -> Words:
    """A struct is hashed as the dict of its fields, so the order of fields does not count."""
    sums = np.full(len(series), container_seed(Kind.MAPPING, len(dtype.fields)))
    for field in dtype.fields:
        key = int(hash_values([field.name])[0]) * HEAD_FACTOR
        sums += mix(hash_column(series.struct.field(field.name)) + np.uint64(key & MASK))
    return mix(sums)


def _hash_lists(series: pl.Series) -> Words:
    lengths = series.list.len().to_numpy().astype(np.int64)
    # Exploding gives a null for an empty list.
    elements = series.filter(pl.Series(lengths > 0)).explode()
    return combine_ragged(hash_column(elements), lengths)
