"""One NaN for all: what keys of records need to be found again in a dict.

To the stable hash, as to Polars, NaN is one value. To a Python dict each NaN is a key of its own, unless it is the same
object; and whether it is depends on whether it has crossed workers or a checkpoint.
"""

import datetime as dt
import math
from collections.abc import Hashable
from itertools import chain
from typing import Any, Final, TypeVar, cast

__all__ = ["with_one_nan"]

K = TypeVar("K", bound=Hashable)

_NEVER: Final = frozenset({int, str, bytes, bool, type(None), dt.date, dt.datetime, dt.time, dt.timedelta})


def with_one_nan(keys: list[K]) -> list[K]:
    """The keys, each NaN in them, or in tuples and frozensets of theirs, one object; the same list if there is none.

    >>> nan = float("nan")
    >>> len({nan, -nan}), len(set(with_one_nan([nan, -nan]))), with_one_nan(["a"])
    (2, 1, ['a'])
    """
    kinds = set(map(type, keys))
    if kinds <= _NEVER:
        return keys
    if kinds == {tuple} and set(map(type, chain.from_iterable(cast(list[tuple[Any, ...]], keys)))) <= _NEVER:
        return keys
    return list(map(_one, keys)) if any(map(_has_nan, keys)) else keys


def _has_nan(value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    return type(value) in (tuple, frozenset) and any(map(_has_nan, value))


def _one(value: Any) -> Any:
    if isinstance(value, float):
        return math.nan if math.isnan(value) else value
    return type(value)(map(_one, value)) if type(value) in (tuple, frozenset) else value
