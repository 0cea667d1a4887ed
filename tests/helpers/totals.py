"""A job with state whose outputs are known: what the tests of recovery strike at."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from limnad.store import Checkpoints, open_store
from tests.helpers.running import Epochs, Running

EPOCHS = 120

JOB = f"""
    import limnad

    def work(pair):
        sum(range(60_000))  # Long enough that a kill finds the job at it.
        return pair

    def totals(pairs):
        return pairs.partition_by(lambda pair: pair[0]).map(work).as_keyed()

    def job(flow, poison: int = -1, renamed: bool = False, epochs: int = {EPOCHS}):
        def check(pair):
            if pair[1] == poison:
                raise ValueError(f"cannot take {{pair}}")
            return pair
        rows = [[(f"key {{number % 5}}", 10 * epoch + number) for number in range(10)] for epoch in range(epochs)]
        pairs = flow.values(rows, name="pairs").map(check)
        sums = totals(pairs).scan(lambda: 0, lambda total, value: (total + value, total + value),
                                  name="sums" if renamed else "totals")
        sums.reduce_by_key(max).output("totals")
"""


def expected(epochs: int = EPOCHS) -> Epochs:
    """What it puts out."""
    totals = [0] * 5
    found: Epochs = {}
    for epoch in range(epochs):
        totals = [total + 20 * epoch + 2 * key + 5 for key, total in enumerate(totals)]
        found["totals", epoch] = [[f"key {key}", total] for key, total in enumerate(totals)]
    return found


def write_job(folder: Path, text: str = JOB) -> str:
    """Its path."""
    file = folder / "job.py"
    file.write_text(textwrap.dedent(text))
    return str(file)


def options(folder: Path, every: str = "100ms") -> list[str]:
    """For a run on two workers with its store in that folder."""
    return ["-w", "2", "--store", f"dir:{folder / 'store'}", "--checkpoint", every, "--max-restarts", "1000"]


def numbers(folder: Path) -> tuple[int, ...]:
    """The checkpoints in that store, ascending."""
    with closing(open_store(f"dir:{folder / 'store'}")) as store:
        return Checkpoints(store.job("job")).numbers()


def stopped(job: str, folder: Path, checkpoints: int = 1, every: str = "100ms", more: Sequence[str] = ()) -> Running:
    """A run that was killed when it had so many checkpoints at least."""
    run = Running(job, *options(folder, every), *more).until(lambda: len(numbers(folder)) >= checkpoints)
    run.stop()
    assert len(numbers(folder)) >= checkpoints, "the job ended first"
    return run
