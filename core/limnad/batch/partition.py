"""From hashes to key groups, from key groups to workers, from a batch to one part per worker.

State is stored by key group, and the number of key groups is fixed for a job's life: so the number of workers may
change, and what moves between them is whole groups. Workers own contiguous ranges of groups.
"""

import functools
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.batch.taking import rows_at, rows_where
from limnad.limits import KEY_GROUPS

__all__ = [
    "KEY_GROUPS",
    "MAX_KEY_GROUPS",
    "groups_of",
    "key_group",
    "least_hash",
    "owners",
    "split_frame",
    "split_records",
    "worker_of",
    "workers_of",
]

MAX_KEY_GROUPS = 65_536

Destinations: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

_BORDER_WORKERS = 8
_FILTER_WORKERS = 4
_FILTER_ROWS = 20_000
_HALF = np.uint64(32)


def key_group(hashes: npt.NDArray[np.uint64], key_groups: int = KEY_GROUPS) -> npt.NDArray[np.uint16]:
    """The key group of each hash: its upper 32 bits, as a fraction of one, times the number of groups.

    Law: groups are even to `key_groups / 2**32`, and doubling `key_groups` splits each group in two neighbours.

    >>> key_group(np.array([0, 2**63, 2**64 - 1], np.uint64), 256).tolist()
    [0, 128, 255]

    Raises:
        ValueError: if `key_groups` is not within 1..65536.
    """
    _check_key_groups(key_groups)
    upper = np.right_shift(hashes, _HALF)
    np.multiply(upper, np.uint64(key_groups), out=upper)
    np.right_shift(upper, _HALF, out=upper)
    return upper.astype(np.uint16)


