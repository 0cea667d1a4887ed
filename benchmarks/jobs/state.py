"""Rows by key in a `FrameState`, put there when they are asked for: what a checkpoint of a large state takes."""

from typing import Any

import numpy as np
import polars as pl

import limnad
from limnad.batch import KEY_GROUPS, hash_frame, key_group, owners

SCHEMA = {"key": pl.Int64, "count": pl.Int64, "sum": pl.Float64, "last": pl.Float64}
ROW_BYTES = 32
AT_ONCE = 1 << 20


class Keep(limnad.Vertex):
    """Puts new rows for all keys of so many key groups, spread evenly."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._state = limnad.FrameState("rows", SCHEMA, key="key")
        self._wanted = limnad.KeyedState[int, tuple[int, int]]("wanted")

    def on_recv(self, port: int, batch: list[int], time: limnad.Timestamp) -> None:
        """See `limnad.Vertex.on_recv`."""
        self._wanted[time[0]] = (batch[0], 0)
        self.notify_at(time)

    def on_notify(self, time: limnad.Timestamp) -> None:
        """Some of the keys, and then again: a worker that is busy for long cannot hear anybody."""
        count, start = self._wanted[time[0]]
        stop = min(start + AT_ONCE, self._rows)
        chosen = np.isin(np.arange(KEY_GROUPS), np.arange(count) * KEY_GROUPS // count)
        self._put(np.random.default_rng((self.worker, start, *time)), chosen, np.arange(start, stop))
        self._wanted[time[0]] = (count, stop)
        if stop < self._rows:
            self.notify_at(time)

    def _put(self, rng: np.random.Generator, chosen: Any, keys: Any) -> None:
        hashes = hash_frame(pl.DataFrame({"key": keys}), "key")
        mine = keys[(owners(hashes, self.workers) == self.worker) & chosen[key_group(hashes)]]
        values = {"count": rng.integers(0, 1 << 40, len(mine)), "sum": rng.random(len(mine))}
        self._state.put(pl.DataFrame({"key": mine, **values, "last": rng.random(len(mine))}, schema=SCHEMA))


def job(flow: limnad.Flow, rows: int) -> None:
    """Fed with numbers of key groups."""
    flow.vertex(lambda: Keep(rows), flow.input("groups").broadcast(), name="keep").probe("kept")
