"""Pregel and gather-apply-scatter: algorithms of a user's own, against plain references."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import limnad
from limnad import graph
from limnad.graph import Gas, Pregel, Step
from limnad.testing import run
from limnad.timely.scheduler import VertexFailure
from tests.helpers.random_graphs import EDGES, NODES, WORKERS, Graph, graphs


class Spread(Pregel):
    """The least node that reaches each node: vertices halt, and wake when a smaller one comes."""

    state = {"least": pl.Int64}
    message = {"least_there": pl.Int64}
    combine = [pl.col("least_there").min()]

    def compute(self, step: Step) -> None:
        known = pl.col("node") if step.superstep == 0 else pl.col("least")
        told = step.vertices.with_columns(now=pl.min_horizontal(known, "least_there"))
        news = told.filter((pl.col("now") < known) | pl.lit(step.superstep == 0)).select("node", least="now")
        step.set(news)
        step.aggregate("news", len(news))
        step.aggregate("most", len(news), "max")
        assert step.superstep == 0 or step.total("most") <= step.total("news")
        along = step.edges.join(news.rename({"node": "src"}), on="src")
        step.send(along.select(pl.col("dst").alias("node"), pl.col("least").alias("least_there")))
        step.halt()


def pregel_answer(algorithm: Pregel, found: Graph, workers: int) -> list[tuple[Any, ...]]:
    def job(flow: limnad.Flow) -> None:
        graph.pregel(algorithm, flow.input("edges", EDGES), flow.input("nodes", NODES)).output("answer")

    return sorted(run(job, found.frames(), workers=workers, check=False).outputs["answer"][0].rows())


@settings(max_examples=40, deadline=None)
@given(graphs(), WORKERS)
def test_pregel_halts_when_no_message_is_on_its_way(found: Graph, workers: int) -> None:
    network = found.directed()
    wanted = {node: min({node} | nx.ancestors(network, node)) for node in network}
    assert pregel_answer(Spread(), found, workers) == sorted(wanted.items())


class Peel(Pregel):
    """Takes away all sinks, superstep after superstep, and tells who points to it; what stays leads to a cycle.

    A node that goes leaves a note: a node ``-1 - node``, whose state is when.
    """

    state = {"gone_at": pl.Int64}
    message = {"_": pl.Int64}

    def compute(self, step: Step) -> None:
        real = step.vertices.filter(pl.col("node") >= 0)
        sinks = real.join(step.edges, left_on="node", right_on="src", how="anti")["node"]
        step.remove_nodes(sinks)
        step.add_nodes(pl.DataFrame({"node": -1 - sinks, "gone_at": [step.superstep] * len(sinks)}))
        step.aggregate("gone", len(sinks))
        # Everybody is told who goes: edges to it are its sources' to remove.
        step.remove_edges(step.edges.join(step.messages.select(dst="_"), on="dst", how="semi"))
        told = step.vertices["node"].clear() if not len(sinks) else sinks
        everybody = pl.DataFrame({"node": range(16)}).join(told.alias("_").to_frame(), how="cross")
        step.send(everybody)
        step.halt(step.vertices.filter(pl.col("node") < 0)["node"])
        if step.superstep > 8:
            step.halt()


@settings(max_examples=15, deadline=None)
@given(
    graphs(largest=6, most=10).filter(lambda found: all(0 <= end < 16 for edge in found.edges for end in edge)), WORKERS
)
def test_pregel_changes_the_graph(found: Graph, workers: int) -> None:
    rows = pregel_answer(Peel(), Graph(found.edges, []), workers)
    network = found.directed()
    network.remove_nodes_from([node for node in found.alone if not network.degree(node)])
    cyclic = {node for part in nx.strongly_connected_components(network) for node in part if len(part) > 1}
    cyclic |= {a for a, b in found.edges if a == b}
    stays = {node for node in network if cyclic & ({node} | nx.descendants(network, node))}
    assert {node for node, _ in rows if node >= 0} == stays
    assert {-1 - node for node, _ in rows if node < 0} == set(network) - stays


class Grow(Pregel):
    """Adds a node and an edge to it in each of three supersteps."""

    state = {"born": pl.Int64}
    message = {"hello": pl.Int64}

    def compute(self, step: Step) -> None:
        newest = step.vertices.filter(pl.col("node") == 100 * step.superstep)
        if step.superstep < 3:
            born = newest.select(pl.col("node") + 100, born=pl.lit(step.superstep, dtype=pl.Int64))
            step.add_nodes(born)
            step.add_edges(newest.select(src="node", dst=pl.col("node") + 100))
        else:
            step.set(step.edges.group_by(node="src").agg(born=pl.len().cast(pl.Int64) * 10))
            step.halt()


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_pregel_adds_nodes_and_edges(workers: int) -> None:
    rows = pregel_answer(Grow(), Graph([], [0]), workers)
    assert rows == [(0, 10), (100, 10), (200, 10), (300, 2)]


def test_pregel_that_does_not_end_is_told() -> None:
    class Restless(Pregel):
        max_supersteps = 5

        def compute(self, step: Step) -> None:
            """Never halts."""

    with pytest.raises(VertexFailure) as caught:
        pregel_answer(Restless(), Graph([(1, 2)], []), 2)
    assert "not ended after 5 supersteps" in str(caught.value.__cause__)


class Farthest(Gas):
    """The heaviest path of at most so many edges that ends in each node."""

    ufunc = np.maximum
    nothing = -np.inf

    def __init__(self, rounds: int) -> None:
        self.max_rounds = rounds

    def start(self, out_degrees: Any, nodes: int) -> Any:
        return np.zeros(len(out_degrees))

    def gather(self, values: Any, out_degrees: Any, columns: Any) -> Any:
        return values + columns[0]

    def apply(self, values: Any, gathered: Any, shared: float, nodes: int) -> Any:
        return np.maximum(values, gathered)


@settings(max_examples=40, deadline=None)
@given(graphs(), WORKERS, st.integers(0, 5), st.randoms(use_true_random=False))
def test_gather_apply_scatter(found: Graph, workers: int, rounds: int, random: Any) -> None:
    weights = [float(random.randrange(-3, 4)) for _ in found.edges]

    def job(flow: limnad.Flow) -> None:
        edges = flow.input("edges", EDGES | {"weight": pl.Float64})
        graph.gas(Farthest(rounds), edges, flow.input("nodes", NODES), columns=["weight"]).output("answer")

    frames = found.frames(weight=pl.Series(weights, dtype=pl.Float64))
    rows = run(job, frames, workers=workers, check=False).outputs["answer"][0]
    wanted = dict.fromkeys(found.directed(), 0.0)
    for _ in range(rounds):
        before = dict(wanted)
        for (source, target), weight in zip(found.edges, weights, strict=True):
            wanted[target] = max(wanted[target], before[source] + weight)
    assert dict(rows.rows()) == wanted


def test_a_column_that_is_not_there_is_told() -> None:
    with pytest.raises(limnad.GraphError, match="no column 'weight'"):
        graph.gas(Farthest(1), limnad.Flow().input("edges", EDGES), columns=["weight"])
