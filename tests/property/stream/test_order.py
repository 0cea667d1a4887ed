"""The order of records is a function of which they are, not of how they came."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from limnad.stream.operators.ordering import in_order

PLAIN = st.integers(-2, 2) | st.none() | st.sampled_from([0.5, float("nan"), "a", "b"])
RECORDS = PLAIN | st.tuples(PLAIN, PLAIN) | st.frozensets(st.integers(0, 2)) | st.lists(PLAIN, max_size=2)


@given(st.lists(RECORDS, max_size=6).flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))))
def test_any_permutation_has_the_same_order(both: tuple[list[Any], list[Any]]) -> None:
    rows, permuted = both
    assert repr(in_order(rows)) == repr(in_order(permuted))


@given(st.lists(st.integers()) | st.lists(st.tuples(st.text(), st.integers())))
def test_what_can_be_sorted_is(rows: list[Any]) -> None:
    assert in_order(rows) == sorted(rows)
