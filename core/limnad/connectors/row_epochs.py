"""Epochs of sources that count rows: streams and topics."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from limnad.connectors.epochs import EpochRule, by_time
from limnad.errors import InputError
from limnad.timely.source import Cut, Position


class RowEpochs:
    """The epochs of all partitions of a source.

    Args:
        rule: `by_rows` or `by_time`; None: an epoch each second.

    Raises:
        InputError: The rule is one of files.
    """

    def __init__(self, rule: EpochRule | None) -> None:
        self.rule = rule or by_time(1.0)
        self.zero_s = math.inf
        if self.rule.by_file or self.rule.size_bytes:
            raise InputError("a stream has no files and counts no bytes: use by_rows() or by_time()")

    @property
    def timed(self) -> bool:
        """See `limnad.timely.source.TimedSource`."""
        return self.rule.seconds > 0

    def stands_at(self, epoch: int) -> None:
        """Some partition is at that epoch: the clock counts from there on, for all of them."""
        self.zero_s = min(self.zero_s, self.rule.clock() - epoch * self.rule.seconds)


class PartitionEpochs:
    """Where one partition stands.

    Args:
        source: The epochs of its source.
        position: Of its reader: ``rows`` and ``epoch`` are from here.

    Attributes:
        rows: How many have been read.
        epoch: Of the newest.
    """

    def __init__(self, source: RowEpochs, position: Position | None) -> None:
        self.rows = 0 if position is None else int(position["rows"])
        self.epoch = 0 if position is None else int(position["epoch"])
        self._source = source
        self._cuts: deque[Cut] = deque()
        self._begun = self.epoch
        source.stands_at(self.epoch)

    def repeat(self, cuts: Sequence[Cut]) -> None:
        """See `limnad.timely.source.TimedReader`."""
        self._cuts.extend(cuts)

    def next(self) -> int:
        """The epoch of the row that is read next."""
        while self._cuts and (cut := self._cuts[0]).epoch is not None and self.rows >= cut.position["rows"]:
            self._begun = cut.epoch
            self._cuts.popleft()
            self._source.stands_at(cut.epoch)
        epoch = max(self.epoch, self._begun)
        return epoch if self._cuts else self._source.rule.epoch(0, self.rows, epoch, self._source.zero_s)

    def room(self, most: int) -> int:
        """How many rows, ``most`` at most, belong to the same epoch as the next."""
        if self._cuts and self._cuts[0].epoch is not None:
            most = min(most, self._cuts[0].position["rows"] - self.rows)
        each = self._source.rule.rows
        return min(most, each - self.rows % each) if each else most

    def read(self, epoch: int, rows: int) -> None:
        """So many rows of that epoch have been read."""
        self.epoch = epoch
        self.rows += rows

    def position(self) -> Position:
        """Its part of the reader's."""
        return {"rows": self.rows, "epoch": self.epoch}
