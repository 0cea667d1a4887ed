"""Functions by key with state and timers: MillWheel's computations, on the frontier.

A key's function is given its rows of an epoch when that is complete, then the timers that the epoch's watermark has
reached. What it keeps and the timers it has set are one value by key, so that either both or neither survive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Final, NamedTuple

import polars as pl

from limnad import KeyedState, StateError, TimeError
from limnad.stream.operators.per_time import PerTime
from limnad.timely.state import undeclared
from limnad.windows.axis import TimeAxis
from limnad.windows.watermarks import FOREVER, LOWEST, Marks

Key = tuple[Any, ...]
EVENT: Final = 0
PROCESSING: Final = 1

CANCELLED: Final = 1_000
"""Up to so many cancelled timers wait until they would have been due; more, if they are fewer than the others."""

MOST_AT_END: Final = 10_000
"""How many timers of a key fire after the end of the inputs: more are taken for timers that set each other for ever."""


class KeyedFunction:
    """What is done for each key. One object serves all keys of a worker: what is kept goes into ``key.state``.

    What a function does must depend only on what it is given.
    """

    def on_rows(self, key: KeyContext, rows: list[dict[str, Any]]) -> None:
        """The rows of a key in one epoch, by their time and then by their other columns; late ones too.

        The timers that the watermark of the epoch before had reached have fired. After the call those fire that this
        epoch's has reached.
        """
        raise NotImplementedError(f"{type(self).__name__} does not override on_rows")

    def on_timer(self, key: KeyContext, time: Any) -> None:
        """A timer of the key is due, by the watermark or at the end: no row before ``time`` will come but late ones."""
        raise NotImplementedError(f"{type(self).__name__} calls set_timer but does not override on_timer")

    def on_clock(self, key: KeyContext, time: Any) -> None:
        """A tick has reached a timer of the key in processing time."""
        raise NotImplementedError(f"{type(self).__name__} calls set_clock_timer but does not override on_clock")


class _Kept(NamedTuple):
    """What there is of a key: the user's state, its timers by kind."""

    state: Any = None
    timers: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())


class KeyContext:
    """One key during a callback.

    Attributes:
        key: The values of its columns.
        state: What is kept for it; None at first, and again when there is nothing to be kept. A value is never changed
            in place: put a new one.
    """

    def __init__(self, vertex: KeyedProcess, key: Key, kept: _Kept) -> None:
        self.key = key
        self.state = kept.state
        self._vertex = vertex
        self._timers = [set(timers) for timers in kept.timers]
        self.firing: tuple[int, int] | None = None

    @property
    def watermark(self) -> Any:
        """In `KeyedFunction.on_rows` that of the epoch before, else that of this epoch; None: none yet.

        A row of an earlier time is late.
        """
        return self._vertex.watermark(EVENT)

    @property
    def clock(self) -> Any:
        """What the newest tick said: of the epoch before in `KeyedFunction.on_rows`, else of this epoch; None: none."""
        return self._vertex.watermark(PROCESSING)

    @property
    def ended(self) -> bool:
        """Whether all inputs have ended: all timers fire, and `watermark` stays that of the last epoch."""
        return self._vertex.ended

    def emit(self, *values: Any, **columns: Any) -> None:
        """Sends a row: its values in the order of the columns, or all of them by name."""
        self._vertex.emit(values, columns)

    def set_timer(self, time: Any) -> None:
        """Asks for `KeyedFunction.on_timer` when the watermark reaches ``time``; at once if it has.

        When all inputs have ended, those fire that have not, in the order of their times, and those that these set.

        Raises:
            TimeError: Within `on_timer`, a time not behind its own: it would go on for ever. So it is said, too, of
                timers that go on setting the next one when `ended`.
        """
        self._set(EVENT, time)

    def cancel_timer(self, time: Any) -> None:
        """Takes back a `set_timer`, if there was one."""
        self._cancel(EVENT, time)

    def set_clock_timer(self, time: Any) -> None:
        """Asks for `KeyedFunction.on_clock` when a tick reaches ``time``. Errors: as for `set_timer`.

        The end of the inputs is no tick: what no tick has reached by then does not fire.

        Raises:
            StateError: The operator was given no ticks.
        """
        if len(self._vertex.axes) == 1:
            raise StateError("there is no processing time here: give process() ticks=ticks(flow, every=...)")
        self._set(PROCESSING, time)

    def cancel_clock_timer(self, time: Any) -> None:
        """Takes back a `set_clock_timer`, if there was one."""
        self._cancel(PROCESSING, time)

    def _cancel(self, kind: int, time: Any) -> None:
        due = self._vertex.axes[kind].units_of(time)
        if due in self._timers[kind]:
            self._timers[kind].remove(due)
            self._vertex.cancelled[kind] += 1

    def _set(self, kind: int, time: Any) -> None:
        due = self._vertex.axes[kind].units_of(time)
        if self.firing is not None and self.firing[0] == kind and due <= self.firing[1]:
            raise TimeError(
                f"key {self.key} set a timer at {time} while a later or equal one fired: it would never end"
            )
        if due not in self._timers[kind]:
            self._timers[kind].add(due)
            self._vertex.schedule(kind, due, self.key)

    def kept(self) -> _Kept:
        """What there is of the key now."""
        event, processing = map(frozenset, self._timers)
        return _Kept(self.state, (event, processing))


