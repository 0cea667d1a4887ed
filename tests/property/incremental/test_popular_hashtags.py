"""The application of the paper's figure 1 against plain Python: fresh answers know their own epoch, stale ones not."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import polars as pl
import pytest

from limnad.testing import run
from tests.helpers.example_files import load

figure_1: Any = load("popular_hashtags")

USERS = 12


def communities(mentions: list[tuple[int, int]]) -> dict[int, int]:
    """The least user of each user's component."""
    least = {user: user for pair in mentions for user in pair}
    changed = True
    while changed:
        changed = False
        for pair in mentions:
            low = min(least[user] for user in pair)
            changed |= any(least[user] != low for user in pair)
            least.update(dict.fromkeys(pair, low))
    return least


def answers(asked: list[tuple[int, int]], tweeted: list[tuple[int, ...]]) -> list[tuple[Any, ...]]:
    """What is known from these tweets; among equally popular hashtags, the first by number."""
    least = communities([(user, mentioned) for _, user, mentioned, _ in tweeted])
    uses: dict[int, Counter[int]] = {}
    for _, user, _, tag in tweeted:
        uses.setdefault(least[user], Counter())[tag] += 1
    found = []
    for query, user in asked:
        community = least.get(user)
        counts = {} if community is None else uses[community]
        ranked = sorted((-times, tag) for tag, times in counts.items())
        found.append((query, user, community, ranked[0][1] if ranked else None))
    return sorted(found)


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", [1, 2])
def test_fresh_and_stale(seed: int, workers: int) -> None:
    random = Random(seed)
    tweeted = [
        [(epoch, *(random.randrange(USERS) for _ in range(2)), random.randrange(4)) for _ in range(random.randrange(5))]
        for epoch in range(6)
    ]
    asked = [[(10 * epoch + n, random.randrange(USERS)) for n in range(random.randrange(4))] for epoch in range(6)]
    columns = dict.fromkeys(["tweet", "user", "mentioned", "tag"], pl.Int64)
    inputs = {
        "tweets": [pl.DataFrame(rows, columns, orient="row") for rows in tweeted],
        "queries": [pl.DataFrame(rows, dict.fromkeys(["query", "user"], pl.Int64), orient="row") for rows in asked],
    }
    done = run(figure_1.by_hand, inputs, workers=workers, seed=seed)
    for epoch, queries in enumerate(asked):
        for name, until in (("fresh", epoch + 1), ("stale", epoch)):
            known = [tweet for rows in tweeted[:until] for tweet in rows]
            assert sorted(done.outputs[name][epoch].rows()) == answers(queries, known), (name, epoch)
