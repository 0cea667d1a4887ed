"""Ticks: a clock whose readings a replay repeats."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from limnad import InputError
from limnad.connectors.ticks import Ticks
from limnad.timely.source import Cut, End, Idle, Rows
from tests.helpers.sources import Clock, pairs, stored


def test_a_tick_is_given_when_its_time_has_come_and_epochs_go_on_with_the_clock() -> None:
    clock = Clock()
    reader = Ticks(10, clock=clock).open("clock", None)
    assert reader.read() == Idle(10)
    clock.now_s = 12
    assert reader.read() == Rows(0)  # What the clock says is part of the position now.
    given = reader.read()
    assert isinstance(given, Rows)
    assert pairs([given]) == [(1, (datetime.fromtimestamp(12, UTC),))]
    assert reader.read() == Idle(8)
    clock.now_s = 47
    reader.read()
    late = reader.read()
    assert isinstance(late, Rows)
    assert late.epoch == 4


def test_a_cut_says_what_the_clock_said() -> None:
    clock = Clock()
    source = Ticks(10, count=2, clock=clock)
    reader = source.open("clock", None)
    cuts, given = [], []
    for now_s in (11, 25):
        clock.now_s = now_s
        reader.read()
        before = stored(reader.position())
        answer = reader.read()
        assert isinstance(answer, Rows)
        cuts.append(Cut(answer.epoch, before))
        given.append(answer)
    assert isinstance(reader.read(), End)
    clock.now_s = 1_000
    for begun in range(3):
        # From the beginning, and from each cut on, as if the one before were in a checkpoint.
        again = source.open("clock", cuts[begun - 1].position if begun else None)
        behind = cuts[max(0, begun - 1) :]
        again.repeat(behind)
        repeated = [again.read() for _ in behind]
        assert pairs(repeated) == pairs(given[max(0, begun - 1) :])  # type: ignore[arg-type]
        assert isinstance(again.read(), End)


@pytest.mark.parametrize("numbers", [(0, None), (-1, None), (1, -1)])
def test_numbers_that_make_no_sense(numbers: tuple[float, int | None]) -> None:
    with pytest.raises(InputError, match="ticks need a time between them"):
        Ticks(numbers[0], count=numbers[1])
