"""Inputs that are fed by hand: by a driver program, a client, or a test."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from limnad.batch import size_bytes
from limnad.timely.source import Answer, End, Idle, Position, Rows


class HandFed:
    """A source with one partition whose rows are handed to its reader, `HandReader`.

    Args:
        schema: Of its frames; None where it takes lists of records.
    """

    def __init__(self, schema: pl.Schema | None = None) -> None:
        self.schema = schema

    def partitions(self) -> Sequence[str]:
        """See `limnad.timely.source.Source`."""
        return ["by hand"]

    def open(self, partition: str, position: Position | None) -> HandReader:
        """See `limnad.timely.source.Source`."""
        del partition
        return HandReader(self.schema, position)

    def describe(self) -> str:
        """See `limnad.timely.source.Source`."""
        return "by hand"


@dataclass(frozen=True, slots=True)
class _Standing:
    """Where a reader stands.

    Attributes:
        offset: How many times it was fed.
        epoch: The open epoch.
        used: Whether something was handed in for it.
    """

    offset: int = 0
    epoch: int = 0
    used: bool = False


class HandReader:
    """Gives on, in order, what it is handed.

    An epoch exists when something was handed in for it (an empty batch too) or when it was ended by `advance_to`.

    Law: a reader that is opened at the `position` of another one, and fed what that one was fed from the offset of the
    position on, gives what that one had not given yet. Each of `on_next`, `advance_to`, `reopen` and the first `close`
    counts as one offset.
    """

    def __init__(self, schema: pl.Schema | None, position: Position | None = None) -> None:
        self._schema = schema
        self._waiting: deque[tuple[Answer, _Standing]] = deque()
        self._fed = self._read = _Standing() if position is None else _Standing(**position)
        self._closed = False
        self._waiting_bytes = 0

    @property
    def epoch(self) -> int:
        """The open epoch."""
        return self._fed.epoch

    @property
    def waiting_bytes(self) -> int:
        """How much it was fed that it has not given yet."""
        return self._waiting_bytes

    @property
    def offset(self) -> int:
        """How many times it was fed, those times included that its position counted."""
        return self._fed.offset

    def on_next(self, batch: Any) -> None:
        """Rows of the open epoch.

        Raises:
            ValueError: The input is closed, or the batch is not of its schema.
        """
        checked = self.check_rows(batch)
        self._feed(Rows(self._fed.epoch, checked), replace(self._fed, used=True))

    def advance_to(self, epoch: int) -> None:
        """Ends all epochs before this one.

        Raises:
            ValueError: The input is closed, or already at or beyond that epoch.
        """
        self.check_epoch(epoch)
        self._feed(Rows(epoch), replace(self._fed, epoch=epoch, used=False))

    def close(self) -> None:
        """No more rows; ends the open epoch."""
        if not self._closed:
            self._closed = True
            self._feed(End(self._fed.epoch + self._fed.used), self._fed)

    def reopen(self, epoch: int) -> None:
        """An end was taken back, before anybody read it here: goes on at that epoch, or at a later one if it is there.

        Raises:
            ValueError: The input is closed.
        """
        self.check_open()
        ahead = epoch > self._fed.epoch
        self._feed(
            Rows(max(epoch, self._fed.epoch)), replace(self._fed, epoch=epoch, used=False) if ahead else self._fed
        )

    def read(self) -> Answer:
        """See `limnad.timely.source.Reader`."""
        if not self._waiting:
            return Idle()
        answer, self._read = self._waiting.popleft()
        self._waiting_bytes -= _size(answer)
        return answer

    def position(self) -> Position:
        """See `limnad.timely.source.Reader`."""
        return {"offset": self._read.offset, "epoch": self._read.epoch, "used": self._read.used}

    # -- what would be refused -----------------------------------------------------------------------------------------

    def check_open(self) -> None:
        """Changes nothing.

        Raises:
            ValueError: The input is closed.
        """
        if self._closed:
            raise ValueError("the input is closed: no rows can follow")

    def check_epoch(self, epoch: int) -> None:
        """Changes nothing.

        Raises:
            ValueError: See `advance_to`.
        """
        self.check_open()
        if epoch <= self._fed.epoch:
            raise ValueError(f"cannot advance to epoch {epoch}: the input is at epoch {self._fed.epoch} already")

    def check_rows(self, batch: Any) -> Any:
        """Changes nothing; returns the batch as the input takes it.

        Raises:
            ValueError: See `on_next`.
        """
        self.check_open()
        if self._schema is None:
            if isinstance(batch, pl.DataFrame):
                raise ValueError("this input takes lists of records; give flow.input() a schema to feed it frames")
            return list(batch)
        if not isinstance(batch, pl.DataFrame):
            batch = pl.DataFrame(batch, schema=self._schema, orient="row")
        if batch.schema != self._schema:
            raise ValueError(f"the batch has the schema {dict(batch.schema)}, the input {dict(self._schema)}")
        return batch

    def _feed(self, answer: Answer, after: _Standing) -> None:
        self._fed = replace(after, offset=after.offset + 1)
        self._waiting.append((answer, self._fed))
        self._waiting_bytes += _size(answer)


def _size(answer: Answer) -> int:
    return size_bytes(answer.batch) if isinstance(answer, Rows) else 0
