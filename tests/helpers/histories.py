"""Histories of changes as strategies: what fails shrinks to the few changes that matter.

A history is a list of epochs, each a list of ``(a, b, diff)`` of small integers. Rows are inserted (also more than
once), taken away as often as they are there or less, brought back, or come and go within an epoch; epochs may be
empty; ``a`` may be ``b``, which is a loop where rows are edges. No row is ever there less than zero times.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from enum import Enum

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.helpers.collections import Epoch, History

WORKERS = st.sampled_from([1, 2, 3, 5])
SEEDS = st.integers(0, 1 << 16)
"""Decide the interleavings."""


EPOCHS = 8
"""A history has at most so many."""


class Change(Enum):
    """What happens to a row."""

    COMES = "comes"
    GOES = "goes"
    RETURNS = "returns"
    COMES_AND_GOES = "comes and goes"


_IN_CI = os.environ.get("HYPOTHESIS_PROFILE", "ci") == "ci"

patient = pytest.mark.timeout(900 if _IN_CI else 0)
"""Shrinking takes long, and any other profile as long as it takes."""


def examples(in_ci: int, *, times: int = 1) -> settings:
    """So many examples in CI's profile; any other's number is its own, or some times that."""
    profile = settings()
    count = in_ci if _IN_CI else times * profile.max_examples
    return settings(
        profile, max_examples=count, suppress_health_check=[*HealthCheck]
    )  # a run of a cluster is slow, and large


@dataclass
class _State:
    """What is there and what was there."""

    there: Counter[tuple[int, int]]
    gone: set[tuple[int, int]]

    def apply(self, change: Change, row: tuple[int, int], times: int) -> Epoch:
        if change is Change.COMES_AND_GOES:
            return [(*row, times), (*row, -times)]
        if change is Change.GOES and self.there:
            row = _one_of(self.there, row)
            diff = -min(times, self.there[row])
            self.gone.add(row)
        else:
            row = _one_of(self.gone, row) if change is Change.RETURNS and self.gone else row
            diff = times
        self.there[row] += diff
        self.there = +self.there
        return [(*row, diff)]


def _one_of(rows: Counter[tuple[int, int]] | set[tuple[int, int]], near: tuple[int, int]) -> tuple[int, int]:
    """The row itself if it is among them, else the next one."""
    ordered = sorted(rows)
    return next((row for row in ordered if row >= near), ordered[0])


@st.composite
def histories(draw: st.DrawFn, epochs: int, nodes: int = 5, start: int = 0, changes: int = 5) -> History:
    """A history of so many epochs.

    Args:
        draw: Hypothesis's.
        epochs: How many.
        nodes: How many values `a` and `b` have.
        start: At least so many rows are inserted in the first epoch.
        changes: How many changes an epoch has at most.
    """
    node = st.integers(0, nodes - 1)
    row, times = st.tuples(node, node), st.sampled_from([1, 1, 1, 2])
    state = _State(Counter(), set())
    history: History = []
    if start:
        first = draw(st.lists(row, min_size=start, max_size=start))
        history.append([change for each in first for change in state.apply(Change.COMES, each, 1)])
    kinds = st.sampled_from([Change.COMES, Change.COMES, Change.GOES, Change.GOES, Change.RETURNS, *Change])
    for _ in range(epochs - len(history)):
        # Their number is drawn first: hypothesis makes lists of any length, and mostly short ones of a few examples.
        drawn = [draw(st.tuples(kinds, row, times)) for _ in range(draw(st.integers(0, changes)))]
        history.append([change for each in drawn for change in state.apply(*each)])
    return history


@st.composite
def pairs(draw: st.DrawFn, fewest: int = 1, nodes: int = 5) -> tuple[History, History]:
    """Two histories of as many epochs, at least ``fewest``: a left and a right side."""
    length = draw(st.integers(fewest, EPOCHS))
    return draw(histories(length, nodes)), draw(histories(length, nodes))


@st.composite
def graphs(draw: st.DrawFn) -> tuple[History, History]:
    """Edges, of graphs from sparse to dense, and a history of few further rows."""
    length = draw(st.integers(1, EPOCHS))
    nodes, density = draw(st.sampled_from([4, 7, 10])), draw(st.integers(0, 3))
    edges = draw(histories(length, nodes, start=density * nodes, changes=8))
    return edges, draw(histories(length, nodes, start=draw(st.integers(0, 2))))
