"""Rows in the order of their key's stable hash, to be found, taken away and added by key.

Key groups are ranges of hashes: so the rows of a key group, of a range of groups, or of a worker lie side by side, and
finding the rows of a few keys among many is a binary search. Everything here leaves its arguments as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from limnad.batch.hashing import hash_frame
from limnad.batch.partition import least_hash
from limnad.batch.taking import rows_at

__all__ = ["SortedRows"]

Places: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class SortedRows:
    """Rows that are sorted by the hash of their key; any number of them may have one key.

    >>> rows = SortedRows.of(pl.DataFrame({"word": ["a", "b", "c"], "n": [1, 2, 3]}), ["word"])
    >>> keys = SortedRows.of(pl.DataFrame({"word": ["b", "x"]}), ["word"])
    >>> rows.of_keys(keys).frame.rows(), sorted(rows.without(keys).frame.rows())
    ([('b', 2)], [('a', 1), ('c', 3)])

    Attributes:
        frame: The rows.
        hashes: Their keys' hashes, ascending.
        key: The columns of the key.
    """

    frame: pl.DataFrame
    hashes: npt.NDArray[np.uint64]
    key: tuple[str, ...]

    @classmethod
    def of(cls, frame: pl.DataFrame, key: Sequence[str]) -> SortedRows:
        """Sorts a frame."""
        hashes = hash_frame(frame, key)
        rows = cls(frame.rechunk(), hashes, tuple(key))
        if np.all(hashes[1:] >= hashes[:-1]):
            return rows
        return rows.at(np.argsort(hashes).astype(np.int64))

    def __len__(self) -> int:
        return len(self.hashes)

    def size_bytes(self) -> int:
        """About how much memory they take."""
        return int(self.frame.estimated_size()) + self.hashes.nbytes

    def at(self, places: Places) -> SortedRows:
        """The rows at some places, copied; their hashes are to be ascending."""
        return SortedRows(rows_at(self.frame, places), self.hashes[places], self.key)

    def keys(self) -> SortedRows:
        """Their keys, each once."""
        # By index: a quarter of the time of `select`, and this is done to every change.
        keys = SortedRows(self.frame[list(self.key)], self.hashes, self.key)
        if not np.any(self.hashes[1:] == self.hashes[:-1]):
            return keys
        return SortedRows.of(keys.frame.unique(maintain_order=True), self.key)

    def groups(self, first: int, stop: int) -> SortedRows:
        """The rows of a range of key groups, without copying them."""
        start = int(np.searchsorted(self.hashes, np.uint64(least_hash(first))))
        end = int(np.searchsorted(self.hashes, np.uint64(least_hash(stop) - 1), side="right"))
        if end - start == len(self):
            return self
        return SortedRows(self.frame.slice(start, end - start), self.hashes[start:end], self.key)

    def places(self, keys: SortedRows) -> Places:
        """Where the rows of some keys are, ascending.

        Args:
            keys: Each once; columns beside the key do not matter.
        """
        starts = np.searchsorted(self.hashes, keys.hashes)
        counts = np.searchsorted(self.hashes, keys.hashes, side="right") - starts
        ends = np.cumsum(counts)
        if not len(ends) or not ends[-1]:
            return np.empty(0, np.int64)
        rows = np.arange(ends[-1]) + np.repeat(starts - (ends - counts), counts)
        # Keys that differ may have one hash.
        same = self._equal(rows, keys, np.repeat(np.arange(len(keys)), counts))
        found = rows[same]
        return found if np.all(found[1:] > found[:-1]) else np.sort(found)

    def of_keys(self, keys: SortedRows) -> SortedRows:
        """The rows of some keys; see `places`."""
        return self.at(self.places(keys))

    def without(self, keys: SortedRows) -> SortedRows:
        """All rows but those of some keys; see `places`."""
        places = self.places(keys)
        if not len(places):
            return self
        stays = np.ones(len(self), bool)
        stays[places] = False
        return self.at(np.flatnonzero(stays))

    def with_rows(self, others: SortedRows) -> SortedRows:
        """These rows and others, which have the same columns."""
        if not len(others):
            return self
        if not len(self):
            return others
        places = np.searchsorted(self.hashes, others.hashes, side="right") + np.arange(len(others))
        is_other = np.zeros(len(self) + len(others), bool)
        is_other[places] = True
        order = np.empty(len(is_other), np.int64)
        order[is_other] = np.arange(len(self), len(is_other))
        order[~is_other] = np.arange(len(self))
        both = self.frame.vstack(others.frame)
        return SortedRows(both, np.concatenate([self.hashes, others.hashes]), self.key).at(order)

    def _equal(self, places: Places, others: SortedRows, at: Places) -> npt.NDArray[np.bool_]:
        """Whether the keys at some places are those of others at others."""
        same = np.ones(len(places), bool)
        mine, other = pl.Series(places.astype(np.uint32)), pl.Series(at.astype(np.uint32))
        for name in self.key:
            left, right = self.frame[name][mine], others.frame[name][other]
            if not left.equals(right):  # Nearly always they are, and to see that takes a fiftieth of the time.
                same &= left.eq_missing(right).to_numpy()
        return same
