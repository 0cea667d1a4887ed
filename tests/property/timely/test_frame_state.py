"""A `FrameState`, spread over workers, against a dict, through changes, checkpoints, losses and rescales."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from limnad import FrameState
from limnad.batch import hash_frame, owners, sorted_rows
from limnad.cluster.parts import read_part, write_part
from limnad.cluster.records import PartRecord
from limnad.timely import frame_state
from limnad.timely.snapshot import Snapshot, StateCapture
from limnad.timely.state import Capture, Share

SCHEMA = {"word": pl.String, "value": pl.Int64, "number": pl.Int64}
KEY = ["number", "word"]
NAME = ("stage", "state")

keys = st.tuples(st.none() | st.sampled_from("ab"), st.integers(0, 20))
lists_of_keys = st.lists(keys, max_size=12)
lists_of_rows = st.lists(st.tuples(keys, st.integers(0, 3)), max_size=12)


@dataclass
class Checkpoint:
    """One that is being made, or was made."""

    captures: list[Capture]
    content: dict[Any, Counter[int]]
    records: list[PartRecord]


class SpreadState(RuleBasedStateMachine):
    """As many states as there are workers, each with its share of the keys."""

    def __init__(self) -> None:
        super().__init__()
        self._small = ExitStack()
        # So that what happens to millions of rows happens to these.
        for name, value in {"ROWS_PER_BLOCK": 2, "UNFOLDED_ROWS": 6, "FOLDED_PER_CHANGED": 1}.items():
            self._small.enter_context(mock.patch.object(frame_state, name, value))
        self.chunks: dict[str, bytes] = {}
        self.model: dict[Any, Counter[int]] = {}
        self.making: list[Checkpoint] = []
        self.durable: Checkpoint | None = None
        self.known: list[PartRecord] | None = None

    def teardown(self) -> None:
        self._small.close()

    @initialize(workers=st.integers(1, 5), bits=st.sampled_from([4, 64]))
    def start(self, workers: int, bits: int) -> None:
        # With four bits many keys have one hash.
        self.hash: Any = lambda frame, key: hash_frame(frame, key) & np.uint64(2**64 - 2 ** (64 - bits))
        self._small.enter_context(mock.patch.object(sorted_rows, "hash_frame", self.hash))
        self.states = [FrameState("state", SCHEMA, KEY) for _ in range(workers)]

    # -- changes -------------------------------------------------------------------------------------------------------

    def _shares(self, frame: pl.DataFrame) -> list[pl.DataFrame]:
        to = pl.Series(owners(self.hash(frame, KEY), len(self.states)))
        return [frame.filter(to == worker) for worker in range(len(self.states))]

    @rule(rows=lists_of_rows)
    def put(self, rows: list[Any]) -> None:
        for state, share in zip(self.states, self._shares(frame_of(rows)), strict=True):
            state.put(share)
        for key, _ in rows:
            self.model[key] = Counter()
        self._count(rows)

    @rule(rows=lists_of_rows)
    def add(self, rows: list[Any]) -> None:
        for state, share in zip(self.states, self._shares(frame_of(rows)), strict=True):
            state.add(share)
        self._count(rows)

    @rule(asked=lists_of_keys)
    def delete(self, asked: list[Any]) -> None:
        for state, share in zip(self.states, self._shares(frame_of([(key, 0) for key in asked])), strict=True):
            state.delete(share)
        for key in asked:
            self.model.pop(key, None)

    def _count(self, rows: list[Any]) -> None:
        for key, value in rows:
            self.model.setdefault(key, Counter())[value] += 1

    @rule(asked=lists_of_keys)
    def get(self, asked: list[Any]) -> None:
        shares = self._shares(frame_of([(key, 0) for key in asked]).select("word", "number"))
        found = [state.get(share) for state, share in zip(self.states, shares, strict=True)]
        assert content_of(found) == {key: self.model[key] for key in set(asked) if self.model.get(key)}

    # -- checkpoints ---------------------------------------------------------------------------------------------------

    @rule()
    def capture(self) -> None:
        content = {key: Counter(counts) for key, counts in self.model.items() if counts}
        self.making.append(Checkpoint([state.capture() for state in self.states], content, []))

    @precondition(lambda self: self.making and not self.making[-1].records)
    @rule()
    def write(self) -> None:
        point = self.making[-1]
        for worker, capture in enumerate(point.captures):
            snapshot = Snapshot(worker, len(self.states), 1, states={NAME: StateCapture(1, capture)})
            point.records.append(write_part(snapshot, self._put, self.known[worker] if self.known else None))

    def _put(self, datas: Any) -> list[str]:
        names = []
        for data in datas:
            names.append(sha256(data).hexdigest())
            self.chunks[names[-1]] = data
        return names

    @precondition(lambda self: any(point.records for point in self.making))
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        """What was begun before, and is not durable, was given up."""
        point = data.draw(st.sampled_from([point for point in self.making if point.records]))
        self.making = self.making[self.making.index(point) + 1 :]
        self.durable, self.known = point, point.records
        for state, capture in zip(self.states, point.captures, strict=True):
            state.committed(capture)

    @rule()
    def forget(self) -> None:
        self.making, self.known = [], None
        for state in self.states:
            state.forget()
        self.capture()
        self.write()

    @precondition(lambda self: self.durable is not None)
    @rule(workers=st.integers(1, 5))
    def restore(self, workers: int) -> None:
        assert self.durable is not None
        self.states = [FrameState("state", SCHEMA, KEY) for _ in range(workers)]
        for worker, state in enumerate(self.states):
            parts = [read_part(record, self._get, worker, workers) for record in self.durable.records]
            pieces = [piece for part in parts if NAME in part.states for piece in part.states[NAME][1]]
            state.restore(Share(1, pieces, worker, workers))
        self.model = {key: Counter(counts) for key, counts in self.durable.content.items()}
        self.making, self.known = [], None

    def _get(self, names: Any) -> list[bytes]:
        return [self.chunks[name] for name in names]

    # -- laws ----------------------------------------------------------------------------------------------------------

    @invariant()
    def holds_what_the_dict_holds(self) -> None:
        found = content_of([state.to_frame() for state in self.states])
        assert found == {key: counts for key, counts in self.model.items() if counts}


def frame_of(rows: list[Any]) -> pl.DataFrame:
    data = [(word, value, number) for (word, number), value in rows]
    return pl.DataFrame(data, schema=SCHEMA, orient="row")


def content_of(frames: list[pl.DataFrame]) -> dict[Any, Counter[int]]:
    found: dict[Any, Counter[int]] = {}
    for frame in frames:
        for word, value, number in frame.select(*SCHEMA).rows():
            found.setdefault((word, number), Counter())[value] += 1
    return found


TestSpreadState = SpreadState.TestCase
