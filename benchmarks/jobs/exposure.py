"""k-exposure (examples/k_exposure.py), with the moments at which each epoch's posts were due and answered.

Due, not made: an engine that is busy makes posts late, and people would not wait for it.
"""

import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import limnad

EXAMPLE = Path(__file__).parents[2] / "examples" / "k_exposure.py"


def example() -> Any:
    """The example, which is a script and no module."""
    spec = spec_from_file_location("k_exposure", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def job(
    flow: limnad.Flow,
    posts: int = 100_000,
    epochs: int = 100,
    users: int = 10_000,
    tags: int = 2_000,
    follow: int = 10,
    rows_per_s: float = 0,
) -> None:
    """As the example's, but what comes out is when: for each epoch ``due_s`` and ``answered_s``."""
    shown = example()
    make = shown.some_posts(users, tags)
    began_s: list[float] = []

    def stamped(rng: np.random.Generator, start: int, count: int) -> pl.DataFrame:
        posts: pl.DataFrame = make(rng, start, count)
        if count and not began_s:
            began_s.append(time.time())
        due_s = began_s[0] + start / rows_per_s if began_s and rows_per_s else time.time()
        return posts.with_columns(pl.lit(due_s).alias("due_s"))

    made = flow.generate(
        stamped, name="posts", rows=posts, epochs=epochs, partitions=1, seed=1, rows_per_s=rows_per_s or None
    )
    follows = flow.generate(shown.some_follows(users), name="follows", rows=users * follow, partitions=2, seed=2)
    uses = shown.first_uses(made, follows)
    answered = uses.count("uses").with_columns(pl.lit("").alias("one"))
    stamps = made.group_by(pl.lit("").alias("one")).agg(pl.col("due_s").min())
    told = answered.join(stamps, on="one").drop("one")
    told.to_worker(0).map_batches(lambda frame: frame.with_columns(pl.lit(time.time()).alias("answered_s"))).output(
        "told"
    )
