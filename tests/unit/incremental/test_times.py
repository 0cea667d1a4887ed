"""Times as arrays, and what compaction may do to them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from limnad.incremental.times import advance, before, distinct, product_antichain, to_times
from limnad.timely.timestamp import less_equal

times = st.tuples(*[st.integers(0, 4)] * 3)


@given(times, st.lists(times, min_size=1, max_size=3), st.lists(times, max_size=20))
def test_compaction_changes_nothing_for_times_that_may_come(
    past: tuple[int, ...], frontier: list[tuple[int, ...]], later: list[tuple[int, ...]]
) -> None:
    moved = advance(to_times([past]), product_antichain(frontier))
    for time in later:
        if any(less_equal(element, time) for element in frontier):
            at = to_times([time])
            assert before(to_times([past]), at) == before(moved, at)


def test_the_frontier_itself_would_not_do_for_that() -> None:
    """Counters are lexicographic for the engine: behind ``(0, 2, 5)`` there is ``(0, 3, 0)``, and the past differs."""
    past, frontier, time = (0, 1, 3), (0, 2, 5), (0, 3, 4)
    assert less_equal(frontier, time)
    moved = advance(to_times([past]), to_times([frontier]))
    assert before(to_times([past]), to_times([time])) != before(moved, to_times([time]))


@given(st.lists(times, min_size=0, max_size=20))
def test_distinct_times_are_those_of_a_set(some: list[tuple[int, ...]]) -> None:
    found, which = distinct(to_times(some) if some else np.empty((3, 0), np.int64))
    assert found == sorted(set(some))
    assert [found[place] for place in which] == some


def test_distinct_times_that_are_far_apart() -> None:
    some = [(1 << 40, 1 << 40, 0), (0, 0, 1 << 50), (0, 0, 1 << 50)]
    assert distinct(to_times(some))[0] == sorted(set(some))
