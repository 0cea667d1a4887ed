"""The laws of global accumulation, for any updates in any order."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from limnad.cluster.coordinator import Accumulator
from limnad.cluster.effects import Progress
from limnad.timely.tracker import Update

WORKERS = 3
updates = st.lists(
    st.tuples(st.integers(0, 1), st.tuples(st.integers(0, 1)), st.sampled_from([-1, 1])), min_size=1, max_size=4
)
arrivals = st.lists(st.tuples(st.integers(0, WORKERS - 1), updates, st.booleans()), max_size=30)


def counted(changes: list[Update]) -> Counter[Any]:
    counts: Counter[Any] = Counter()
    for location, time, delta in changes:
        counts[location, time] += delta
    return Counter({place: count for place, count in counts.items() if count})


def least(counts: Counter[Any]) -> list[Any]:
    there = [place for place, count in counts.items() if count > 0]
    return [(at, time) for at, time in there if not any(other < time for where, other in there if where == at)]


@given(arrivals)
def test_what_is_told_and_what_is_held_is_all_that_came_and_nothing_that_is_over_is_held(
    later: list[tuple[int, list[Update], bool]],
) -> None:
    accumulator = Accumulator(generation=1, workers=WORKERS)
    came: list[Update] = []
    told: list[Progress] = []
    sequences = [0] * WORKERS
    sending = False
    initial: list[tuple[int, list[Update], bool]] = [
        (worker, [(worker % 2, (0,), 1)], True) for worker in range(WORKERS)
    ]
    for worker, changes, goes_out in initial + later:
        message = accumulator.arrived(worker, Progress(sequences[worker], changes, 0))
        sequences[worker] += 1
        came += changes
        assert message is None or not sending
        while message is not None or (sending and goes_out):
            told += [message] if message is not None else []
            message = accumulator.sent() if goes_out else None
            sending = message is not None or not goes_out
        assert bool(told) == (0 not in sequences)
        known = [update for each in told for update in each.updates]
        assert counted([*known, *accumulator.held]) == counted(came)
        if told and not sending:
            assert all(counted(came)[place] > 0 for place in least(counted(known)))
    assert [message.sequence for message in told] == list(range(len(told)))