def least_hash(group: int, key_groups: int = KEY_GROUPS) -> int:
    """The least hash of a key group: groups are ranges of hashes, and rows in the order of their hash lie by group.

    >>> least_hash(0), least_hash(128) == 2**63, least_hash(KEY_GROUPS) == 2**64
    (0, True, True)
    """
    return -(-(group << 32) // key_groups) << 32


def worker_of(group: int, workers: int, key_groups: int = KEY_GROUPS) -> int:
    """The worker that owns a key group.

    Law: it never falls with the group, so each worker owns one range; the ranges differ by at most one group in size.

    >>> [worker_of(group, 2, 5) for group in range(5)]
    [0, 0, 0, 1, 1]
    """
    return group * workers // key_groups


def groups_of(worker: int, workers: int, key_groups: int = KEY_GROUPS) -> tuple[int, int]:
    """The key groups that a worker owns: the first, and the one behind the last.

    >>> groups_of(1, 3), [worker_of(group, 3) for group in (85, 86, 170, 171)]
    ((86, 171), [0, 1, 1, 2])
    """
    return -(-worker * key_groups // workers), -(-(worker + 1) * key_groups // workers)


def workers_of(groups: npt.NDArray[np.uint16], workers: int, key_groups: int = KEY_GROUPS) -> Destinations:
    """The worker that owns each of many key groups, as the narrowest integers that sort fast.

    >>> workers_of(np.array([0, 4], np.uint16), 2, 5).tolist()
    [0, 1]

    Raises:
        ValueError: if there are more workers than key groups, or none.
    """
    _check_key_groups(key_groups)
    if not 1 <= workers <= key_groups:
        raise ValueError(f"{workers} workers cannot share {key_groups} key groups: take 1 to {key_groups} workers")
    destinations: Destinations = _worker_table(workers, key_groups)[groups]
    return destinations


def owners(hashes: npt.NDArray[np.uint64], workers: int, key_groups: int = KEY_GROUPS) -> Destinations:
    """The worker that owns the key group of each hash: `workers_of` the `key_group`.

    Groups are ranges of hashes and workers own ranges of groups, so for few workers a comparison with each border is
    enough: for two it takes a tenth of the time.

    >>> owners(np.array([0, 2**63, 2**64 - 1], np.uint64), 2).tolist()
    [0, 1, 1]

    Raises:
        ValueError: if there are more workers than key groups, or none.
    """
    if not 1 <= workers <= min(_BORDER_WORKERS, key_groups):
        return workers_of(key_group(hashes, key_groups), workers, key_groups)
    destinations = np.zeros(len(hashes), np.uint8)
    for border in _borders(workers, key_groups):
        np.add(destinations, hashes >= border, out=destinations)
    return destinations


@functools.lru_cache(maxsize=64)
def _borders(workers: int, key_groups: int) -> list[np.uint64]:
    """The least hash of each worker but the first."""
    first_groups = (groups_of(worker, workers, key_groups)[0] for worker in range(1, workers))
    return [np.uint64(least_hash(group, key_groups)) for group in first_groups]


@functools.lru_cache(maxsize=64)
def _worker_table(workers: int, key_groups: int) -> npt.NDArray[Any]:
    table = np.arange(key_groups, dtype=np.int64) * workers // key_groups
    return table.astype(np.uint8 if workers <= 256 else np.uint16)


def _check_key_groups(key_groups: int) -> None:
    if not 1 <= key_groups <= MAX_KEY_GROUPS:
        raise ValueError(f"the number of key groups must be within 1..{MAX_KEY_GROUPS}, not {key_groups}")


def split_frame(frame: pl.DataFrame, destinations: Destinations, workers: int) -> list[pl.DataFrame | None]:
    """Splits a frame into one part per worker, None where a worker gets no row; rows keep their order within a part.

    Law: the parts' rows are the frame's rows. A part may be the frame itself, or a slice that keeps all parts' memory
    alive.

    Measured in one thread, with 2 and 5 columns: from 20,000 rows on a filter per worker is faster for 2 to 4 workers,
    ten times and more for 100,000 rows and 2 workers; else sorting the row numbers (8 and 16 bits are sorted by
    counting), gathering once and slicing is. `partition_by` and a sort within Polars were never fastest.

    >>> frame = pl.DataFrame({"a": [1, 2, 3]})
    >>> [None if part is None else part.rows() for part in split_frame(frame, np.array([2, 0, 2], np.uint8), 3)]
    [[(2,)], None, [(1,), (3,)]]

    Raises:
        ValueError: if there is not one destination for each row, or one is not a worker.
    """
    if workers <= _FILTER_WORKERS and len(frame) >= _FILTER_ROWS and len(destinations) == len(frame):
        return _filtered(frame, destinations, workers)
    counts = _count(destinations, len(frame), workers)
    whole = _only_worker(counts, len(frame))
    if whole is not None:
        return [frame if worker == whole and len(frame) else None for worker in range(workers)]
    order = np.argsort(destinations, kind="stable").astype(np.uint32)
    gathered = rows_at(frame, order)
    parts: list[pl.DataFrame | None] = []
    start = 0
    for count in counts:
        parts.append(gathered.slice(start, count) if count else None)
        start += count
    return parts


def _filtered(frame: pl.DataFrame, destinations: Destinations, workers: int) -> list[pl.DataFrame | None]:
    parts: list[pl.DataFrame | None] = []
    found = 0
    for worker in range(workers):
        mask = destinations == worker
        count = int(np.count_nonzero(mask))
        found += count
        parts.append(frame if count == len(frame) else rows_where(frame, mask) if count else None)
    if found < len(frame):
        raise ValueError(f"destination {destinations.max()} is not one of {workers} workers")
    return parts


def split_records(records: Sequence[Any], destinations: Destinations, workers: int) -> list[list[Any] | None]:
    """Splits a list of records into one list per worker, None where a worker gets none; order is kept within a part.

    >>> split_records(["a", "b", "c"], np.array([1, 0, 1], np.uint8), 2)
    [['b'], ['a', 'c']]

    Raises:
        ValueError: if there is not one destination for each record, or one is not a worker.
    """
    counts = _count(destinations, len(records), workers)
    whole = _only_worker(counts, len(records))
    if whole is not None:
        return [list(records) if worker == whole and records else None for worker in range(workers)]
    parts: list[list[Any]] = [[] for _ in range(workers)]
    for record, worker in zip(records, destinations.tolist(), strict=True):
        parts[worker].append(record)
    return [part or None for part in parts]


def _count(destinations: Destinations, length: int, workers: int) -> list[int]:
    if len(destinations) != length:
        raise ValueError(f"{len(destinations)} destinations for {length} rows")
    counts: list[int] = np.bincount(destinations, minlength=workers).tolist()
    if len(counts) > workers:
        raise ValueError(f"destination {len(counts) - 1} is not one of {workers} workers")
    return counts


def _only_worker(counts: list[int], length: int) -> int | None:
    """The worker that gets everything, if one does."""
    return counts.index(length) if length in counts else None
