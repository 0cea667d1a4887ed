"""The stable hash of Python values: each type's values are gathered into a column and hashed at numpy's speed."""

import datetime as dt
import decimal
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, compress
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.batch._mix import (
    GOLDEN,
    HEAD_FACTOR,
    MASK,
    NULL_HASH,
    SEEDS,
    Kind,
    Words,
    combine_columns,
    hash_integers,
    mix,
    position_factors,
)
from limnad.batch._numbers import hash_floats, reduce_decimal, reduce_integer
from limnad.batch._text import hash_strings

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - a local datetime has no zone
_EPOCH_UTC = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EPOCH_DAY = _EPOCH.toordinal()
_MICROSECOND = dt.timedelta(microseconds=1)

Hasher: TypeAlias = Callable[[Sequence[Any]], Words]


def hash_values(values: Sequence[Any]) -> Words:
    """Hashes Python values; equal values hash equally across types, as a dict's keys would.

    >>> len(set(hash_values([1, 1.0, True, decimal.Decimal("1.0"), (1,)]).tolist()))
    1

    Raises:
        TypeError: for a value whose type has no stable hash, naming it.
    """
    kinds = set(map(type, values))
    if not kinds:
        return np.empty(0, np.uint64)
    if len(kinds) == 1:
        return hasher_of(kinds.pop())(values)
    hashes = np.empty(len(values), np.uint64)
    for kind in kinds:
        rows = np.fromiter((type(value) is kind for value in values), np.bool_, len(values))
        hashes[rows] = hasher_of(kind)(list(compress(values, rows)))
    return hashes


def hasher_of(kind: type[Any]) -> Hasher:
    """The hasher for a type: its own, or that of its nearest base, so that a named tuple is a tuple.

    Raises:
        TypeError: if no base has one.
    """
    for base in kind.__mro__:
        hasher = _HASHERS.get(base)
        if hasher is not None:
            return hasher
    raise TypeError(
        f"a key of type {kind.__module__}.{kind.__qualname__} has no hash that is stable across processes; "
        "use a key of strings, numbers, dates, bytes, None or tuples of these; for a class of your own, a tuple of its "
        "fields"
    )


def _hash_nulls(values: Sequence[None]) -> Words:
    return np.full(len(values), NULL_HASH)


def _hash_ints(values: Sequence[int]) -> Words:
    try:
        return hash_integers(np.fromiter(values, np.int64, len(values)), Kind.INTEGER)
    except OverflowError:
        return _hash_big_ints(values)


def _hash_big_ints(values: Sequence[int]) -> Words:
    return _hash_reduced(list(map(reduce_integer, values)))


def _hash_decimals(values: Sequence[decimal.Decimal]) -> Words:
    return _hash_reduced(list(map(reduce_decimal, values)))


def _hash_reduced(values: Sequence[int | float | bytes]) -> Words:
    hashes = np.empty(len(values), np.uint64)
    kinds = np.fromiter((_FORMS[type(value)] for value in values), np.int8, len(values))
    words = [value & MASK for value in values if isinstance(value, int)]
    hashes[kinds == 0] = hash_integers(np.array(words, np.uint64), Kind.INTEGER)
    hashes[kinds == 1] = hash_floats(np.array([value for value in values if isinstance(value, float)], np.float64))
    digits = [value for value in values if isinstance(value, bytes)]
    hashes[kinds == 2] = hash_strings(pl.Series(digits, dtype=pl.Binary), Kind.NUMBER)
    return hashes


_FORMS = {int: 0, float: 1, bytes: 2}


def _hash_floats(values: Sequence[float]) -> Words:
    return hash_floats(np.fromiter(values, np.float64, len(values)))


def _hash_texts(values: Sequence[str]) -> Words:
    try:
        series = pl.Series(values, dtype=pl.String)
    except (UnicodeEncodeError, TypeError):  # Lone surrogates; subclasses of str, which Polars does not take.
        series = pl.Series([str.encode(value, "utf-8", "surrogatepass") for value in values], dtype=pl.Binary)
    return hash_strings(series, Kind.TEXT)


def _hash_bytes(values: Sequence[bytes | bytearray]) -> Words:
    return hash_strings(pl.Series(list(map(bytes, values)), dtype=pl.Binary), Kind.BYTES)


def _hash_dates(values: Sequence[dt.date]) -> Words:
    days = np.fromiter(map(dt.date.toordinal, values), np.int64, len(values))
    return hash_integers(days - _EPOCH_DAY, Kind.DATE)


