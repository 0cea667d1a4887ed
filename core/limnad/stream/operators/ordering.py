"""An order of records that does not tell in which order they came."""

from typing import Any, TypeVar

from limnad.batch import hash_records, with_one_nan

T = TypeVar("T")


def in_order(records: list[T]) -> list[T]:
    """Sorted, or where that is no order in the order of their stable hash.

    It is none among values that do not compare, such as None and numbers, among sets, and where there is a NaN. Records
    of classes of one's own that neither compare nor have a stable hash stay as they came.
    """
    values: list[Any] = records
    try:
        ordered = sorted(values)
    except TypeError:
        return _by_hash(records)
    if {set, frozenset} & set(map(type, values)) or with_one_nan(values) is not values:
        return _by_hash(records)
    return ordered


def _by_hash(records: list[T]) -> list[T]:
    try:
        hashes = hash_records(records).tolist()
    except TypeError:
        return records
    # A sequence of one has the hash of its element.
    types = [type(record).__qualname__ for record in records]
    return [records[place] for _, _, place in sorted(zip(hashes, types, range(len(records)), strict=True))]
