"""Running totals: each epoch's answer is what Polars gives for all rows so far, for the groups of the epoch."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from limnad import Flow, GraphError
from limnad.testing import build, run
from tests.unit.stream.test_frames import EPOCHS, SCHEMA, rows

AGAIN = [*EPOCHS, EPOCHS[0], EPOCHS[2], EPOCHS[0]]
"""Epochs in which the groups come again."""

AGGREGATIONS: dict[str, list[pl.Expr]] = {
    "len": [pl.len()],
    "sums": [pl.col("n").sum(), pl.col("x").sum().alias("total")],
    "count min max": [pl.col("n").count().alias("c"), pl.col("n").min().alias("least"), pl.col("x").max()],
    "mean": [pl.col("x").mean().alias("mean")],
    "any all": [(pl.col("n") > 2).any().alias("any"), (pl.col("n") > 0).all().alias("all")],
}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", AGGREGATIONS)
def test_totals_are_those_of_all_rows_so_far(name: str, workers: int) -> None:
    exprs = AGGREGATIONS[name]

    def job(flow: Flow) -> None:
        flow.input("rows", SCHEMA).group_by("k", (pl.col("n") > 5).alias("large")).running(*exprs).output("out")

    found = run(job, {"rows": AGAIN}, workers=workers, seed=3).outputs["out"]
    keys = ["k", "large"]
    for epoch, frame in enumerate(AGAIN):
        so_far = pl.concat(AGAIN[: epoch + 1]).with_columns(large=pl.col("n") > 5)
        groups = frame.with_columns(large=pl.col("n") > 5).select(keys)
        totals = so_far.group_by(keys).agg(*exprs).join(groups, on=keys, how="semi", nulls_equal=True)
        assert rows(found[epoch]) == rows(totals)


def test_counts_are_wide() -> None:
    def job(flow: Flow) -> None:
        flow.input("rows", SCHEMA).group_by("k").running(
            pl.len(), pl.col("n").max(), on=(pl.col("n") > 1).sum()
        ).output("o")

    found = run(job, {"rows": EPOCHS}).outputs["o"]
    assert found[0].schema == {"k": pl.String, "len": pl.Int64, "n": pl.Int64, "on": pl.Int64}


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64, pl.Float32, pl.Boolean])
def test_totals_keep_their_type_from_epoch_to_epoch(dtype: Any) -> None:
    epochs = [pl.DataFrame({"k": ["a"], "n": [1]}).cast({"n": dtype})] * 3

    def job(flow: Flow) -> None:
        column = pl.col("n")
        totals = flow.input("rows", epochs[0].schema).group_by("k").running(column.sum(), column.max().alias("most"))
        totals.output("out")

    found = run(job, {"rows": epochs}).outputs["out"]
    assert [found[epoch]["n"].item() for epoch in range(3)] == [1, 2, 3]
    assert found[0].schema == found[2].schema


def test_what_cannot_be_merged_is_refused() -> None:
    def job(flow: Flow) -> None:
        flow.input("rows", SCHEMA).group_by("k").running(pl.col("n").median()).output("out")

    with pytest.raises(GraphError, match="running\\(\\) keeps totals that grow"):
        build(job)


def test_a_loop_has_no_order_of_epochs() -> None:
    def job(flow: Flow) -> None:
        def body(stream: Any) -> Any:
            return stream, stream.group_by("k").running(pl.len())

        flow.input("rows", SCHEMA).iterate(body)

    with pytest.raises(GraphError, match="inside the loop"):
        build(job)
