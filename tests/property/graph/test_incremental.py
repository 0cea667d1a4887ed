"""Each algorithm on random histories of edges: each epoch's differences are those of networkx on all edges anew."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given

import limnad
from limnad.graph import incremental as graph
from limnad.incremental import from_stream
from limnad.testing import run
from limnad.timely.graph import GraphError
from limnad.timely.scheduler import VertexFailure
from tests.helpers.changing_graphs import GRAPHS
from tests.helpers.collections import History, check, frames, job
from tests.helpers.histories import SEEDS, WORKERS, examples, graphs, patient


def check_histories(name: str, left: History, right: History, workers: int, seed: int = 0) -> None:
    inputs = {"left": frames(left), "right": frames(right)}
    done = run(job, inputs, workers=workers, seed=seed, check=False, names=[name], cases=GRAPHS)
    check(done.outputs, [name], left, right, GRAPHS)


@patient
@pytest.mark.parametrize("name", GRAPHS)
@examples(in_ci=6)
@given(sides=graphs(), workers=WORKERS, seed=SEEDS)
def test_random_histories(name: str, sides: tuple[History, History], workers: int, seed: int) -> None:
    check_histories(name, *sides, workers, seed)


RING = [(1, 2, 1), (2, 3, 1), (3, 1, 1)]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", GRAPHS)
def test_the_only_edge_into_a_cycle_goes_and_returns(name: str, workers: int) -> None:
    """What goes round in the cycle came in from 0: nothing may keep it there when its source has gone."""
    left: History = [[*RING, (0, 1, 1)], [(0, 1, -1)], [], [(0, 1, 2)], [(0, 1, -1)], [(0, 1, -1), (2, 3, -1)]]
    right: History = [[(0, 0, 1)], [], [], [], [], []]
    check_histories(name, left, right, workers)


@pytest.mark.parametrize("name", ["connected components", "breadth first", "strongly connected components"])
def test_labels_rise_along_a_whole_path(name: str) -> None:
    there = [(node, node + 1, 1) for node in range(1, 30)]
    back = [(30, 1, 1)]
    left: History = [[(0, 1, 1), *there, *back], [(0, 1, -1)], [(30, 1, -1)], [(0, 30, 1), (30, 1, 1)]]
    check_histories(name, left, [[(0, 0, 1)], [], [], []], workers=2)


def test_a_negative_weight_is_refused() -> None:
    def paths(flow: limnad.Flow) -> None:
        edges = from_stream(flow.input("edges", {"src": int, "dst": int, "metres": float}))
        roots = from_stream(flow.input("roots", {"node": int}))
        graph.shortest_paths(edges, roots, "metres").output("paths")

    for wrong in (-1.0, float("nan"), None):
        edges = pl.DataFrame([(1, 2, wrong)], {"src": pl.Int64, "dst": pl.Int64, "metres": pl.Float64}, orient="row")
        with pytest.raises(VertexFailure) as failure:
            run(paths, {"edges": [edges], "roots": [pl.DataFrame({"node": [1]})]})
        assert str(failure.value.__cause__).startswith("shortest paths need weights of at least 0, but column 'metres'")


def test_what_is_no_graph_is_refused() -> None:
    def components(flow: limnad.Flow) -> None:
        graph.connected_components(from_stream(flow.input("links", {"a": int, "b": int})))

    def core(flow: limnad.Flow) -> None:
        graph.k_core(from_stream(flow.input("links", {"src": int, "dst": int})), 0)

    with pytest.raises(GraphError, match="takes edges with the columns 'src' and 'dst'"):
        run(components, {"links": []})
    with pytest.raises(GraphError, match="needs k of at least 1, not 0"):
        run(core, {"links": []})
