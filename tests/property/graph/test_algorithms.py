"""Each algorithm on random graphs and 1, 2, 3 and 5 workers, against networkx."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import networkx as nx
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import limnad
from limnad import graph
from limnad.graph import components
from limnad.testing import run
from limnad.timely.scheduler import VertexFailure
from tests.helpers.random_graphs import EDGES, NODES, WORKERS, Graph, graphs

Answer = dict[Any, Any]


def answer(
    algorithm: Callable[..., Any], found: Graph, workers: int, *, nodes: bool = True, columns: Any = None
) -> Answer:
    """What an algorithm says of each node."""
    columns = columns or {}
    schema = EDGES | {name: pl.Series(values).dtype for name, values in columns.items()}

    def job(flow: limnad.Flow) -> None:
        edges, more = flow.input("edges", schema), flow.input("nodes", NODES)
        algorithm(*([edges, more] if nodes else [edges])).output("answer")
        more.output("unused")

    rows = run(job, found.frames(**columns), workers=workers, check=False).outputs["answer"][0]
    assert rows["node"].is_unique().all()
    return {row[0]: row[1] if len(row) == 2 else row[1:] for row in rows.iter_rows()}


def least(parts: Any) -> Answer:
    return {node: min(part) for part in parts for node in part}


@settings(max_examples=60, deadline=None)
@given(graphs(), WORKERS, st.sampled_from([1, 9, components.SAMPLED_EDGES]))
def test_connected_components(found: Graph, workers: int, sampled: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(components, "SAMPLED_EDGES", sampled)
        assert answer(graph.connected_components, found, workers) == least(nx.connected_components(found.simple()))


@settings(max_examples=80, deadline=None)
@given(graphs(), WORKERS, st.booleans())
def test_strongly_connected_components(found: Graph, workers: int, colour: bool) -> None:
    def algorithm(edges: Any, nodes: Any) -> Any:
        return graph.strongly_connected_components(edges, nodes, small_edges=-1 if colour else 1 << 20)

    assert answer(algorithm, found, workers) == least(nx.strongly_connected_components(found.directed()))


@settings(max_examples=60, deadline=None)
@given(graphs(), WORKERS, st.sampled_from(graph.Way))
def test_pagerank_to_a_tolerance(found: Graph, workers: int, way: graph.Way) -> None:
    ranks = answer(lambda *inputs: graph.pagerank(*inputs, tolerance=1e-9, max_rounds=200, way=way), found, workers)
    network = found.directed()
    wanted = nx.pagerank(network, tol=1e-11, max_iter=500) if network else {}
    assert ranks == pytest.approx(wanted, abs=1e-6)
    assert not ranks or sum(ranks.values()) == pytest.approx(1)


@settings(max_examples=30, deadline=None)
@given(graphs(), WORKERS, st.sampled_from(graph.Way), st.integers(0, 6))
def test_pagerank_of_so_many_rounds(found: Graph, workers: int, way: graph.Way, rounds: int) -> None:
    ranks = answer(lambda *inputs: graph.pagerank(*inputs, tolerance=None, max_rounds=rounds, way=way), found, workers)
    network = found.directed()
    wanted = {node: 1 / len(network) for node in network}
    for _ in range(rounds):
        wanted = one_round(network, wanted)
    assert ranks == pytest.approx(wanted)


def one_round(network: Any, ranks: Answer) -> Answer:
    lost = sum(rank for node, rank in ranks.items() if not network.out_degree(node))
    flowing: Counter[Any] = Counter()
    for source, target in network.edges():
        flowing[target] += ranks[source] / network.out_degree(source)
    return {node: 0.15 / len(ranks) + 0.85 * (flowing[node] + lost / len(ranks)) for node in ranks}


@settings(max_examples=40, deadline=None)
@given(graphs(), WORKERS)
def test_breadth_first(found: Graph, workers: int) -> None:
    network = found.directed()
    roots = [root for root in found.alone if root in network]
    wanted = nx.multi_source_dijkstra_path_length(network, roots, weight=lambda *_: 1) if roots else {}
    assert answer(graph.breadth_first, found, workers) == wanted


@settings(max_examples=40, deadline=None)
@given(graphs(), WORKERS, st.randoms(use_true_random=False))
def test_shortest_paths_and_landmarks(found: Graph, workers: int, random: Any) -> None:
    weights = [random.choice([0.0, 0.5, 1.0, 4.0]) for _ in found.edges]
    network = nx.MultiDiGraph()
    network.add_nodes_from(found.alone)
    network.add_weighted_edges_from((a, b, weight) for (a, b), weight in zip(found.edges, weights, strict=True))
    columns = {"weight": pl.Series(weights, dtype=pl.Float64)}
    wanted = nx.multi_source_dijkstra_path_length(network, set(found.alone)) if found.alone else {}
    assert answer(graph.shortest_paths, found, workers, columns=columns) == pytest.approx(wanted)

    def job(flow: limnad.Flow) -> None:
        edges = flow.input("edges", EDGES | {"weight": pl.Float64})
        graph.landmark_distances(edges, flow.input("nodes", NODES), "weight").output("distances")

    rows = run(job, found.frames(**columns), workers=workers, check=False).outputs["distances"][0]
    apart = {(node, landmark): distance for node, landmark, distance in rows.iter_rows()}
    assert apart == pytest.approx(
        {
            (node, landmark): length
            for landmark in set(found.alone)
            for node, length in nx.single_source_dijkstra_path_length(network, landmark).items()
        }
    )


@settings(max_examples=40, deadline=None)
@given(graphs(), WORKERS)
def test_core_numbers(found: Graph, workers: int) -> None:
    assert answer(graph.core_numbers, found, workers) == nx.core_number(found.simple())


@settings(max_examples=40, deadline=None)
@given(graphs(), WORKERS, st.integers(0, 5))
def test_label_propagation(found: Graph, workers: int, rounds: int) -> None:
    network = found.simple()
    labels = {node: node for node in network}
    for _ in range(rounds):
        labels = {node: commonest([labels[near] for near in network[node]], labels[node]) for node in network}
    assert answer(lambda *inputs: graph.label_propagation(inputs[0], rounds, inputs[1]), found, workers) == labels


def commonest(labels: list[int], own: int) -> int:
    counts = Counter(labels)
    return min(counts, key=lambda label: (-counts[label], label), default=own)


@settings(max_examples=40, deadline=None)
@given(graphs(), WORKERS)
def test_triangles_and_degrees(found: Graph, workers: int) -> None:
    network = found.simple()
    touched = {end for edge in found.edges for end in edge}
    wanted = {node: count for node, count in nx.triangles(network).items() if node in touched}
    assert answer(graph.triangles, found, workers, nodes=False) == wanted
    directed = found.directed()
    assert answer(graph.degrees, found, workers, nodes=False) == {
        node: (directed.in_degree(node), directed.out_degree(node)) for edge in found.edges for node in edge
    }


def test_nodes_may_be_strings_and_each_epoch_is_a_graph_of_its_own() -> None:
    epochs = [[("a", "b"), ("b", "a"), ("c", "a")], [], [("b", "c")]]
    edges = [pl.DataFrame(rows, schema={"src": pl.String, "dst": pl.String}, orient="row") for rows in epochs]

    def job(flow: limnad.Flow) -> None:
        rows = flow.input("edges", {"src": pl.String, "dst": pl.String})
        graph.connected_components(rows).output("weak")
        graph.strongly_connected_components(rows, small_edges=-1).output("strong")
        graph.pagerank(rows).select("node").output("ranked")
        graph.core_numbers(rows).output("cores")
        graph.triangles(rows).output("triangles")
        graph.label_propagation(rows, 2).output("labels")

    outputs = run(job, {"edges": edges}, workers=3).outputs
    assert [sorted(frame.rows()) for frame in outputs["weak"].values()] == [
        [("a", "a"), ("b", "a"), ("c", "a")],
        [],
        [("b", "b"), ("c", "b")],
    ]
    assert sorted(outputs["strong"][0].rows()) == [("a", "a"), ("b", "a"), ("c", "c")]
    assert sorted(outputs["ranked"][2].to_series()) == ["b", "c"]
    assert sorted(outputs["cores"][0].rows()) == [("a", 1), ("b", 1), ("c", 1)]
    assert sorted(outputs["triangles"][2].rows()) == [("b", 0), ("c", 0)]
    assert sorted(outputs["labels"][2].rows()) == [("b", "b"), ("c", "c")]


def test_estimates_are_at_least_the_distance_and_right_through_a_landmark() -> None:
    path = [(node, node + 1) for node in range(6)]
    both = [*path, *((b, a) for a, b in path)]

    def job(flow: limnad.Flow) -> None:
        distances = graph.landmark_distances(flow.input("edges", EDGES), flow.input("nodes", NODES))
        pairs = flow.values([[(0, 6), (0, 1), (4, 6)]]).to_frames(EDGES)
        graph.estimated_distances(pairs, distances).output("estimates")

    found = run(job, Graph(both, [3]).frames(), workers=2).outputs["estimates"][0]
    assert sorted(found.rows()) == [(0, 1, 5.0), (0, 6, 6.0), (4, 6, 4.0)]


def test_wrong_inputs_are_told() -> None:
    flow = limnad.Flow()
    floats = flow.input("floats", {"src": pl.Float64, "dst": pl.Float64})
    mixed = flow.input("mixed", {"src": pl.Int64, "dst": pl.String})
    named = flow.input("named", {"from": pl.Int64, "to": pl.Int64})
    good = flow.input("good", EDGES)
    with pytest.raises(limnad.GraphError, match="rename"):
        graph.degrees(named)
    with pytest.raises(limnad.GraphError, match="one type"):
        graph.pagerank(mixed)
    with pytest.raises(limnad.GraphError, match="integers or strings"):
        graph.triangles(floats)
    with pytest.raises(limnad.GraphError, match="'node' of type Int64"):
        graph.connected_components(good, named)
    with pytest.raises(limnad.GraphError, match="weights"):
        graph.shortest_paths(good, flow.input("roots", NODES))
    with pytest.raises(limnad.JobError, match="damping"):
        graph.pagerank(good, damping=2)


def test_rows_that_make_no_graph_are_told() -> None:
    def job(flow: limnad.Flow) -> None:
        edges = flow.input("edges", EDGES | {"weight": pl.Float64})
        graph.shortest_paths(edges, flow.input("nodes", NODES)).output("distances")

    with pytest.raises(VertexFailure) as caught:
        run(job, Graph([(1, 2)], [1]).frames(weight=[-1.0]))
    assert "at least 0" in str(caught.value.__cause__)
    edges = pl.DataFrame({"src": [1], "dst": [None], "weight": [1.0]}, schema=EDGES | {"weight": pl.Float64})
    with pytest.raises(VertexFailure) as caught:
        run(job, {"edges": [edges], "nodes": [pl.DataFrame(schema=NODES)]})
    assert "'dst' of a graph's input has nulls" in str(caught.value.__cause__)
