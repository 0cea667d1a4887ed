"""What the record operators do with the records of one batch or one time: plain functions from list to list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from functools import reduce
from math import isnan
from typing import Any, Final, TypeVar

from limnad.batch import with_one_nan
from limnad.stream.operators.ordering import in_order

T = TypeVar("T")
A = TypeVar("A")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def distinct(records: list[T]) -> list[T]:
    """Each different record once."""
    return list(dict.fromkeys(with_one_nan(records)))


def total(counts: list[int]) -> list[int]:
    """One number: the sum."""
    return [sum(counts)]


def reduce_all(records: list[T], function: Callable[[T, T], T]) -> list[T]:
    """One record, or none."""
    return [reduce(function, records)] if records else []


def fold(records: Iterable[T], zero: Callable[[], A], add: Callable[[A, T], A]) -> A:
    """One accumulator over all records."""
    return reduce(add, records, zero())


def reduce_by_key(pairs: list[tuple[K, V]], function: Callable[[V, V], V]) -> list[tuple[K, V]]:
    """One pair for each key."""
    found: dict[K, V] = {}
    for key, value in _findable(pairs):
        found[key] = function(found[key], value) if key in found else value
    return list(found.items())


def fold_by_key(pairs: list[tuple[K, V]], zero: Callable[[], A], add: Callable[[A, V], A]) -> list[tuple[K, A]]:
    """One accumulator for each key."""
    found: dict[K, A] = {}
    for key, value in _findable(pairs):
        found[key] = add(found[key] if key in found else zero(), value)
    return list(found.items())


def count_by_key(pairs: list[tuple[K, V]]) -> list[tuple[K, int]]:
    """How many pairs each key has."""
    return list(Counter(with_one_nan([key for key, _ in pairs])).items())


def group(pairs: list[tuple[K, V]]) -> list[tuple[K, list[V]]]:
    """The values of each key, in order."""
    return [(key, in_order(values)) for key, values in _index(pairs).items()]


def picker(key: Callable[[T], Any] | None, *, greatest: bool) -> Callable[[T, T], T]:
    """Picks the lesser or the greater of two records by ``key``, NaN only of two; of equal ones the first in order."""
    order: Callable[[T], Any] = key or (lambda record: record)

    def pick(left: T, right: T) -> T:
        of_left, of_right = order(left), order(right)
        nan_left, nan_right = _is_nan(of_left), _is_nan(of_right)
        if of_left == of_right or (nan_left and nan_right):
            return in_order([left, right])[0]
        if nan_left or nan_right:
            return right if nan_left else left
        return left if (of_left < of_right) is not greatest else right

    return pick


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and isnan(value)


def _findable(pairs: list[tuple[K, V]]) -> list[tuple[K, V]]:
    """The pairs, with keys that are found again in a dict."""
    keys = [key for key, _ in pairs]
    found = with_one_nan(keys)
    return pairs if found is keys else [(key, value) for key, (_, value) in zip(found, pairs, strict=True)]


def _index(pairs: list[tuple[K, V]]) -> dict[K, list[V]]:
    found: dict[K, list[V]] = {}
    for key, value in _findable(pairs):
        found.setdefault(key, []).append(value)
    return found


def _inner(left: list[tuple[K, V]], right: list[tuple[K, Any]]) -> list[tuple[K, Any]]:
    matches = _index(right)
    return [(key, (value, other)) for key, value in _findable(left) for other in matches.get(key, ())]


def _left(left: list[tuple[K, V]], right: list[tuple[K, Any]]) -> list[tuple[K, Any]]:
    matches = _index(right)
    return [(key, (value, other)) for key, value in _findable(left) for other in matches.get(key, (None,))]


def _semi(left: list[tuple[K, V]], right: list[tuple[K, Any]]) -> list[tuple[K, Any]]:
    keys = _index(right)
    return [pair for pair in _findable(left) if pair[0] in keys]


def _anti(left: list[tuple[K, V]], right: list[tuple[K, Any]]) -> list[tuple[K, Any]]:
    keys = _index(right)
    return [pair for pair in _findable(left) if pair[0] not in keys]


JOINS: Final[dict[str, Callable[[list[Any], list[Any]], list[Any]]]] = {
    "inner": _inner,
    "left": _left,
    "semi": _semi,
    "anti": _anti,
}
"""The joins, by name."""
