"""What traces forget: memory stays flat, and answers right."""

import os
from collections.abc import Callable
from random import Random

import polars as pl
import pytest
from hypothesis import given

import limnad
import limnad.incremental
from benchmarks.in_process import Live
from limnad.incremental import from_stream, trace
from limnad.incremental.trace import Trace
from limnad.testing import run
from tests.helpers.collections import SCHEMA, History, check, connected, frames, in_cycles, job, reach, shared
from tests.helpers.histories import SEEDS, examples, histories

EPOCHS = int(os.environ.get("LIMNAD_CHURN_EPOCHS", "150"))


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """All runs are merged, and so compacted, at every change."""
    monkeypatch.setattr(trace, "GROWTH", 1_000_000)


@pytest.mark.usefixtures("eager")
@examples(in_ci=3)
@given(left=histories(5, nodes=6, start=6, changes=8), seed=SEEDS)
def test_nested_loops_are_right_when_everything_is_compacted_at_once(left: History, seed: int) -> None:
    fed = {"left": frames(left), "right": frames([[]] * 5)}
    done = run(job, fed, workers=1, seed=seed, check=False, names=["in cycles"])
    check(done.outputs, ["in cycles"], left, [[]] * 5)


def held(live: Live) -> int:
    """How many differences all traces of a job hold."""
    return sum(
        len(state)
        for vertex in live.worker.scheduler.vertices
        if vertex is not None
        for state in vars(vertex).values()
        if isinstance(state, Trace)
    )


def everything(flow: limnad.Flow) -> None:
    edges = from_stream(flow.input("rows", SCHEMA), "diff")
    edges.group_by("a").agg(pl.col("b").max(), pl.len().alias("n")).output("groups")
    shared(edges, edges.filter(pl.col("b") > 2)).output("shared")
    reach(edges, edges.filter(pl.col("a") == 0)).output("reach")
    connected(edges, edges).output("connected")


def flip(random: Random, there: set[tuple[int, int]], nodes: int) -> pl.DataFrame:
    edge = (random.randrange(nodes), random.randrange(nodes))
    there.symmetric_difference_update([edge])
    return pl.DataFrame([(*edge, 1 if edge in there else -1)], SCHEMA, orient="row")


def test_memory_is_flat_over_epochs_of_churn() -> None:
    """CI runs a share; ``script/churn`` runs 10,000 epochs."""
    random, live = Random(1), Live(everything)
    there: set[tuple[int, int]] = set()
    for _ in range(100):
        live.feed(flip(random, there, 6))
    peak = [0, 0]
    for half in range(2):
        for _ in range(EPOCHS // 2):
            live.feed(flip(random, there, 6))
            peak[half] = max(peak[half], held(live))
    assert peak[1] < 1.25 * peak[0] + 50


@pytest.mark.parametrize("build", [connected, in_cycles], ids=lambda build: build.__name__)
def test_a_collection_that_returns_to_what_it_was_has_not_grown(
    build: Callable[..., limnad.incremental.Collection],
) -> None:
    def flow_of(flow: limnad.Flow) -> None:
        edges = from_stream(flow.input("rows", SCHEMA), "diff")
        build(edges, edges).output("answer")

    live = Live(flow_of)
    live.feed(pl.DataFrame([(a, (a + 1) % 6, 1) for a in range(6)], SCHEMA, orient="row"))
    sizes = []
    for _ in range(16):
        live.feed(pl.DataFrame([(3, 4, -1)], SCHEMA, orient="row"))
        live.feed(pl.DataFrame([(3, 4, 1)], SCHEMA, orient="row"))
        sizes.append(held(live))
    assert max(sizes[8:]) <= 1.1 * max(sizes[2:8])


def test_deleting_the_only_edge_into_a_cycle_takes_its_nodes_away() -> None:
    def flow_of(flow: limnad.Flow) -> None:
        edges = from_stream(flow.input("rows", SCHEMA), "diff")
        reach(edges, edges.filter(pl.col("a") == 0)).output("reach")
        connected(edges, edges).output("connected")

    live = Live(flow_of)
    live.feed(pl.DataFrame([(0, 0, 1), (0, 1, 1), (1, 2, 1), (2, 3, 1), (3, 1, 1)], SCHEMA, orient="row"))
    live.feed(pl.DataFrame([(0, 1, -1)], SCHEMA, orient="row"))
    assert sorted(live.published["reach"].rows()) == [(1, -1), (2, -1), (3, -1)]
    labels = sorted(live.published["connected"].rows())
    assert labels == [(node, label, diff) for node in (1, 2, 3) for label, diff in ((0, -1), (1, 1))]
