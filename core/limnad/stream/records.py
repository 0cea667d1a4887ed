"""Streams of Python records: batches are lists, operators take Python functions.

For what expressions cannot say. Each function is called once a record, so this is the slow path; where a frame will do,
use frames.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from itertools import chain
from os.path import normpath
from typing import Any, Generic, Literal, TypeVar

import polars as pl

from limnad.connectors.exactly_once import Delivery
from limnad.connectors.options import SchemaLike
from limnad.stream.base import Stream, check_callable
from limnad.stream.frames import FrameStream
from limnad.stream.operators import keyed
from limnad.stream.operators.per_time import PerTime
from limnad.stream.operators.scan import Scan
from limnad.stream.partitions import ByKey, Routed, first
from limnad.timely.graph import GraphError, Stage

T = TypeVar("T")
U = TypeVar("U")
A = TypeVar("A")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
W = TypeVar("W")


@dataclass(frozen=True, eq=False)
class RecordStream(Stream, Generic[T]):
    """A stream whose batches are lists of Python objects.

    What crosses workers is encoded: tuples, lists, dicts, sets, strings, numbers, dates and dataclasses come out as
    they went in.
    """

    def _empty(self) -> list[T]:
        return []

    def _records(self, stage: Stage) -> RecordStream[Any]:
        return RecordStream(self.flow, stage)

    def _keyed(self, stage: Stage) -> KeyedStream[Any, Any]:
        return KeyedStream(self.flow, stage)

    # -- record by record ----------------------------------------------------------------------------------------------

    def map(self, function: Callable[[T], U]) -> RecordStream[U]:
        """``function(record)`` for each record."""
        check_callable("map", function)
        return self._records(self._transform("map", lambda records: [function(record) for record in records]))

    def flat_map(self, function: Callable[[T], Iterable[U]]) -> RecordStream[U]:
        """All that ``function(record)`` yields, for each record."""
        check_callable("flat_map", function)
        return self._records(
            self._transform("flat_map", lambda records: list(chain.from_iterable(map(function, records))))
        )

    def filter(self, predicate: Callable[[T], bool]) -> RecordStream[T]:
        """The records for which ``predicate(record)`` is true."""
        check_callable("filter", predicate)
        return self._like(self._transform("filter", lambda records: list(filter(predicate, records))))

    def key_by(self, key: Callable[[T], K]) -> KeyedStream[K, T]:
        """Pairs ``(key(record), record)``, to be grouped by key."""
        check_callable("key_by", key)
        return self._keyed(self._transform("key_by", lambda records: [(key(record), record) for record in records]))

    def map_batches(self, function: Callable[[list[T]], list[U]]) -> RecordStream[U]:
        """``function(batch)`` for each batch; what it does to a record must not depend on the others."""
        check_callable("map_batches", function)
        return self._records(self._transform("map_batches", function))

    def partition_by(self, key: Callable[[T], Hashable]) -> RecordStream[T]:
        """Records with an equal key meet at one worker, for the next operator."""
        check_callable("partition_by", key)
        return replace(self, partition=ByKey(key))

    def route(self, worker: Callable[[T], int]) -> RecordStream[T]:
        """Each record goes to the worker ``worker(record)`` (modulo their number), for the next operator.

        For vertices that know whom they send to. After a restart on another number of workers, records on their way go
        by the new number.
        """
        check_callable("route", worker)
        return replace(self, partition=Routed(worker))

    def as_keyed(self) -> KeyedStream[Any, Any]:
        """The same stream, whose records are ``(key, value)`` pairs already."""
        return self._keyed(self.stage)._like(self.stage, self.port)

    # -- by time -------------------------------------------------------------------------------------------------------

    def group_by(self, key: Callable[[T], K]) -> KeyedStream[K, list[T]]:
        """The records of each time, grouped: pairs ``(key, records)``."""
        return self.key_by(key).group()

    def distinct(self) -> RecordStream[T]:
        """The different records of each time; they must be hashable. All NaNs are one."""
        local = self._like(self._transform("distinct locally", keyed.distinct)).partition_by(_itself)
        return self._like(local._per_time("distinct", keyed.distinct, keyed.distinct))

    def count(self) -> RecordStream[int]:
        """How many records each time has: one number; times without records have none."""
        local = self._records(self._transform("count locally", lambda records: [len(records)])).to_worker(0)
        return self._records(local._per_time("count", keyed.total, keyed.total))

    def reduce(self, function: Callable[[T, T], T]) -> RecordStream[T]:
        """One record for each time: all its records, reduced by an associative and commutative function.

        It must change neither of its arguments, which a checkpoint may still be writing.
        """
        check_callable("reduce", function)

        def reduced(records: list[T]) -> list[T]:
            return keyed.reduce_all(records, function)

        local = self._like(self._transform("reduce locally", reduced)).to_worker(0)
        return self._like(local._per_time("reduce", reduced, reduced))

    def min(self, key: Callable[[T], Any] | None = None) -> RecordStream[T]:
        """The least record of each time, by ``key`` or as it is; ties by the record. NaN is it only of NaNs."""
        return self.reduce(keyed.picker(key, greatest=False))

    def max(self, key: Callable[[T], Any] | None = None) -> RecordStream[T]:
        """The greatest record of each time, by ``key`` or as it is; ties by the record. NaN is it only of NaNs."""
        return self.reduce(keyed.picker(key, greatest=True))

    def aggregate(self, zero: Callable[[], A], add: Callable[[A, T], A], merge: Callable[[A, A], A]) -> RecordStream[A]:
        """One accumulator for each time.

        Args:
            zero: Makes an empty accumulator.
            add: Adds a record to one.
            merge: Makes a new one of two; must be associative and commutative, and change neither, which a checkpoint
                may still be writing.
        """
        pairs = self._keyed(self._transform("aggregate locally", lambda rs: [(None, keyed.fold(rs, zero, add))]))
        merged = pairs.to_worker(0)._reduced("aggregate", merge)
        return merged.values()

    def _per_time(self, name: str, finish: Callable[[Any], Any], merge: Callable[[Any], Any] | None = None) -> Stage:
        return self._then(name, lambda: PerTime([[]], finish, merge), notifies=True, combine=merge)

    # -- out -----------------------------------------------------------------------------------------------------------

    def to_frames(self, schema: SchemaLike) -> FrameStream:
        """The records (tuples in the order of the columns, or dicts) as frames.

        Args:
            schema: Columns and types; a record that does not fit fails the job.
        """
        fixed = pl.Schema(schema)

        def convert(records: list[Any]) -> pl.DataFrame:
            return pl.DataFrame(records, schema=fixed, orient="row")

        return FrameStream(self.flow, self._transform("to_frames", convert), schema=fixed)

    def write_ndjson(self, path: str, *, delivery: Delivery = "eager") -> None:
        """Writes files of JSON lines below a directory, one an epoch and worker. See `FrameStream.write`."""
        from limnad.connectors.file_sink import FileTarget

        self.to_sink(f"write {normpath(path)}", lambda: FileTarget(path, "ndjson", records=True), delivery=delivery)


@dataclass(frozen=True, eq=False)
class KeyedStream(RecordStream[tuple[K, V]], Generic[K, V]):
    """A stream of ``(key, value)`` pairs."""

    def _by_key(self) -> KeyedStream[K, V]:
        return replace(self, partition=ByKey(first))

    def _reduced(self, name: str, function: Callable[[V, V], V]) -> KeyedStream[K, V]:
        def reduced(pairs: list[tuple[K, V]]) -> list[tuple[K, V]]:
            return keyed.reduce_by_key(pairs, function)

        return self._like(self._per_time(name, reduced, reduced))

    def keys(self) -> RecordStream[K]:
        """Only the keys."""
        return self.map(first)

    def values(self) -> RecordStream[V]:
        """Only the values."""
        return self.map(_second)

    def map_values(self, function: Callable[[V], W]) -> KeyedStream[K, W]:
        """``(key, function(value))``."""
        check_callable("map_values", function)
        return self._keyed(
            self._transform("map_values", lambda pairs: [(key, function(value)) for key, value in pairs])
        )

    def group(self) -> KeyedStream[K, list[V]]:
        """The values of each key and time, sorted; what does not compare, as None, in the order of its stable hash."""
        stage = self._by_key()._per_time("group_by", keyed.group)
        return self._keyed(stage)

    def reduce_by_key(self, function: Callable[[V, V], V]) -> KeyedStream[K, V]:
        """For each key and time its values, reduced by an associative and commutative function. See `reduce`."""
        check_callable("reduce_by_key", function)
        local = self._like(self._transform("reduce locally", lambda pairs: keyed.reduce_by_key(pairs, function)))
        return local._by_key()._reduced("reduce_by_key", function)

    def count_by_key(self) -> KeyedStream[K, int]:
        """How many values each key has at each time."""
        local: KeyedStream[K, int] = self._keyed(self._transform("count locally", keyed.count_by_key))
        return local._by_key()._reduced("count_by_key", _add)

    def min_by_key(self) -> KeyedStream[K, V]:
        """The least value of each key and time."""
        return self.reduce_by_key(keyed.picker(None, greatest=False))

    def max_by_key(self) -> KeyedStream[K, V]:
        """The greatest value of each key and time."""
        return self.reduce_by_key(keyed.picker(None, greatest=True))

    def aggregate_by_key(
        self, zero: Callable[[], A], add: Callable[[A, V], A], merge: Callable[[A, A], A]
    ) -> KeyedStream[K, A]:
        """One accumulator for each key and time. Arguments as for `aggregate`."""

        def folded(pairs: list[tuple[K, V]]) -> list[tuple[K, A]]:
            return keyed.fold_by_key(pairs, zero, add)

        local: KeyedStream[K, A] = self._keyed(self._transform("aggregate locally", folded))
        return local._by_key()._reduced("aggregate_by_key", merge)

    def join(
        self, other: KeyedStream[K, W], how: Literal["inner", "left", "semi", "anti"] = "inner"
    ) -> KeyedStream[K, Any]:
        """Joins pairs of each time with another stream's at the same time.

        Args:
            other: Of the same loop.
            how: ``"inner"``: ``(key, (value, other))`` for all matches; ``"left"``: also ``(key, (value, None))``
                without one; ``"semi"`` and ``"anti"``: this stream's own pairs with or without a match.
        """
        if how not in keyed.JOINS:
            raise GraphError(f"join() knows how='inner', 'left', 'semi' and 'anti', not {how!r}")
        joined = keyed.JOINS[how]
        stage = self._by_key()._then("join", lambda: PerTime([[], []], joined), other._by_key(), notifies=True)
        return self._keyed(stage)

    def scan(
        self, initial: Callable[[], A], step: Callable[[A, V], tuple[A, U]], name: str = "scan"
    ) -> KeyedStream[K, U]:
        """Carries a state for each key across times, epoch after epoch.

        Args:
            initial: Makes the state of a key that is new.
            step: Takes a key's state and a value, returns the new state and a result. It must not change the state in
                place, which a checkpoint may still be writing. The values of one epoch come in order, see `group`.
            name: The stage's name, by which its state is found again.

        Raises:
            GraphError: Inside a loop, where times come in no order.
        """
        if self.context is not None:
            raise GraphError(f"scan() inside the loop {self.context.name!r}: times come in no order there")
        stage = self._by_key()._then(name, lambda: Scan(initial, step), notifies=True)
        return self._keyed(stage)


def _itself(record: Any) -> Any:
    return record


def _second(pair: tuple[Any, V]) -> V:
    return pair[1]


def _add(left: int, right: int) -> int:
    return left + right
