"""That the two sides do what they are said to do; not how fast."""

from pathlib import Path
from typing import Any

import networkx as nx
import polars as pl

import limnad
from benchmarks.baselines import one_thread
from benchmarks.baselines.exchange_node import pack, split
from benchmarks.in_process import Repeated, run_s
from benchmarks.jobs.exchange import make
from benchmarks.operators import AddOne
from benchmarks.rmat import write_rmat
from benchmarks.tracker import Walk, _chain, _nested
from limnad.timely.reachability import Locations
from limnad.timely.tracker import Tracker


def test_a_repeated_source_gives_its_batch_so_often() -> None:
    seen: list[Any] = []

    def job(flow: limnad.Flow) -> None:
        flow.read(Repeated([1, 2], 3), "rows").subscribe(lambda epoch, batch: seen.append((epoch, batch)))

    assert run_s(job) > 0
    assert seen == [(0, [1, 2] * 3)]


def test_each_vertex_of_the_chain_adds_one() -> None:
    frame = pl.DataFrame({"x": [1]})
    seen: list[Any] = []

    def job(flow: limnad.Flow) -> None:
        stream = flow.read(Repeated(frame, 1), "rows", frame.schema)
        for _ in range(3):
            stream = flow.vertex(AddOne, stream, schemas=[frame.schema])
        stream.subscribe(lambda epoch, batch: seen.append(batch["x"].to_list()))

    run_s(job)
    assert seen == [[4]]


def test_the_split_by_hand_loses_no_row_and_is_even() -> None:
    frame = make(None, 200_000, 100_000)  # type: ignore[arg-type]
    parts = split(frame, 4)
    assert pl.concat(parts).sort("key").equals(frame)
    assert all(abs(len(part) - 25_000) < 1_000 for part in parts)
    assert pl.read_ipc_stream(pack(parts[0])).equals(parts[0])


def test_a_walk_leaves_one_message_behind_it_and_goes_round_in_a_loop() -> None:
    for graph, depth in ((_chain(5), 1), (_nested(3), 4)):
        tracker, walk = Tracker(Locations(graph)), Walk(graph, 0)
        tracker.update([(walk.place.index, walk.time, 1)])
        for _ in range(50):
            tracker.update(walk.hop())
        assert tracker.occurrences() == {(walk.place.index, walk.time): 1}
        assert len(walk.time) == depth
        assert walk.time[-1] > 1 or depth == 1


def test_a_graph_is_the_same_from_the_same_seed_and_has_hubs(tmp_path: Path) -> None:
    written = [pl.read_parquet(write_rmat(tmp_path / name, scale=8, edges=4_000)) for name in ("a", "b")]
    assert written[0].equals(written[1])
    assert len(written[0]) == 4_000
    degrees = written[0]["src"].value_counts()["count"]
    assert degrees.max() > 20 * degrees.median()  # type: ignore[operator]


def test_the_baseline_of_pagerank_is_networkx_s(tmp_path: Path) -> None:
    path = write_rmat(tmp_path / "graph", scale=6, edges=300)
    edges = pl.read_parquet(path)
    network = nx.MultiDiGraph()
    network.add_edges_from(edges.rows())
    ranks = sorted(nx.pagerank(network, tol=1e-12, max_iter=500).values())
    between = (ranks[-10] + ranks[-11]) / 2
    assert one_thread.pagerank(path, "100", str(between))["answer"] == 10
