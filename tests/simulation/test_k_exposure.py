"""The example of k-exposure against plain Python: on any number of workers, and through kills."""

from __future__ import annotations

from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from limnad import Flow
from tests.helpers.event_times import WORKERS, ordered, recovered, simulated

EXAMPLE = Path(__file__).parents[2] / "examples" / "k_exposure.py"
Pair = tuple[int, int]


@pytest.fixture(scope="module")
def example() -> Any:
    spec = spec_from_file_location("k_exposure", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def by_definition(posts: list[list[Pair]], follows: list[list[Pair]]) -> dict[int, list[Any]]:
    """Each epoch's first uses: user, hashtag, and how many first uses of those they follow came in earlier epochs."""
    known: set[Pair] = set()
    following: set[Pair] = set()
    exposures: Counter[Pair] = Counter()
    found = {}
    for epoch, (uses, new_follows) in enumerate(zip(posts, follows, strict=True)):
        following |= set(new_follows)
        first = set(uses) - known
        known |= first
        found[epoch] = ordered((user, tag, exposures[user, tag]) for user, tag in first)
        exposures.update((follower, tag) for user, tag in first for follower, followed in following if followed == user)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_first_uses_are_those_of_the_definition(seed: int, example: Any) -> None:
    rng = np.random.default_rng(seed)
    posts = [pairs(rng, (6, 4), size) for size in (9, 0, 12, 5, 20)]
    # Each pair of a follower and whom they follow comes once.
    all_follows = sorted(set(pairs(rng, (6, 6), 25)))
    follows = [all_follows[:10], all_follows[10:], [], [], []]

    def job(flow: Flow) -> None:
        uses = flow.input("posts", {"user": pl.Int32, "tag": pl.Int32})
        example.first_uses(uses, flow.input("follows", {"follower": pl.Int32, "user": pl.Int32})).output("uses")

    inputs = {
        "posts": [pl.DataFrame(rows, schema={"user": pl.Int32, "tag": pl.Int32}, orient="row") for rows in posts],
        "follows": [
            pl.DataFrame(rows, schema={"follower": pl.Int32, "user": pl.Int32}, orient="row") for rows in follows
        ],
    }
    wanted = {"uses": by_definition(posts, follows)}
    assert simulated(job, inputs, WORKERS[seed % 4], seed) == wanted
    assert recovered(job, inputs, [WORKERS[(seed + step) % 4] for step in range(3)], seed)[0] == wanted


def pairs(rng: np.random.Generator, sizes: tuple[int, int], count: int) -> list[Pair]:
    return [(int(rng.integers(sizes[0])), int(rng.integers(sizes[1]))) for _ in range(count)]
