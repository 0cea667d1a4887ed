"""The application of the Naiad paper's figure 1: how long queries wait for fresh answers, and for stale ones."""

import statistics
import threading
import time
from collections.abc import Iterable
from functools import partial

import numpy as np

import limnad
from benchmarks.harness import Better, Row, Settings, Unavailable, in_turn
from benchmarks.processes import ROOT
from examples.popular_hashtags import queries, tweets
from limnad.client import Job

WORKERS = 2
USERS = 10_000
QUERIES = 5
INTERVAL_S = 0.5
"""An epoch comes so often, whether the one before is done or not."""

WARM_UP = 10
"""So many first epochs are not counted."""

NOTE = (
    "Figure 1: milliseconds from when a query was pushed to when its answer came, of {asked} queries in {epochs} epochs"
    " a run; each epoch brings {tweets} tweets of {users:,} users, two epochs a second on two workers. A stale answer "
    "knows the tweets of the epoch before its own."
)


def rows(settings: Settings) -> Iterable[Row]:
    """Stale against fresh, the median and the 99th percentile."""
    epochs, count = settings.size(60, 5), settings.size(500, 50)
    note = NOTE.format(asked=epochs * QUERIES, epochs=epochs, tweets=f"{count:,}", users=USERS)
    last: dict[str, list[float]] = {}

    def median(kind: str) -> float:
        if kind == "stale":
            last.update(latencies_ms(epochs, count))
            ninety_ninth["stale"].append(_percentile(last["stale"], 99))
            ninety_ninth["fresh"].append(_percentile(last["fresh"], 99))
        return statistics.median(last[kind])

    ninety_ninth: dict[str, list[float]] = {"stale": [], "fresh": []}
    medians = in_turn(settings.runs, {kind: partial(median, kind) for kind in ("stale", "fresh")})
    for what, found in (("median", medians), ("99th percentile", ninety_ninth)):
        work = f"stale answers, {what}"
        yield Row(work, "fresh", "ms", found["stale"], found["fresh"], Better.LESS, upside_down=True, note=note)


def latencies_ms(epochs: int, count: int) -> dict[str, list[float]]:
    """How long each query waited, by kind of answer."""
    pushed_s: list[float] = []
    came_s: dict[str, list[float]] = {"stale": [], "fresh": []}
    with limnad.local(f"{ROOT / 'examples' / 'popular_hashtags.py'}:by_hand", workers=WORKERS) as job:

        def listen(kind: str) -> None:
            for _ in job.subscribe(kind):
                came_s[kind].append(time.perf_counter())

        listeners = [threading.Thread(target=listen, args=(kind,)) for kind in came_s]
        for listener in listeners:
            listener.start()
        _feed(job, WARM_UP + epochs, count, pushed_s)
        job.wait()
        for listener in listeners:
            listener.join()
    if any(len(times) != len(pushed_s) for times in came_s.values()):
        raise Unavailable("not every query was answered")
    return {
        kind: [(came - pushed) * 1000 for came, pushed in zip(times, pushed_s, strict=True)][WARM_UP:]
        for kind, times in came_s.items()
    }


def _feed(job: Job, epochs: int, count: int, pushed_s: list[float]) -> None:
    rng = np.random.default_rng(1)
    tweeted, asked = job.input("tweets"), job.input("queries")
    began_s = time.perf_counter()
    for epoch in range(epochs):
        news, questions = tweets(rng, epoch * count, count, USERS), queries(rng, epoch * QUERIES, QUERIES, USERS)
        time.sleep(max(0.0, began_s + epoch * INTERVAL_S - time.perf_counter()))
        pushed_s.append(time.perf_counter())
        asked.on_next(questions)
        asked.advance_to(epoch + 1)
        tweeted.on_next(news)
        tweeted.advance_to(epoch + 1)
    asked.close()
    tweeted.close()


def _percentile(values: list[float], percent: int) -> float:
    return float(np.percentile(values, percent))