class KeyedProcess(PerTime):
    """Calls a function for the rows and timers of each key.

    Port 0: rows, by key. Port 1: marks of event time, and of ticks where there are any. State: one value by key.

    Args:
        empty: Rows without any row.
        by: The columns of the key.
        time: That of the event time.
        make: Makes the function.
        schema: Of what is emitted.
        axes: Of event times, and of ticks where there are any.

    Attributes:
        ended: Whether all inputs have ended.
        cancelled: How many timers were taken back since those were last swept out, by kind.
    """

    def __init__(
        self,
        empty: pl.DataFrame,
        by: Sequence[str],
        time: str,
        make: Callable[[], KeyedFunction],
        schema: pl.Schema,
        axes: Sequence[TimeAxis],
    ) -> None:
        super().__init__([empty, []], self._advance)
        self.axes = axes
        self._by, self._time, self._schema = list(by), time, schema
        self._function = make()
        if found := undeclared(self._function):
            raise StateError(
                f"{type(self._function).__name__} keeps self.{found[0]}, which a checkpoint would lose: keep what "
                "belongs to a key in key.state"
            )
        self._kept = KeyedState[Key, Any]("keys")
        self._heaps: list[list[tuple[int, int, Key]]] = [[] for _ in axes]
        self._numbers = count()
        self.cancelled = [0 for _ in axes]
        self._watermarks = [LOWEST for _ in axes]
        self._emitted: list[Any] = []
        self.ended = False

    def on_start(self) -> None:
        """See `Vertex.on_start`."""
        for key, kept in self._kept.items():
            for kind, timers in enumerate(_Kept(*kept).timers[: len(self.axes)]):
                self._heaps[kind] += [(due, next(self._numbers), key) for due in timers]
        for heap in self._heaps:
            heapify(heap)

    def watermark(self, kind: int) -> Any:
        """See `KeyContext`."""
        units = self._watermarks[kind] if kind < len(self.axes) else LOWEST
        return None if units == LOWEST else self.axes[kind].value(units)

    def emit(self, values: Sequence[Any], columns: dict[str, Any]) -> None:
        """See `KeyContext.emit`."""
        names = self._schema.names()
        row = [columns[name] for name in names] if columns and columns.keys() == set(names) else list(values)
        if len(row) != len(names) or (columns and values):
            raise TypeError(
                f"{type(self._function).__name__} emits rows of {', '.join(names)}, not {values or columns}"
            )
        self._emitted.append(row)

    def schedule(self, kind: int, due: int, key: Key) -> None:
        """A timer was set."""
        heappush(self._heaps[kind], (due, next(self._numbers), key))

    def _advance(self, rows: pl.DataFrame, marks: Marks) -> pl.DataFrame:
        values = marks[0][2:]
        self._watermarks = list(values[0::2])
        self._emitted = []
        for key, of_key in self._by_key(rows):
            context = self._of(key)
            self._function.on_rows(context, of_key)
            self._keep(context)
        if values[1] == FOREVER:
            self._end()
        else:
            self._watermarks = list(values[1::2])
        while (kind := self._due()) is not None:
            due, _, key = heappop(self._heaps[kind])
            self._fire(kind, due, key)
        for kind, heap in enumerate(self._heaps):
            if self.cancelled[kind] > max(CANCELLED, len(heap) // 2):
                self._sweep(kind)
        return pl.DataFrame(self._emitted, schema=self._schema, orient="row")

    def _sweep(self, kind: int) -> None:
        """Forgets what was cancelled: a key that puts its timer off with each row has one, not one for each row."""
        waiting: dict[tuple[int, Key], int] = {}
        for due, number, key in sorted(self._heaps[kind]):
            if due in _Kept(*self._kept.get(key, ())).timers[kind]:
                waiting.setdefault((due, key), number)
        self._heaps[kind] = [(due, number, key) for (due, key), number in waiting.items()]  # Sorted, so a heap.
        self.cancelled[kind] = 0

    def _end(self) -> None:
        """All event time is over; the clock does not jump."""
        self.ended = True
        fired: Counter[Key] = Counter()
        while self._heaps[EVENT]:
            due, _, key = heappop(self._heaps[EVENT])
            fired[key] += 1
            if fired[key] > MOST_AT_END:
                raise TimeError(
                    f"key {key} had {MOST_AT_END:,} timers fire after the inputs' end, each set by the one before: it "
                    "would never end; do not set a timer again where key.ended is true"
                )
            self._fire(EVENT, due, key)

    def _by_key(self, rows: pl.DataFrame) -> Iterator[tuple[Key, list[dict[str, Any]]]]:
        ordered = rows.sort(self._time, *(name for name in rows.columns if name != self._time))
        found: dict[Key, list[dict[str, Any]]] = {}
        for row in ordered.iter_rows(named=True):
            found.setdefault(tuple(row[name] for name in self._by), []).append(row)
        yield from found.items()

    def _due(self) -> int | None:
        """The kind of a timer that is due: event time first."""
        for kind, heap in enumerate(self._heaps):
            if heap and heap[0][0] <= self._watermarks[kind]:
                return kind
        return None

    def _fire(self, kind: int, due: int, key: Key) -> None:
        context = self._of(key)
        if due not in context._timers[kind]:  # Cancelled, or in the heap twice.
            return
        context._timers[kind].discard(due)
        context.firing = (kind, due)
        call = self._function.on_timer if kind == EVENT else self._function.on_clock
        call(context, self.axes[kind].value(due))
        self._keep(context)

    def _of(self, key: Key) -> KeyContext:
        return KeyContext(self, key, _Kept(*self._kept.get(key, ())))

    def _keep(self, context: KeyContext) -> None:
        kept = context.kept()
        if kept != _Kept():
            self._kept[context.key] = tuple(kept)
        elif context.key in self._kept:
            del self._kept[context.key]
