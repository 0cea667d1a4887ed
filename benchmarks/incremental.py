"""What one change costs, against computing everything anew."""

import statistics
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.harness import Aim, Better, Row, Settings, Unavailable, say
from benchmarks.in_process import Live, seconds
from benchmarks.jobs.live_components import EDGES, WORDS, components, wordcount
from benchmarks.rmat import renamed_rmat

Ends = npt.NDArray[np.int64]

SCALE, EDGES_PER_NODE, CHANGES = 18, 16, 200

NOTE = (
    "One edge of a graph (R-MAT) out of a live collection of connected components, and in again: the time until all "
    "labels are right, one worker in this process. Edges are taken at random among those that are no bridges; the "
    "graph has {edges:,} edges between {nodes:,} nodes."
)


def rows(settings: Settings) -> Iterable[Row]:
    """One edge of a live graph; one word of a live count."""
    yield from _components(settings)
    yield from _words(settings)


def _components(settings: Settings) -> Iterable[Row]:
    scale = settings.size(SCALE, 10)
    source, target = renamed_rmat(1, scale, EDGES_PER_NODE << scale)
    note = NOTE.format(edges=len(source), nodes=1 << scale)
    medians, slow, empties, scratches = [], [], [], []
    for run in range(settings.runs):
        live = Live(components)
        empties.append(live.feed(_edges(source, target, 1)) * 1e3)
        say(f"  run {run + 1}: from empty: {empties[-1]:.4g} ms")
        scratches.append(_csgraph_ms(source, target, 1 << scale))
        say(f"  run {run + 1}: csgraph: {scratches[-1]:.4g} ms")
        took = _changes_ms(live, source, target, settings.size(CHANGES, 20), seed=run)
        medians.append(statistics.median(took))
        slow.append(float(np.percentile(took, 99)))
        say(f"  run {run + 1}: one edge: {medians[-1]:.4g} ms, 99th percentile {slow[-1]:.4g} ms")
    empty, scratch = "the same program from empty", "scipy.sparse.csgraph from raw edges"
    yield _row("one edge, median", empty, medians, empties, Aim(at_least=1_000), note)
    yield _row("one edge, median", scratch, medians, scratches, Aim(at_least=50), note)
    yield _row("one edge, 99th percentile", scratch, slow, scratches, Aim(at_least=50), note)


def _row(work: str, against: str, ours: list[float], theirs: list[float], aim: Aim | None, note: str) -> Row:
    return Row(work, against, "ms", ours, theirs, Better.LESS, upside_down=True, aim=aim, note=note)


def _edges(source: Ends, target: Ends, diff: int) -> pl.DataFrame:
    return pl.DataFrame({"a": source, "b": target, "diff": np.full(len(source), diff)}, schema=EDGES)


def _csgraph_ms(source: Ends, target: Ends, nodes: int) -> float:
    try:
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components
    except ImportError as error:
        raise Unavailable("scipy is missing: pip install -e '.[bench]'") from error

    def compute() -> None:
        matrix = coo_matrix((np.ones(len(source), np.int8), (source, target)), shape=(nodes, nodes))
        connected_components(matrix.tocsr(), directed=False)

    return seconds(compute) * 1e3


def _changes_ms(live: Live, source: Ends, target: Ends, changes: int, seed: int) -> list[float]:
    """Edges out and in again. One whose loss changes a label was a bridge, and is not counted."""
    rng = np.random.default_rng(seed)
    took: list[float] = []
    while len(took) < changes:
        place = rng.integers(len(source), size=1)
        out_s = live.feed(_edges(source[place], target[place], -1))
        bridge = len(live.published["labels"]) > 0
        in_s = live.feed(_edges(source[place], target[place], 1))
        if not bridge:
            took += [out_s * 1e3, in_s * 1e3]
    return took


def _words(settings: Settings) -> Iterable[Row]:
    """One word more or less, of a million."""
    words = settings.size(1_000_000, 10_000)
    rng = np.random.default_rng(1)
    text = pl.DataFrame({"word": rng.zipf(1.3, words) % 50_000, "diff": 1}).cast(pl.Schema(WORDS))
    ones, wholes = [], []
    for run in range(settings.runs):
        live = Live(wordcount)
        live.feed(text)
        took = [live.feed(text[int(place) : int(place) + 1]) for place in rng.integers(words, size=200)]
        ones.append(statistics.median(took) * 1e3)
        wholes.append(seconds(lambda: text.group_by("word").agg(pl.col("diff").sum())) * 1e3)
        say(f"  run {run + 1}: one word: {ones[-1]:.4g} ms; Polars anew: {wholes[-1]:.4g} ms")
    note = f"One word more in a count of {words:,} words; Polars groups them all again."
    yield _row("one word, median", "Polars' group_by of all words", ones, wholes, None, note)
