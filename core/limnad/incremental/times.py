"""Many times at once, in the product order of all coordinates.

The times of rows are an array of one line for each coordinate (epoch, counters) and a column for each row. Differences
combine in the *product* order: one time is before another if each of its coordinates is. The order of timestamps that
the engine knows (`limnad.less_equal`) compares loop counters lexicographically, so it calls more times ordered. For
notifications and capabilities that only delays. Compaction needs the product order: see `product_antichain`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from limnad.incremental.columns import FEW
from limnad.timely.timestamp import Timestamp

Times: TypeAlias = npt.NDArray[np.int64]
"""Of shape ``(coordinates, rows)``."""


def before(left: Times, right: Times) -> npt.NDArray[np.bool_]:
    """Column by column, whether ``left`` is before ``right`` or equal, in the product order."""
    so_far: npt.NDArray[np.bool_] = left[0] <= right[0]
    for mine, other in zip(left[1:], right[1:], strict=True):
        so_far = so_far & (mine <= other)
    return so_far


def product_antichain(frontier: Iterable[Timestamp]) -> Times:
    """The minimal times, in the product order, of all that are not before a frontier of the engine's order.

    With counters in lexicographic order, ``(e, 2, 5)`` says that ``(e, 3, 0)`` may come too, which is not above it in
    the product order. So each element becomes several.

    >>> product_antichain([(4, 2, 5)]).T.tolist()
    [[4, 2, 5], [4, 3, 0]]
    """
    found: set[Timestamp] = set()
    for time in frontier:
        found.add(time)
        for place in range(1, len(time) - 1):
            found.add((*time[:place], time[place] + 1, *(0,) * (len(time) - place - 1)))
    return to_times(minimal(found))


def minimal(times: Iterable[Timestamp]) -> list[Timestamp]:
    """Those with no other one before them in the product order, ascending."""
    kept: list[Timestamp] = []
    for time in sorted(times):
        if not any(all(map(int.__le__, one, time)) for one in kept):
            kept.append(time)
    return kept


def advance(times: Times, since: Times) -> Times:
    """Moves each time as far as no time from ``since`` on can tell: the meet of its joins with all of ``since``.

    Law: for every ``t`` that some element of ``since`` is before, ``s`` is before ``t`` if and only if ``advance(s)``
    is.

    >>> advance(np.array([[1], [7]]), np.array([[3, 4], [2, 0]])).T.tolist()
    [[3, 7]]
    """
    moved = np.maximum(times, since[:, :1])
    for place in range(1, since.shape[1]):
        np.minimum(moved, np.maximum(times, since[:, place : place + 1]), out=moved)
    return moved


def to_times(times: Sequence[Timestamp]) -> Times:
    """Timestamps as an array."""
    return np.ascontiguousarray(np.array(times, np.int64).T)


def distinct(times: Times) -> tuple[list[Timestamp], npt.NDArray[np.int64]]:
    """The different times, ascending, and for each column which of them it is."""
    if times.shape[1] <= FEW:
        whole = list(zip(*times.tolist(), strict=True))
        found = sorted(set(whole))
        if len(found) == 1:
            return found, np.zeros(len(whole), np.int64)
        number = {time: place for place, time in enumerate(found)}
        return found, np.array([number[time] for time in whole], np.int64)
    if len(times) == 1:
        epochs, inverse = np.unique(times[0], return_inverse=True)
        return [(epoch,) for epoch in epochs.tolist()], inverse
    first = times[:, :1]
    if (times == first).all():
        return [tuple(first[:, 0].tolist())], np.zeros(times.shape[1], np.int64)
    _, places, inverse = np.unique(_packed(times), return_index=True, return_inverse=True)
    return list(map(tuple, times[:, places].T.tolist())), inverse


def _packed(times: Times) -> npt.NDArray[np.int64]:
    """A number for each time, in their order."""
    packed: npt.NDArray[np.int64] = times[0]
    for coordinate in times[1:]:
        least, span = int(coordinate.min()), int(coordinate.max() - coordinate.min()) + 1
        packed = packed - packed.min()
        if (int(packed.max()) + 1) * span >= 1 << 62:
            _, packed = np.unique(packed, return_inverse=True)
        packed = (packed * span + (coordinate - least)).astype(np.int64)
    return packed
