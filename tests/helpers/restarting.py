"""Jobs on hand-fed frames that are killed in the middle, again and again, on changing numbers of workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from limnad.connectors.lists import ListSource
from limnad.testing import Recovery, build, spread_out


def restarted(
    job: Callable[..., None],
    inputs: Mapping[str, list[Any]],
    seed: int,
    *,
    kills: int = 2,
    max_ticks: int = 300,
    widths: Sequence[int] = (1, 2, 3, 5),
) -> tuple[dict[tuple[str, int], Any], int]:
    """Each output and epoch's rows as committed, and how many generations it took."""
    random, built = Random(seed), build(job)
    sources = {name: ListSource(spread_out(epochs, 3)) for name, epochs in inputs.items()}
    done = Recovery(built, lambda: {**built.sources, **sources}, seed, interval_ticks=random.choice([5, 20, 60]))
    finished = False
    for _ in range(kills):
        finished = done.run(random.choice(widths), ticks=random.randrange(20, max_ticks))
        if finished:
            break
    if not finished:
        done.run(random.choice(widths))
    released = {(name, epoch): rows for name, epoch, rows in done.released}
    assert len(released) == len(done.released), "an epoch was released twice"
    return released, done.generations
