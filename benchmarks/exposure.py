"""k-exposure over a stream of posts: posts a second and latency, without and with checkpoints every 100 epochs."""

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from benchmarks.harness import Better, Row, Settings, in_turn
from benchmarks.jobs.exposure import example
from benchmarks.local_run import Run, limnad_run

WORKERS = 2
EPOCH_POSTS = 4_000
EPOCHS = 150
CHECKPOINT_EPOCHS = 100
USERS, TAGS, FOLLOW = 10_000, 2_000, 10
LOAD = 0.5
"""Of the posts a second that each run got through without fault tolerance: so many come when latency is measured."""

NOTE = (
    f"k-exposure: posts of {USERS:,} users who follow {FOLLOW} others each, {EPOCH_POSTS:,} an epoch, {WORKERS} "
    f"workers, checkpoints every {CHECKPOINT_EPOCHS} epochs into a directory. Latency: from when the first posts of "
    "the next epoch are due, so that an epoch is over, to when worker 0 has its answer, at half the posts a second "
    "that the slowest run got through without checkpoints. Plain Python: the same in one thread, sets and dicts, no "
    "engine."
)


def rows(settings: Settings) -> Iterable[Row]:
    """Throughput of both, beside plain Python; then the latencies of both."""
    epochs = settings.size(EPOCHS, CHECKPOINT_EPOCHS + 10)
    posts = epochs * settings.size(EPOCH_POSTS, EPOCH_POSTS // 20)
    sides: dict[str, Callable[[], float]] = {
        "none": lambda: _rate(_run(epochs, posts, checkpoints=False), posts),
        "checkpoints": lambda: _rate(_run(epochs, posts, checkpoints=True), posts),
        "by hand": lambda: _by_hand(epochs, posts),
    }
    found = in_turn(settings.runs, sides)
    unit = "k posts/s"
    yield Row("k-exposure", "plain Python", unit, found["none"], found["by hand"], Better.MORE, note=NOTE)
    work = f"- checkpoints every {CHECKPOINT_EPOCHS} epochs"
    yield Row(work, "no checkpoints", unit, found["checkpoints"], found["none"], Better.MORE)
    rate = min(found["none"]) * 1_000 * LOAD
    latencies: dict[bool, list[list[float]]] = {False: [], True: []}
    for _ in range(settings.runs):
        for checkpoints, each in latencies.items():
            each.append(_latencies_ms(_run(epochs, posts, checkpoints=checkpoints, rows_per_s=rate)))
    for name, share in (("median", 50), ("95th", 95), ("99th", 99)):
        ours, theirs = ([float(np.percentile(run, share)) for run in latencies[which]] for which in (True, False))
        yield Row(f"- latency with them, {name}", "no checkpoints", "ms", ours, theirs, Better.LESS)


def _run(epochs: int, posts: int, *, checkpoints: bool, rows_per_s: float = 0) -> Run:
    arguments = {
        "posts": posts,
        "epochs": epochs,
        "users": USERS,
        "tags": TAGS,
        "follow": FOLLOW,
        "rows_per_s": rows_per_s,
    }
    if not checkpoints:
        return limnad_run("exposure", WORKERS, arguments)
    with tempfile.TemporaryDirectory(prefix="limnad-bench-") as folder:
        store = ["--checkpoint-epochs", str(CHECKPOINT_EPOCHS), "--store", f"dir:{Path(folder) / 'store'}"]
        return limnad_run("exposure", WORKERS, arguments, *store)


def _rate(run: Run, posts: int) -> float:
    """Thousands of posts a second."""
    return posts / run.running_s / 1_000


def _latencies_ms(run: Run) -> list[float]:
    """Of each epoch but the last, and the first ones in which the graph is loaded."""
    told = run.outputs["told"]
    overs = [row["due_s"] for row in told[1:]]
    return [(row["answered_s"] - over_s) * 1_000 for row, over_s in zip(told, overs, strict=False)][5:]


def _by_hand(epochs: int, posts: int) -> float:
    """Thousands of posts a second in one thread."""
    shown = example()
    rng = np.random.default_rng(1)
    follows = shown.some_follows(USERS)(rng, 0, USERS * FOLLOW).unique()
    make = shown.some_posts(USERS, TAGS)
    batches = [make(rng, 0, posts // epochs).rows() for _ in range(epochs)]
    began_s = time.perf_counter()
    followers: dict[int, list[int]] = {}
    for follower, user in follows.rows():
        followers.setdefault(user, []).append(follower)
    known: set[tuple[int, int]] = set()
    exposures: Counter[tuple[int, int]] = Counter()
    answered = 0
    for uses in batches:
        first = set(uses) - known
        known |= first
        answered += len([(use, exposures[use]) for use in first])
        exposures.update((follower, tag) for user, tag in first for follower in followers.get(user, ()))
    assert answered
    return posts / (time.perf_counter() - began_s) / 1_000