def _hash_datetimes(values: Sequence[dt.datetime]) -> Words:
    """Local datetimes and instants are two kinds, never equal in Python; equal instants of two zones are one."""
    aware = np.fromiter((value.utcoffset() is not None for value in values), np.bool_, len(values))
    since_epoch = [
        value - _EPOCH_UTC if is_aware else value.replace(tzinfo=None) - _EPOCH
        for value, is_aware in zip(values, aware.tolist(), strict=True)
    ]
    microseconds = _microseconds(since_epoch)
    hashes = np.empty(len(values), np.uint64)
    hashes[aware] = hash_integers(microseconds[aware], Kind.INSTANT)
    hashes[~aware] = hash_integers(microseconds[~aware], Kind.LOCAL_DATETIME)
    return hashes


def _hash_durations(values: Sequence[dt.timedelta]) -> Words:
    return hash_integers(_microseconds(values), Kind.DURATION)


def _microseconds(values: Sequence[dt.timedelta]) -> npt.NDArray[np.uint64]:
    # The longest timedelta is beyond 64 bits: wrapping is a function of the value all the same.
    return np.fromiter(((value // _MICROSECOND) & MASK for value in values), np.uint64, len(values))


def _hash_times(values: Sequence[dt.time]) -> Words:
    if any(value.tzinfo is not None for value in values):
        raise TypeError(
            "a key of type datetime.time with a time zone has no stable hash; use a time without zone, or a datetime"
        )
    nanoseconds = (
        (((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond) * 1_000
        for value in values
    )
    return hash_integers(np.fromiter(nanoseconds, np.int64, len(values)), Kind.TIME)


def _hash_sequences(values: Sequence[Sequence[Any]]) -> Words:
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    if lengths[0] and (lengths == lengths[0]).all():
        return combine_columns([hash_values(column) for column in zip(*values, strict=True)])
    return combine_ragged(hash_values(list(chain.from_iterable(values))), lengths)


def combine_ragged(elements: Words, lengths: npt.NDArray[np.int64]) -> Words:
    """Hashes sequences of several lengths, given the hashes of all their elements one after the other."""
    ends = np.cumsum(lengths)
    positions = np.arange(elements.size) - np.repeat(ends - lengths, lengths)
    factors = position_factors(int(lengths.max(initial=0)))
    hashes = mix(_segment_sums(elements * factors[positions], lengths) + _container_seeds(Kind.SEQUENCE, lengths))
    single = lengths == 1
    hashes[single] = elements[(ends - 1)[single]]
    return hashes


def _hash_sets(values: Sequence[frozenset[Any]]) -> Words:
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    elements = hash_values(list(chain.from_iterable(values)))
    return mix(_segment_sums(elements, lengths) + _container_seeds(Kind.SET, lengths))


def _hash_mappings(values: Sequence[Mapping[Any, Any]]) -> Words:
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    keys = hash_values(list(chain.from_iterable(values)))
    items = hash_values(list(chain.from_iterable(value.values() for value in values)))
    entries = mix(keys * np.uint64(HEAD_FACTOR) + items)
    return mix(_segment_sums(entries, lengths) + _container_seeds(Kind.MAPPING, lengths))


def _container_seeds(kind: Kind, lengths: npt.NDArray[np.int64]) -> Words:
    return lengths.astype(np.uint64) * np.uint64(GOLDEN) + SEEDS[kind]


def _segment_sums(terms: Words, lengths: npt.NDArray[np.int64]) -> Words:
    """The sum of each segment; `np.add.reduceat` would give an empty one its successor's first term."""
    sums = np.zeros(lengths.size, np.uint64)
    filled = lengths > 0
    if filled.any():
        starts = np.cumsum(lengths) - lengths
        sums[filled] = np.add.reduceat(terms, starts[filled])
    return sums


def _hash_numpy(values: Sequence[np.generic]) -> Words:
    if values[0].dtype.kind in "mMVOc":
        raise TypeError(
            f"a key of NumPy type {values[0].dtype} has no stable hash; use Python's own date types or numbers"
        )
    return hash_values([value.item() for value in values])


_HASHERS: dict[type[Any], Hasher] = {
    type(None): _hash_nulls,
    int: _hash_ints,
    float: _hash_floats,
    decimal.Decimal: _hash_decimals,
    str: _hash_texts,
    bytes: _hash_bytes,
    bytearray: _hash_bytes,
    dt.date: _hash_dates,
    dt.datetime: _hash_datetimes,
    dt.timedelta: _hash_durations,
    dt.time: _hash_times,
    tuple: _hash_sequences,
    list: _hash_sequences,
    frozenset: _hash_sets,
    set: _hash_sets,
    dict: _hash_mappings,
    np.generic: _hash_numpy,
}
