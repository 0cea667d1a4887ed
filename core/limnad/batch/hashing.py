"""The stable hash: one function of a value, whatever holds the value and wherever it is computed.

The partition function decides which vertex owns a key, on every worker, in every generation, and key groups are stored
by it: so it must be equal across processes, `PYTHONHASHSEED`s, versions of Python, Polars and NumPy, and machines.
Polars' `hash` and Python's `hash` promise none of that. The function is published here and pinned by golden values in
the tests; **a change of it is a change of the checkpoint format**.

A value is hashed by what it is, not by how it is stored:

- Numbers that are equal are one key, as in a Python dict: every integer width, bool, floats and decimals; -0.0 is 0,
  NaN is one value.
- Strings, categoricals and enums are strings. bytes are not strings.
- Dates, local datetimes, instants (datetimes with a zone), durations and times are counted in microseconds, whatever
  their unit.
- null is a value of its own.
- Tuples, lists and several key columns are sequences: order counts. A sequence of one is its element, so that one key
  column, a scalar and the 1-tuple that Polars' `group_by` gives agree. Structs and dicts are mappings: order does not
  count.

The definition: all arithmetic is modulo 2**64, G = 0x9E3779B97F4A7C15, H = 0xD6E8FEB86659FD93, `mix` is the finaliser
of splitmix64, and `seed(k) = mix(k * G)` for the kinds k of `limnad.batch._mix.Kind`:

    null                   mix(seed(NULL))
    integers of 64 bits    mix(seed(INTEGER) + v)
    other floats           mix(seed(FLOAT) + IEEE bits)
    other numbers          as bytes of the kind NUMBER: see `limnad.batch._numbers`
    dates                  mix(seed(DATE) + days since 1970)
    times                  mix(seed(TIME) + nanoseconds since midnight)
    datetimes, durations   mix(seed(kind) + microseconds), of datetimes since 1970
    text, bytes            mix(seed(kind) + head * H + sum(scramble(word[i] + i * G))): see `limnad.batch._text`
    sequences              mix(seed(SEQUENCE) + n * G + sum(hash(x[i]) * (mix((i + 1) * G) | 1)))
    mappings               mix(seed(MAPPING) + n * G + sum(mix(hash(key) * H + hash(value))))
    sets                   mix(seed(SET) + n * G + sum(hash(x)))

Why our own strings: measured on 10**5 to 10**6 rows in one thread, ns a row, ours / polars-hash's xxhash64 / a loop
over xxhash: up to 12 bytes 4.2 / 5.5 / 50, 24 bytes 21-26 / 7-9 / 55, 100 bytes 51-73 / 16 / 57 (int64: ours 1.8). Keys
are mostly numbers and short strings, where numpy on Arrow's own words is fastest. On longer ones the compiled plugin is
3 to 6 times faster: not enough to tie the format of our checkpoints to its releases, and us to its ABI.

It is not a keyed hash: whoever chooses the keys can choose them to meet in one key group.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.batch._columns import hash_column
from limnad.batch._mix import Kind, combine_columns, hash_integers
from limnad.batch._numbers import hash_floats
from limnad.batch._values import hash_values

__all__ = ["combine_hashes", "hash_frame", "hash_numbers", "hash_records", "hash_series", "hash_value"]


def hash_frame(frame: pl.DataFrame, keys: str | Sequence[str]) -> npt.NDArray[np.uint64]:
    """Hashes each row's key columns.

    Law: `hash_frame(frame, keys) == hash_records(frame.select(keys).rows())`, and `hash_frame(frame, key) ==
    hash_records(frame[key].to_list())`.

    >>> frame = pl.DataFrame({"a": ["x", "y"], "b": [1, 2]})
    >>> bool((hash_frame(frame, ["a", "b"]) == hash_records([("x", 1), ("y", 2)])).all())
    True
    >>> bool((hash_frame(frame, "a") == hash_records(["x", "y"])).all())
    True

    Raises:
        ValueError: if no key is named.
    """
    if isinstance(keys, str):
        return hash_column(frame.get_column(keys))
    if not keys:
        raise ValueError("a partition key needs at least one column")
    return combine_columns([hash_column(frame.get_column(key)) for key in keys])


def hash_series(series: pl.Series) -> npt.NDArray[np.uint64]:
    """Hashes each value of a column.

    >>> hash_series(pl.Series([1, 2], dtype=pl.UInt8)).tolist() == hash_series(pl.Series([1.0, 2.0])).tolist()
    True
    """
    return hash_column(series)


def hash_numbers(values: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Hashes each of an array of integers or floats.

    >>> hash_numbers(np.array([1, 2])).tolist() == hash_records([1, 2]).tolist()
    True
    """
    return hash_floats(values) if values.dtype.kind == "f" else hash_integers(values, Kind.INTEGER)


def combine_hashes(columns: Sequence[npt.NDArray[np.uint64]]) -> npt.NDArray[np.uint64]:
    """The hashes of keys of several columns, from the hashes of these; the first array may be reused.

    >>> bool(combine_hashes([hash_numbers(np.array([7])), hash_records(["x"])])[0] == hash_value((7, "x")))
    True
    """
    return combine_columns(list(columns))


def hash_records(keys: Sequence[Any]) -> npt.NDArray[np.uint64]:
    """Hashes each of a sequence of Python keys.

    >>> hash_records([1, 1.0, True, (1,)]).tolist() == [hash_value(1)] * 4
    True

    Raises:
        TypeError: for a key whose type has no stable hash.
    """
    return hash_values(keys)


def hash_value(key: Any) -> int:
    """Hashes one key; for many, `hash_records` is some hundred times faster.

    >>> hash_value(None) != hash_value(0)
    True
    """
    return int(hash_values([key])[0])
