"""Columns, whatever they hold; and rows that are told apart although their hashes are not."""

from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from limnad.batch import hash_frame
from limnad.incremental import columns, quick
from limnad.incremental.deltas import Layout, concat_deltas

VALUES: dict[str, tuple[Any, list[Any]]] = {
    "integers": (pl.Int32, [1, 2, 1, -7]),
    "nulls": (pl.Int64, [1, None, 1, None]),
    "floats": (pl.Float64, [0.0, float("nan"), -0.0, float("nan")]),
    "strings": (pl.String, ["a", None, "a", ""]),
    "dates": (pl.Date, [date(2020, 1, 1), None, date(2020, 1, 1), date(2021, 1, 1)]),
    "lists": (pl.List(pl.Int64), [[1], None, [1], []]),
    "booleans": (pl.Boolean, [True, False, True, None]),
    "bytes": (pl.Binary, [b"a", None, b"a", b""]),
    "categories": (pl.Categorical, ["a", None, "a", "b"]),
}


def layout(dtype: Any) -> Layout:
    return Layout({"x": pl.Series(dtype=dtype).dtype}, 1)


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("how", ["few", "many", "many that collide"])
def test_equal_rows_are_consolidated(name: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if how != "few":
        monkeypatch.setattr(columns, "FEW", 0)
    if how == "many that collide":
        monkeypatch.setattr(columns, "_words", lambda column: np.zeros(len(column), np.uint64))
    dtype, values = VALUES[name]
    of = layout(dtype)
    frame = pl.DataFrame({"x": values, "__epoch": [0] * 4, "__diff": [1, 1, 1, 1]}, schema=of.frame_schema)
    whole = of.write(of.read(frame).consolidated())
    wanted = frame.group_by("x", "__epoch").agg(pl.col("__diff").sum())
    assert sorted(map(str, whole.rows())) == sorted(map(str, wanted.rows()))


def test_columns_with_and_without_nulls_are_joined() -> None:
    of = layout(pl.Int64)
    full, holes = ([1, 2], [None, 2])
    parts = [of.read(pl.DataFrame({"x": x, "__epoch": 0, "__diff": 1}, schema=of.frame_schema)) for x in (full, holes)]
    whole = of.write(concat_deltas(parts).consolidated())
    assert sorted(map(str, whole.rows())) == ["(1, 0, 1)", "(2, 0, 2)", "(None, 0, 1)"]


def test_hashes_are_those_by_which_rows_are_spread() -> None:
    frame = pl.DataFrame({"a": [1, 2, -3], "b": [0.5, -0.0, 2.0], "c": ["x", None, "y"]})
    of = Layout(dict(frame.schema), 1)
    deltas = of.read(frame.with_columns(pl.lit(0, pl.Int64).alias("__epoch"), pl.lit(1, pl.Int64).alias("__diff")))
    for key in (["a"], ["b"], ["c"], ["a", "b", "c"]):
        mine = columns.hash_columns(deltas.pick(of.places(key)), 3)
        assert mine.tolist() == hash_frame(frame, key).tolist()


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize("dtype", ["int8", "int64", "uint16", "uint64", "float32", "float64"])
def test_quick_series_are_like_others(dtype: str, public: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if public:
        monkeypatch.setattr(quick, "_MAKERS", {})
        monkeypatch.setattr(quick, "_FRAME", None)
    values = np.arange(10).astype(dtype)[::2]
    made = quick.frame([quick.series("x", values)])
    values[:] = 0
    assert made.equals(pl.DataFrame({"x": np.arange(10).astype(dtype)[::2]}))


def test_quick_series_are_quick_with_this_polars() -> None:
    assert quick._FRAME is not None
