"""Some of a frame's rows, by place or by mask.

Polars does that to a whole frame as a query, on a thread of its own: that costs 50 us, and a millisecond or more where
processors are busy, because the caller waits until that thread has got one. A column by itself is done at once, in a
microsecond or two. Only frames so large that it is worth to spread their columns over threads are left to the query.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

__all__ = ["rows_at", "rows_where"]

_SPREAD_VALUES = 1 << 20
"""From so many values on Polars' threads are worth it, if it has more than one: measured with 2 and 5 columns."""


def rows_at(frame: pl.DataFrame, places: npt.NDArray[np.integer]) -> pl.DataFrame:
    """The rows at some places, in their order.

    >>> rows_at(pl.DataFrame({"a": [5, 6, 7]}), np.array([2, 0, 2])).rows()
    [(7,), (5,), (7,)]
    """
    indexes = pl.Series(places.astype(np.uint32, copy=False))
    if _is_spread(frame, len(places)):
        return frame[indexes]
    return pl.DataFrame([column[indexes] for column in frame.get_columns()])


def rows_where(frame: pl.DataFrame, mask: npt.NDArray[np.bool_]) -> pl.DataFrame:
    """The rows for which the mask is true, in their order.

    >>> rows_where(pl.DataFrame({"a": [5, 6, 7]}), np.array([True, False, True])).rows()
    [(5,), (7,)]
    """
    kept = pl.Series(mask)
    if _is_spread(frame, len(frame)):
        return frame.filter(kept)
    return pl.DataFrame([column.filter(kept) for column in frame.get_columns()])


def _is_spread(frame: pl.DataFrame, rows: int) -> bool:
    # A frame without columns has rows all the same, and only the query keeps their number.
    return not frame.width or (frame.width * rows >= _SPREAD_VALUES and pl.thread_pool_size() > 1)
