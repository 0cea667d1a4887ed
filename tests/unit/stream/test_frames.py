"""Frame operators: each epoch's answer is what Polars gives for that epoch's rows alone, on any number of workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from limnad import Flow, FrameStream, GraphError
from limnad.stream.aggregates import needs_order
from limnad.testing import build, run

SCHEMA: dict[str, Any] = {"k": pl.String, "n": pl.Int64, "x": pl.Float64, "l": pl.List(pl.Int64)}
EPOCHS = [
    pl.DataFrame(
        {
            "k": ["a", "b", "a", None, "c", "b", "a"],
            "n": [1, 2, 3, 4, None, 6, 1],
            "x": [0.5, 1.5, -1.0, 0.0, 2.0, None, 0.25],
            "l": [[1], [2, 3], [], None, [4], [5], [1]],
        },
        schema=SCHEMA,
    ),
    pl.DataFrame(schema=SCHEMA),
    pl.DataFrame({"k": ["z", "a"], "n": [9, 9], "x": [1.0, 1.0], "l": [[], [7]]}, schema=SCHEMA),
]
OTHER = pl.DataFrame({"k": ["a", "b", "q"], "m": [10, 20, 30]})

Operator = Callable[[Any], Any]
ROW_BY_ROW: dict[str, Operator] = {
    "select": lambda s: s.select("k", (pl.col("n") * 2).alias("twice")),
    "with_columns": lambda s: s.with_columns(y=pl.col("x") + pl.col("n")),
    "filter": lambda s: s.filter(pl.col("n") > 2),
    "explode": lambda s: s.explode("l"),
    "drop": lambda s: s.drop("l", "x"),
    "rename": lambda s: s.rename({"k": "key"}),
    "a chain": lambda s: s.filter(pl.col("n") > 1).with_columns(n=pl.col("n") + 1).select("k", "n"),
}
AGGREGATIONS: dict[str, list[pl.Expr]] = {
    "len": [pl.len()],
    "sum": [pl.col("n").sum(), pl.col("x").sum().alias("total")],
    "count min max": [
        pl.col("n").count().alias("c"),
        pl.col("n").min().alias("least"),
        pl.col("n").max().alias("most"),
    ],
    "mean": [pl.col("n").mean().alias("n_mean"), pl.col("x").mean().alias("x_mean")],
    "of an expression": [(pl.col("n") * pl.col("x")).sum().alias("dot"), (pl.col("n") > 2).any().alias("any")],
    "not to be split": [pl.col("n").median(), pl.col("x").n_unique().alias("different")],
    "split and not": [pl.len(), pl.col("n").sort().first().alias("first")],
    "of rows that are left": [pl.col("n").filter(pl.col("x") > 0).sum(), pl.col("x").is_null().sum().alias("nulls")],
    "of a constant": [pl.lit(3).sum().alias("sum"), pl.lit(3).count().alias("count"), pl.lit(3).max().alias("max")],
    "several columns": [pl.col("n", "x").max()],
}


def rows(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    rounded = [tuple(round(v, 9) if isinstance(v, float) else v for v in row) for row in frame.rows()]
    return sorted(rounded, key=repr)


def outputs(operator: Operator, workers: int, seed: int = 0) -> dict[int, Any]:
    def job(flow: Flow) -> None:
        operator(flow.input("rows", SCHEMA)).output("out")

    return run(job, {"rows": EPOCHS}, workers=workers, seed=seed).outputs["out"]


def check(operator: Operator, expected: Operator, workers: int) -> None:
    found = outputs(operator, workers)
    assert list(found) == [0, 1, 2]
    for epoch, frame in enumerate(EPOCHS):
        wanted = expected(frame)
        assert found[epoch].schema == wanted.schema
        assert rows(found[epoch]) == rows(wanted)


workers_ = pytest.mark.parametrize("workers", [1, 2, 3])


@workers_
@pytest.mark.parametrize("name", ROW_BY_ROW)
def test_row_by_row(name: str, workers: int) -> None:
    check(ROW_BY_ROW[name], ROW_BY_ROW[name], workers)


@workers_
@pytest.mark.parametrize("name", AGGREGATIONS)
@pytest.mark.parametrize(
    "by", [("k",), (pl.col("k").str.to_uppercase().alias("K"), pl.col("n").is_null().alias("none"))]
)
def test_group_by(name: str, by: tuple[Any, ...], workers: int) -> None:
    def operator(stream: Any) -> Any:
        return stream.group_by(*by).agg(*AGGREGATIONS[name])

    check(operator, operator, workers)


IN_ORDER = {
    "first and last": [pl.col("n").first(), pl.col("x").last()],
    "of the first": [pl.col("n").head(1).sum(), pl.len()],
    "lists": [pl.col("n"), pl.col("x").implode().alias("xs")],
    "several columns": [pl.col("n", "x").first()],
    "combined": [pl.col("n").first() + pl.len()],
}


@workers_
@pytest.mark.parametrize("name", IN_ORDER)
def test_aggregations_that_depend_on_order_have_that_of_the_whole_row(name: str, workers: int) -> None:
    def operator(rows: Any) -> Any:
        return rows.group_by("k").agg(*IN_ORDER[name])

    check(operator, lambda frame: operator(frame.sort(frame.columns)), workers)


def test_an_aggregation_that_is_not_row_by_row_inside_is_not_split() -> None:
    def job(flow: Flow) -> None:
        flow.input("rows", SCHEMA).group_by("k").agg(*IN_ORDER["of the first"]).output("out")

    assert "group_by locally" not in [stage.name for stage in build(job).graph.stages]


ORDER_FREE = [pl.col("n").n_unique(), pl.col("n").median() + pl.len(), pl.col("x").is_null().sum(), pl.lit(1)]
ORDERED = [pl.col("n"), pl.col("n").first() + 1, pl.col("n").filter(pl.col("x").first() > 0).sum(), pl.col("n").head(1)]


def test_what_may_depend_on_order_is_seen() -> None:
    assert not any(map(needs_order, ORDER_FREE))
    assert all(map(needs_order, ORDERED))


@workers_
@pytest.mark.parametrize(("how", "expected"), [("inner", 4), ("left", 6), ("semi", 2), ("anti", 2)])
def test_nan_joins_nan(how: Any, expected: int, workers: int) -> None:
    """Polars takes a key of one row for sorted, and there NaN met none."""
    nan = float("nan")
    left = pl.DataFrame({"x": [nan, 1.0, nan, None], "l": [0, 1, 2, 3]})
    right = pl.DataFrame({"x": [nan, nan, 2.0, None], "r": [0, 1, 2, 3]})

    def job(flow: Flow) -> None:
        flow.input("left", left.schema).join(flow.input("right", right.schema), on="x", how=how).output("out")

    fed = {"left": [left, left[:1]], "right": [right, right[:1]]}
    found = run(job, fed, workers=workers, seed=workers).outputs["out"]
    assert (len(found[0]), len(found[1])) == (expected, how != "anti")


OF_A_BATCH: dict[str, Operator] = {
    "a sum": lambda s: s.with_columns(s=pl.col("n") - pl.col("n").sum()),
    "a share": lambda s: s.select("k", share=pl.col("n") / pl.col("n").max()),
    "a running sum": lambda s: s.with_columns(pl.col("n").cum_sum()),
    "over": lambda s: s.with_columns(pl.col("n").sum().over("k")),
    "the number of rows": lambda s: s.with_columns(rows=pl.len()),
    "the greatest": lambda s: s.filter(pl.col("n") == pl.col("n").max()),
    "the first": lambda s: s.filter(pl.col("k").is_first_distinct()),
    "a group by rank": lambda s: s.group_by(pl.col("n").rank()),
    "of text": lambda s: s.with_columns(pl.col("k").str.to_uppercase().shift()),
}


@pytest.mark.skipif(not hasattr(pl.col("n").meta, "is_row_separable"), reason="this Polars does not tell")
@pytest.mark.parametrize("name", OF_A_BATCH)
def test_what_is_not_row_by_row_is_refused(name: str) -> None:
    with pytest.raises(GraphError, match=r"takes expressions row by row, and .* makes something of all rows"):
        build(lambda flow: OF_A_BATCH[name](flow.input("rows", SCHEMA)))


def test_what_is_row_by_row_or_may_be_is_taken() -> None:
    taken = [
        pl.col("k").str.to_date(strict=False).alias("guessed"),
        pl.col("l").list.eval(pl.element().sum()).alias("in a list"),
        pl.col("n").map_elements(lambda n: n, return_dtype=pl.Int64).alias("a function"),
        pl.col("n").is_in([1, 2]).alias("among"),
        pl.when(pl.col("n") > 1).then(pl.col("x")).otherwise(pl.lit(0)).alias("if"),
    ]
    build(lambda flow: flow.input("rows", SCHEMA).with_columns(taken).output("out"))


@workers_
def test_unique(workers: int) -> None:
    check(lambda s: s.drop("l").unique(), lambda f: f.drop("l").unique(), workers)
    check(
        lambda s: s.select("k", "n").unique("k"),
        lambda f: f.select("k", "n").sort("k", "n").unique("k", keep="first"),
        workers,
    )


@workers_
def test_top_k_and_sort_are_in_order(workers: int) -> None:
    top = outputs(lambda s: s.select("k", "n").top_k(3, "n"), workers)
    assert [frame.rows() for frame in top.values()] == [[("b", 6), (None, 4), ("a", 3)], [], [("a", 9), ("z", 9)]]
    ordered = outputs(lambda s: s.select("n").sort("n", descending=True), workers)
    assert ordered[0]["n"].to_list() == [6, 4, 3, 2, 1, 1, None]


@workers_
def test_count_and_concat(workers: int) -> None:
    found = outputs(lambda s: s.concat(s.filter(pl.col("n") > 2)).count("rows"), workers)
    assert [frame.rows() for frame in found.values()] == [[(10,)], [], [(4,)]]


@workers_
@pytest.mark.parametrize("how", ["inner", "left", "semi", "anti"])
def test_join(how: Any, workers: int) -> None:
    def job(flow: Flow) -> None:
        left = flow.input("left", SCHEMA)
        left.join(flow.input("right", dict(OTHER.schema)), on="k", how=how).output("out")

    found = run(job, {"left": EPOCHS, "right": [OTHER, OTHER, OTHER.head(0)]}, workers=workers, seed=2).outputs["out"]
    for epoch, right in enumerate([OTHER, OTHER, OTHER.head(0)]):
        assert rows(found[epoch]) == rows(EPOCHS[epoch].join(right, on="k", how=how))


def test_conversions_both_ways() -> None:
    def there_and_back(stream: FrameStream) -> FrameStream:
        return stream.to_records().map(lambda row: row).to_frames(SCHEMA)

    check(there_and_back, lambda frame: frame, 2)
    named = outputs(lambda s: s.select("k", "n").to_records(named=True), 1)
    assert sorted(named[2], key=lambda row: row["k"]) == [{"k": "a", "n": 9}, {"k": "z", "n": 9}]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (lambda s: s.partition_by("nope"), "cannot partition by"),
        (lambda s: s.group_by(), "at least one column"),
        (lambda s: s.top_k(0, "n"), "k of at least 1"),
        (lambda s: s.join(s, on="k", how="outer"), "knows how="),
        (lambda s: s.join(s.rename({"k": "n", "n": "k"}), on="k"), "cannot join on 'k'"),
        (lambda s: s.concat(s.drop("x")), "cannot concat"),
        (lambda s: s.concat(s.to_records()), "to_frames"),
    ],
)
def test_mistakes_are_found_when_the_flow_is_described(wrong: Operator, complaint: str) -> None:
    with pytest.raises(GraphError, match=complaint):
        build(lambda flow: wrong(flow.input("rows", SCHEMA)))


def test_batches_of_two_schemas_are_refused() -> None:
    def job(flow: Flow) -> None:
        flow.input("rows", {"n": pl.Int64}).map_batches(
            lambda frame: frame.cast(pl.Int32) if frame["n"][0] == 1 else frame, schema={"n": pl.Int64}
        ).sort("n").output("out")

    with pytest.raises(Exception, match="sort") as failure:
        run(job, {"rows": [pl.DataFrame({"n": [1, 2, 3, 4]})]}, workers=2)
    assert "'n'" in str(failure.value.__cause__)


@pytest.mark.parametrize("expression", [pl.len(), pl.col("n").sum(), pl.lit(1), pl.col("x").mean() + 1])
def test_what_would_answer_for_each_batch_is_refused(expression: pl.Expr) -> None:
    with pytest.raises(GraphError, match="make one row of a whole batch"):
        build(lambda flow: flow.input("rows", SCHEMA).select(expression).output("x"))
    build(lambda flow: flow.input("rows", SCHEMA).select("k", pl.lit(1).alias("one")).output("x"))
