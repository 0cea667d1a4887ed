"""Totals by key across epochs."""

from collections.abc import Callable, Sequence

import polars as pl

from limnad.stream.operators.per_time import PerTime
from limnad.timely.frame_state import FrameState

Step = Callable[[pl.DataFrame], pl.DataFrame]


class Running(PerTime):
    """Adds each epoch's parts to totals, and sends the totals that have changed.

    Args:
        empty: The columns of a part; totals have the same.
        keys: The columns by which totals are kept.
        merge: Makes one row a key of several.
        finish: Makes what is sent of totals.
    """

    def __init__(self, empty: pl.DataFrame, keys: Sequence[str], merge: Step, finish: Step) -> None:
        super().__init__([empty], self._add, merge)
        self._totals = FrameState("totals", empty.schema, keys)
        self._merge = merge
        self._finish_totals = finish

    def _add(self, parts: pl.DataFrame) -> pl.DataFrame:
        new = self._merge(parts)
        known = self._totals.get(new)
        totals = self._merge(known.clone().extend(new)) if len(known) else new
        self._totals.put(totals)
        return self._finish_totals(totals)
