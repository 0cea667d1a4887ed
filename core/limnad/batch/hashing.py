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

The definition, with all arithmetic modulo 2**64, G = 0x9E3779B97F4A7C15, `mix` the finaliser of splitmix64 and `seed(k)
= mix(k * G)` for the kinds of `limnad.batch._mix.Kind`:

    null                     mix(seed(NULL))
    integers of 64 bits      mix(seed(INTEGER) + v)
    other floats             mix(seed(FLOAT) + IEEE bits)
    dates, times, ...        mix(seed(kind) + days since 1970, ns since midnight, us since 1970, us)
    text, bytes              mix(seed(kind) + head * H + sum(scramble(word[i] + i * G)))      see `limnad.batch._text`
    other numbers            as bytes, of the kind NUMBER                                     see
    `limnad.batch._numbers` sequences                mix(seed(SEQUENCE) + n * G + sum(hash(x[i]) * (mix((i + 1) * G) |
    1))) mappings                 mix(seed(MAPPING) + n * G + sum(mix(hash(key) * H + hash(value)))) sets
    mix(seed(SET) + n * G + sum(hash(x)))

It is not a keyed hash: whoever chooses the keys can choose them to meet in one key group.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.batch._columns import hash_column
from limnad.batch._mix import combine_columns
from limnad.batch._values import hash_values

__all__ = ["hash_frame", "hash_records", "hash_series", "hash_value"]


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
