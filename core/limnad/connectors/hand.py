"""Inputs that are fed by hand: by a driver program, a client, or a test."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import polars as pl

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


class HandReader:
    """Gives on, in order, what it is handed.

    An epoch exists when something was handed in for it (an empty batch too) or when it was ended by `advance_to`.
    """

    def __init__(self, schema: pl.Schema | None, position: Position | None = None) -> None:
        self._schema = schema
        self._waiting: deque[Answer] = deque()
        self._epoch = 0 if position is None else int(position["epoch"])
        self._given = 0 if position is None else int(position["batches"])
        self._used = False
        self._closed = False

    @property
    def epoch(self) -> int:
        """The open epoch."""
        return self._epoch

    def on_next(self, batch: Any) -> None:
        """Rows of the open epoch.

        Raises:
            ValueError: The input is closed, or the batch is not of its schema.
        """
        self._check_open()
        self._used = True
        self._waiting.append(Rows(self._epoch, self._checked(batch)))

    def advance_to(self, epoch: int) -> None:
        """Ends all epochs before this one.

        Raises:
            ValueError: The input is closed, or already at or beyond that epoch.
        """
        self._check_open()
        if epoch <= self._epoch:
            raise ValueError(f"cannot advance to epoch {epoch}: the input is at epoch {self._epoch} already")
        self._epoch, self._used = epoch, False
        self._waiting.append(Rows(epoch))

    def close(self) -> None:
        """No more rows; ends the open epoch."""
        if not self._closed:
            self._closed = True
            self._waiting.append(End(self._epoch + self._used))

    def read(self) -> Answer:
        """See `limnad.timely.source.Reader`."""
        if not self._waiting:
            return Idle()
        self._given += 1
        return self._waiting.popleft()

    def position(self) -> Position:
        """See `limnad.timely.source.Reader`."""
        return {"epoch": self._epoch, "batches": self._given}

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the input is closed: no rows can follow")

    def _checked(self, batch: Any) -> Any:
        if self._schema is None:
            if isinstance(batch, pl.DataFrame):
                raise ValueError("this input takes lists of records; give flow.input() a schema to feed it frames")
            return list(batch)
        if not isinstance(batch, pl.DataFrame):
            batch = pl.DataFrame(batch, schema=self._schema, orient="row")
        if batch.schema != self._schema:
            raise ValueError(f"the batch has the schema {dict(batch.schema)}, the input {dict(self._schema)}")
        return batch
