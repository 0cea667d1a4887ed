"""What operators that wait for a whole time keep of it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from limnad import Flow
from limnad.stream.operators import per_time
from limnad.testing import run

SCHEMA = {"k": pl.Int64, "n": pl.Int64}
ROWS, BATCH_ROWS, KEYS = 3000, 10, 7


def numbers(_: np.random.Generator, start: int, count: int) -> pl.DataFrame:
    n = np.arange(start, start + count)
    return pl.DataFrame({"k": n % KEYS, "n": n})


@pytest.mark.parametrize("epochs", [1, 3])
def test_what_is_gathered_of_a_time_is_folded_again_and_again(epochs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    room_rows = 100
    monkeypatch.setattr(per_time, "FOLD_BYTES", 16 * room_rows)
    folded: list[int] = []

    def sums(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.group_by("k").agg(pl.col("n").sum())

    def fold(rows: pl.DataFrame) -> pl.DataFrame:
        folded.append(len(rows))
        return sums(rows)

    vertices: list[per_time.PerTime] = []

    def vertex() -> per_time.PerTime:
        vertices.append(per_time.PerTime([pl.DataFrame(schema=SCHEMA)], sums, fold))
        return vertices[-1]

    def job(flow: Flow) -> None:
        rows = flow.generate(numbers, rows=ROWS, epochs=epochs, batch_rows=BATCH_ROWS, partitions=1)
        flow.vertex(vertex, rows).output("sums")

    found = run(job, {}, workers=1).outputs["sums"]
    assert max(folded) <= room_rows + BATCH_ROWS + KEYS
    assert ROWS // (room_rows + BATCH_ROWS) - epochs <= len(folded) <= ROWS // room_rows
    assert not any(made._unfolded_bytes for made in vertices), "nothing is kept of times that are over"
    each = ROWS // epochs
    for epoch in range(epochs):
        n = np.arange(epoch * each, (epoch + 1) * each)
        wanted = {key: int(n[n % KEYS == key].sum()) for key in range(KEYS)}
        assert dict(found[epoch].rows()) == wanted
