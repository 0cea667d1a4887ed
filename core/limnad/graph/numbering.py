"""From identifiers of nodes to positions in arrays.

Integers that lie close together, as most identifiers do, are looked up in a table; all others by binary search.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

Positions = npt.NDArray[np.int32]

SPREAD = 8
"""A table is worth it up to so many times as many places as there are identifiers."""

SMALL = 1 << 16
"""A table of this size is always worth it."""


def distinct(*series: pl.Series) -> pl.Series:
    """All different values, ascending.

    >>> distinct(pl.Series([3, 1, 3]), pl.Series([2])).to_list()
    [1, 2, 3]
    """
    whole = [one for one in series if len(one)]
    if not whole:
        return series[0].clear()
    span = _span(whole)
    if span is None:
        return pl.concat(whole).unique().sort()
    least, places = span
    there = _there([_offsets(one, least) for one in whole], places)
    return pl.Series(np.flatnonzero(there) + least).cast(whole[0].dtype)


@dataclass(frozen=True, slots=True)
class Places:
    """Where values stand in an array that may have holes.

    Attributes:
        named: All different values, ascending.
        at: The place of each of them, ascending.
        size: How many places there are.
        of: For each series that was placed, the places of its values.
    """

    named: pl.Series
    at: npt.NDArray[Any]
    size: int
    of: list[npt.NDArray[Any]]


def placed(*series: pl.Series) -> Places:
    """Places for all values: integers that lie close together stand where they are, and cost nothing.

    >>> placed(pl.Series([7, 9]), pl.Series([9, 6])).of[0].tolist()
    [1, 3]
    """
    whole = [one for one in series if len(one)]
    span = _span(whole) if whole else None
    if span is None:
        named = distinct(*series)
        return Places(named, np.arange(len(named)), len(named), [positions(named, one) for one in series])
    least, size = span
    offsets = [_offsets(one, least) for one in series]
    at = np.flatnonzero(_there(offsets, size))
    return Places(pl.Series(at + least).cast(series[0].dtype), at, size, offsets)


def positions(among: pl.Series, values: pl.Series) -> Positions:
    """Where each value is in a series of different values, ascending. All are there.

    >>> positions(pl.Series(["a", "c"]), pl.Series(["c", "c", "a"])).tolist()
    [1, 1, 0]
    """
    span = _span([among]) if len(values) and len(among) else None
    if span is None:
        return among.search_sorted(values).to_numpy().astype(np.int32)
    least, places = span
    table = np.empty(places, dtype=np.int32)
    table[_offsets(among, least)] = np.arange(len(among), dtype=np.int32)
    found: Positions = table[_offsets(values, least)]
    return found


def _there(offsets: list[npt.NDArray[Any]], places: int) -> npt.NDArray[np.bool_]:
    there = np.zeros(places, dtype=bool)
    for some in offsets:
        there[some] = True
    return there


def _span(series: list[pl.Series]) -> tuple[int, int] | None:
    """The least value and how many places a table has from there; None where there should be none."""
    if not series[0].dtype.is_integer():
        return None
    bounds: list[Any] = [bound for one in series for bound in (one.min(), one.max())]
    places = max(bounds) - min(bounds) + 1
    return (min(bounds), places) if places <= max(SMALL, SPREAD * sum(map(len, series))) else None


def _offsets(series: pl.Series, least: int) -> npt.NDArray[Any]:
    values = series.to_numpy()
    return values if least == 0 else values - values.dtype.type(least)
