"""Fits on 1, 2, 3 and 5 workers, and after kills, against scikit-learn on the same rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression

import limnad
from limnad import ml
from limnad.testing import run
from limnad.timely.scheduler import VertexFailure
from tests.helpers.restarting import restarted

FEATURES = ["a", "b", "c"]
SCHEMA = {**dict.fromkeys(FEATURES, pl.Float64), "y": pl.Int64}


def rows(seed: int, count: int) -> pl.DataFrame:
    """Classes that overlap, so that there is a finite optimum without much of a penalty; never only one class."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, len(FEATURES))) * [1, 3, 0.5]
    label = (points @ [1.0, -0.5, 2.0] + rng.logistic(size=count) > 0.3).astype(int)
    label[:2] = 0, 1
    return pl.DataFrame({**{name: points[:, i] for i, name in enumerate(FEATURES)}, "y": label}, schema=SCHEMA)


def reference(frame: pl.DataFrame, regularisation: float) -> list[float]:
    fit = LogisticRegression(C=1 / regularisation, tol=1e-9, max_iter=2000)
    fit.fit(frame.select(FEATURES).to_numpy(), frame["y"].to_numpy())
    return [*fit.coef_[0], fit.intercept_[0]]


def fitting(regularisation: float, method: ml.Method, max_steps: int = 2000) -> Any:
    def job(flow: limnad.Flow) -> None:
        ml.logistic_regression(
            flow.input("rows", SCHEMA),
            FEATURES,
            "y",
            regularisation=regularisation,
            method=method,
            tolerance=1e-5,
            max_steps=max_steps,
        ).output("fit")

    return job


@settings(max_examples=16, deadline=None)
@given(
    st.integers(0, 1 << 20),
    st.integers(4, 40),
    st.sampled_from([1.0, 20.0]),
    st.sampled_from(ml.Method),
    st.sampled_from([1, 2, 3, 5]),
)
def test_logistic_regression_finds_what_scikit_learn_finds(
    seed: int, count: int, regularisation: float, method: ml.Method, workers: int
) -> None:
    frame = rows(seed, count)
    found = run(fitting(regularisation, method), {"rows": [frame]}, workers=workers, seed=seed).outputs["fit"][0]
    assert found.columns == [*FEATURES, "intercept"]
    assert found.row(0) == pytest.approx(reference(frame, regularisation), rel=5e-3, abs=5e-3)


def test_a_fit_that_is_killed_finds_the_same() -> None:
    epochs = [rows(1, 40), rows(2, 25)]
    wanted = [reference(frame, 1.0) for frame in epochs]
    generations = 0
    for seed in range(8):
        released, lived = restarted(fitting(1.0, ml.Method.LBFGS), {"rows": epochs}, seed, max_ticks=600)
        generations += lived
        for epoch, coefficients in enumerate(wanted):
            assert released["fit", epoch].row(0) == pytest.approx(coefficients, rel=5e-3, abs=5e-3)
    assert generations > 12


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 20), st.integers(1, 60), st.integers(1, 5), st.sampled_from([1, 2, 3, 5]))
def test_kmeans_finds_what_scikit_learn_finds_from_the_same_centres(
    seed: int, count: int, clusters: int, workers: int
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 2)) + rng.integers(0, 3, (count, 1)) * 4
    clusters = min(clusters, count)
    first = points[rng.choice(count, clusters, replace=False)]

    def job(flow: limnad.Flow) -> None:
        ml.kmeans(flow.input("rows", {"a": float, "b": float}), ["a", "b"], clusters, first=first).output("centres")

    found = run(job, {"rows": [pl.DataFrame(points, schema=["a", "b"])]}, workers=workers).outputs["centres"][0]
    theirs = KMeans(clusters, init=first, n_init=1, algorithm="lloyd").fit(points)
    assert found.sort("cluster").select("a", "b").to_numpy() == pytest.approx(theirs.cluster_centers_, abs=1e-6)
    assert found["rows"].sum() == count


def test_first_centres_are_the_same_on_any_number_of_workers_and_far_apart() -> None:
    rng = np.random.default_rng(5)
    middles = np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0], [50.0, 50.0]])
    points = middles[rng.integers(0, 4, 400)] + rng.normal(size=(400, 2))

    def job(flow: limnad.Flow) -> None:
        ml.kmeans(flow.input("rows", {"a": float, "b": float}), ["a", "b"], 4, seed=3).output("centres")

    answers = [
        run(job, {"rows": [pl.DataFrame(points, schema=["a", "b"])]}, workers=workers).outputs["centres"][0]
        for workers in (1, 3)
    ]
    assert answers[0].select("a", "b").to_numpy() == pytest.approx(answers[1].select("a", "b").to_numpy())
    assert sorted(map(tuple, answers[0].select("a", "b").to_numpy().round(-1).tolist())) == sorted(
        map(tuple, middles.tolist())
    )


@pytest.mark.parametrize("how", ml.Reduction)
@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_all_reduce_of_a_stream_adds_all_vectors_of_each_epoch(how: ml.Reduction, workers: int) -> None:
    epochs = [[[1, 2], [3, 4], [5, 6]], [], [[]], [[7]]]

    def job(flow: limnad.Flow) -> None:
        vectors = flow.input("vectors").map(lambda values: np.array(values, dtype=np.int64))
        ml.all_reduce(vectors, how).map(lambda total: total.tolist()).output("totals")

    found = run(job, {"vectors": epochs}, workers=workers).outputs["totals"]
    assert found == {0: [[9, 12]] * workers, 1: [], 2: [[]] * workers, 3: [[7]] * workers}


def test_all_reduce_works_inside_a_loop() -> None:
    """Doubles by adding what two workers have, until it is large: as an optimiser written with operators would."""

    def body(vectors: Any) -> Any:
        totals = ml.all_reduce(vectors)
        return totals.filter(lambda total: total[0] < 100), totals.filter(lambda total: total[0] >= 100)

    def job(flow: limnad.Flow) -> None:
        once = flow.values([[np.array([1.0])]]).iterate(body)
        once.map(lambda total: float(total[0])).output("total")

    assert run(job, workers=2).outputs["total"][0] == [128.0, 128.0]


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        ({"a": [1.0], "b": [1.0], "c": [None], "y": [1]}, "'c' has nulls"),
        ({"a": [1.0], "b": [1.0], "c": [1.0], "y": [2]}, "0 or 1, but a row has 2.0"),
    ],
)
def test_rows_that_cannot_be_learned_from_are_told(frame: dict[str, Any], complaint: str) -> None:
    with pytest.raises(VertexFailure) as caught:
        run(fitting(1.0, ml.Method.LBFGS), {"rows": [pl.DataFrame(frame, schema=SCHEMA)]})
    assert complaint in str(caught.value.__cause__)


def test_wrong_arguments_are_told_where_they_are_written() -> None:
    table = limnad.Flow().input("rows", {"a": pl.Float64, "word": pl.String})
    with pytest.raises(limnad.GraphError, match="'word' is String"):
        ml.kmeans(table, ["word"], 2)
    with pytest.raises(limnad.GraphError, match="no column 'z'"):
        ml.logistic_regression(table, ["z"], "a")
    with pytest.raises(limnad.JobError, match="first centres"):
        ml.kmeans(table, ["a"], 2, first=[[1.0]])
    with pytest.raises(limnad.JobError, match="at least one cluster"):
        ml.kmeans(table, ["a"], 0)
