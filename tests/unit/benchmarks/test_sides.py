"""That the two sides do what they are said to do; not how fast."""

from typing import Any

import polars as pl

import limnad
from benchmarks.baselines.exchange_node import pack, split
from benchmarks.in_process import Repeated, run_s
from benchmarks.jobs.exchange import make
from benchmarks.operators import AddOne
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
