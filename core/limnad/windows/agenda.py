"""Which keys have to be looked at when the watermark passes a time.

It is no state of its own: it follows from the rows that a vertex keeps, and is made anew from them after a restore.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

DUE = "__limnad_due"
"""The column of an agenda's entries that says when."""

GROWTH = 4
"""A run is at least so many times as long as the next newer one: looking goes through few of them."""


class Agenda:
    """Keys by the time at which they are due, in a few sorted runs.

    An entry may be there more than once, but not often: runs that are merged lose repetitions.

    >>> agenda = Agenda({"k": pl.String()})
    >>> agenda.add(pl.DataFrame({"k": ["a", "b", "a"], DUE: [5, 7, 9]}))
    >>> agenda.take(7).sort("k").rows(), agenda.take(7).rows(), agenda.take(9).rows()
    ([('a',), ('b',)], [], [('a',)])

    Args:
        keys: The columns of a key.
        first_only: Whether of a key only the earliest entry counts: whoever takes the key adds what is due later. So
            what is put off with each row takes one entry, not one for each row.
    """

    def __init__(self, keys: dict[str, pl.DataType], *, first_only: bool = False) -> None:
        self._first_only = first_only
        self._keys = list(keys)
        self._schema = pl.Schema({**keys, DUE: pl.Int64()})
        self._runs: list[pl.DataFrame] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, entries: pl.DataFrame) -> None:
        """Adds entries: rows of a key and the time ``DUE``; other columns do not matter."""
        if not len(entries):
            return
        self._runs.append(self._sorted([entries.select(self._schema.names())]))
        while len(self._runs) > 1 and len(self._runs[-2]) < GROWTH * len(self._runs[-1]):
            self._runs.append(self._sorted([self._runs.pop(-2), self._runs.pop()]))

    def take(self, now: int) -> pl.DataFrame:
        """Removes all entries that are due at ``now`` or before, and returns their keys, each once."""
        taken, left = [], []
        for run in self._runs:
            due = run[DUE].search_sorted(now, side="right")
            if due:
                taken.append(run.head(due))
            if due < len(run):
                left.append(run.slice(due))
        self._runs = left
        return pl.concat([pl.DataFrame(schema=self._schema), *taken]).select(self._keys).unique()

    def _sorted(self, runs: Sequence[pl.DataFrame]) -> pl.DataFrame:
        if self._first_only:
            return pl.concat(runs).sort(DUE).unique(self._keys, keep="first", maintain_order=True)
        return pl.concat(runs).unique().sort(DUE)
