"""Rows that are taken column by column are those that Polars takes of the whole frame."""

import numpy as np
import polars as pl
import pytest

from limnad.batch import taking

FRAMES = [
    pl.DataFrame({"a": [1, None, 3], "b": ["x", None, "z"], "c": [[1], [], None]}),
    pl.DataFrame({"a": ["x", "y", "x"], "b": [{"p": 1}, {"p": 2}, None]}).cast({"a": pl.Categorical}),
    pl.concat([pl.DataFrame({"a": [1.5]}), pl.DataFrame({"a": [2.5, float("nan")]})], rechunk=False),
    pl.DataFrame(height=3),
]


@pytest.fixture(params=[1, 1 << 20], ids=["spread", "by column"])
def spread_values(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "_SPREAD_VALUES", request.param)


@pytest.mark.usefixtures("spread_values")
@pytest.mark.parametrize("frame", FRAMES, ids=str)
@pytest.mark.parametrize("places", [[], [2], [2, 0, 2, 1]])
def test_rows_at_places(frame: pl.DataFrame, places: list[int]) -> None:
    taken = taking.rows_at(frame, np.array(places, np.int64))
    assert taken.equals(frame[pl.Series(places, dtype=pl.UInt32)])
    assert taken.schema == frame.schema


@pytest.mark.usefixtures("spread_values")
@pytest.mark.parametrize("frame", FRAMES, ids=str)
@pytest.mark.parametrize("mask", [[False] * 3, [True, False, True], [True] * 3])
def test_rows_where_a_mask_is_true(frame: pl.DataFrame, mask: list[bool]) -> None:
    taken = taking.rows_where(frame, np.array(mask))
    assert taken.equals(frame.filter(pl.Series(mask)))
    assert taken.schema == frame.schema
