"""Every algorithm, killed in the middle and restored on 1, 2, 3 or 5 workers: the answer is the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

import limnad
from limnad import graph
from limnad.bsp import Part
from limnad.testing import run
from tests.helpers.random_graphs import EDGES
from tests.helpers.restarting import restarted

SEEDS = 4


def path_and_noise(seed: int) -> pl.DataFrame:
    """A long path, so that there are many supersteps, cycles beside it, and weights that are exact."""
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, 30, (25, 2)).tolist() + [[node, node + 1] for node in range(30, 42)] + [[5, 30], [42, 36]]
    return pl.DataFrame(ends, schema=EDGES, orient="row").with_columns(
        weight=pl.Series(rng.integers(1, 5, len(ends)) / 2)
    )


def roots(flow: limnad.Flow) -> Any:
    return flow.values([[(0,), (30,)], [(3,)]]).to_frames({"node": pl.Int64})


ALGORITHMS: dict[str, Callable[[limnad.Flow, Any], Any]] = {
    "pagerank by vertex": lambda _, edges: graph.pagerank(edges, tolerance=None, max_rounds=12),
    "pagerank by edge": lambda _, edges: graph.pagerank(edges, tolerance=None, max_rounds=8, way=graph.Way.EDGE),
    "pagerank by messages": lambda _, edges: graph.pagerank(edges, max_rounds=4, way=graph.Way.PREGEL),
    "weak": lambda _, edges: graph.connected_components(edges),
    "strong": lambda _, edges: graph.strongly_connected_components(edges, small_edges=-1),
    "breadth first": lambda flow, edges: graph.breadth_first(edges, roots(flow)),
    "shortest paths": lambda flow, edges: graph.shortest_paths(edges, roots(flow)),
    "landmarks": lambda flow, edges: graph.landmark_distances(edges, roots(flow)),
    "cores": lambda _, edges: graph.core_numbers(edges),
    "labels": lambda _, edges: graph.label_propagation(edges, 9),
    "triangles": lambda _, edges: graph.triangles(edges),
}

SAVED = ("pagerank by vertex", "pagerank by edge", "breadth first", "shortest paths", "landmarks", "cores", "labels")
"""Those that go on where they were; the others begin the epoch again."""


@pytest.mark.parametrize("name", ALGORITHMS)
def test_answers_after_kills(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs, went_on = [path_and_noise(1), path_and_noise(2)], []
    go_on = Part.go_on

    def watched(part: Part, number: int, saved: Any) -> None:
        went_on.append(number)
        go_on(part, number, saved)

    monkeypatch.setattr(Part, "go_on", watched)

    def job(flow: limnad.Flow) -> None:
        ALGORITHMS[name](flow, flow.input("edges", EDGES | {"weight": pl.Float64})).output("answer")

    wanted = run(job, {"edges": epochs}, check=False).outputs["answer"]
    generations = 0
    for seed in range(SEEDS):
        released, lived = restarted(job, {"edges": epochs}, seed, kills=3, max_ticks=700)
        generations += lived
        for epoch, frame in wanted.items():
            assert close(released["answer", epoch], frame), f"seed {seed}, epoch {epoch}"
    assert generations > SEEDS
    assert bool(went_on) == (name in SAVED)


def close(found: pl.DataFrame, wanted: pl.DataFrame) -> bool:
    """Equal, floats nearly so: they are summed in another order."""
    found, wanted = (frame.sort(frame.columns[:-1]) for frame in (found, wanted))
    same = found.columns == wanted.columns and found.drop(found.columns[-1]).equals(wanted.drop(wanted.columns[-1]))
    return same and np.allclose(found[found.columns[-1]].to_numpy(), wanted[wanted.columns[-1]].to_numpy(), atol=1e-12)
