"""A few rows are looked through by Python, many by NumPy: both find the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from limnad.incremental import columns, reduce, times

pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)), max_size=10)


def by_both(find: Callable[[], Any]) -> tuple[Any, Any]:
    found = []
    for few in (columns.FEW, 0):
        with (
            mock.patch.object(columns, "FEW", few),
            mock.patch.object(reduce, "FEW", few),
            mock.patch.object(times, "FEW", few),
        ):
            found.append(find())
    return found[0], found[1]


def arrays(rows: list[tuple[int, ...]]) -> tuple[Any, Any]:
    whole = np.array(rows, np.int64).reshape(len(rows), 3)
    return whole[:, 0], np.ascontiguousarray(whole[:, 1:].T)


def listed(found: tuple[Any, Any]) -> Any:
    return found[0].tolist(), found[1].tolist()


@given(pairs)
def test_pairs_in_order(rows: list[tuple[int, ...]]) -> None:
    few, many = by_both(lambda: listed(reduce._ordered(*arrays(rows))))
    assert few == many


@given(pairs, pairs)
def test_missing_pairs(rows: list[tuple[int, ...]], known: list[tuple[int, ...]]) -> None:
    there = reduce._ordered(*arrays(known))
    few, many = by_both(lambda: listed(reduce._missing(*arrays(rows), *there)))
    assert few == many


@given(pairs)
def test_different_times(rows: list[tuple[int, ...]]) -> None:
    def find() -> Any:
        found, which = times.distinct(arrays(rows)[1])
        return found, which.tolist()

    few, many = by_both(find)
    assert few == many


names = st.lists(st.one_of(st.none(), st.sampled_from(["", "a", "b", "a" * 40, "\0"])), min_size=10, max_size=10)


@given(pairs, names, st.integers(0, 10))
def test_same_rows(rows: list[tuple[int, ...]], texts: list[str | None], cut: int) -> None:
    key, coordinates = arrays(rows)
    name = pl.Series(texts[:cut], dtype=pl.String).append(pl.Series(texts[cut:], dtype=pl.String))[: len(rows)]

    def find() -> Any:
        order, starts = columns.same_rows((key, name, *coordinates), len(rows))
        ends = [*starts[1:], len(order)][: len(starts)]
        return sorted(sorted(order[start:end].tolist()) for start, end in zip(starts, ends, strict=True))

    few, many = by_both(find)
    assert few == many


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), max_size=6))
def test_ranges(spans: list[tuple[int, int]]) -> None:
    starts, counts = np.array(spans, np.int64).reshape(len(spans), 2).T
    few, many = by_both(lambda: columns.ranges(starts, counts).tolist())
    assert few == many
