"""Rows by key that are kept until a time, and leave when the watermark reaches it."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from limnad import FrameState
from limnad.windows.agenda import DUE, Agenda


class TimedRows:
    """Rows by key, each with the time at which it leaves, in the column ``DUE``.

    Args:
        name: Of the state.
        schema: Of the rows, with ``DUE``.
        keys: The columns of the key.

    Attributes:
        state: What a vertex has to keep.
    """

    def __init__(self, name: str, schema: pl.Schema, keys: Sequence[str]) -> None:
        self.state = FrameState(name, schema, keys)
        self._keys = list(keys)
        self._agenda = Agenda({key: schema[key] for key in keys})

    def restored(self) -> None:
        """The state is what it was."""
        self._agenda.add(self.state.to_frame())

    def add(self, rows: pl.DataFrame) -> None:
        """Keeps rows."""
        self.state.add(rows)
        self._agenda.add(rows)

    def replace(self, keys: pl.DataFrame, rows: pl.DataFrame) -> None:
        """From now on some keys have these rows only."""
        self.state.delete(keys)
        self.add(rows)

    def of(self, keys: pl.DataFrame) -> pl.DataFrame:
        """The rows of some keys."""
        return self.state.get(keys)

    def take_due(self, now: int) -> pl.DataFrame:
        """Removes the rows that are due at ``now`` or before, and returns them."""
        rows = self.state.get(self._agenda.take(now))
        due = rows.filter(pl.col(DUE) <= now)
        if len(due):
            keys = due.select(self._keys).unique()
            left = rows.filter(pl.col(DUE) > now).join(keys, on=self._keys, how="semi", nulls_equal=True)
            self.state.delete(keys)
            self.state.add(left)  # They are on the agenda already.
        return due
