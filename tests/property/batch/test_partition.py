from typing import Any

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from limnad.batch import key_group, owners, split_frame, split_records, worker_of, workers_of

hashes = st.lists(st.integers(0, 2**64 - 1), max_size=50).map(lambda values: np.array(values, np.uint64))
group_counts = st.integers(1, 65_536)


@given(hashes, group_counts)
def test_a_key_group_is_the_hash_scaled_down(values: Any, key_groups: Any) -> None:
    expected = [(value >> 32) * key_groups >> 32 for value in values.tolist()]
    assert key_group(values, key_groups).tolist() == expected
    assert all(group < key_groups for group in expected)


@given(hashes, st.integers(1, 32_768))
def test_twice_the_groups_split_each_in_two(values: Any, key_groups: Any) -> None:
    assert (key_group(values, 2 * key_groups) >> 1).tolist() == key_group(values, key_groups).tolist()


@given(group_counts, st.data())
def test_workers_own_even_contiguous_ranges(key_groups: Any, data: Any) -> None:
    workers = data.draw(st.integers(1, min(key_groups, 1_000)))
    owner = workers_of(np.arange(key_groups, dtype=np.uint16), workers, key_groups)
    steps = np.diff(owner.astype(np.int64))
    sizes = np.bincount(owner, minlength=workers)
    assert ((steps == 0) | (steps == 1)).all()
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 1
    group = data.draw(st.integers(0, key_groups - 1))
    assert owner[group] == worker_of(group, workers, key_groups)


@given(hashes, st.integers(1, 12), st.integers(12, 65_536), st.lists(st.integers(0, 65_535), max_size=12))
def test_owners_are_the_workers_of_the_key_groups(values: Any, workers: int, key_groups: int, near: Any) -> None:
    borders = [-(-(group % key_groups << 32) // key_groups) << 32 for group in near]
    at_borders = [min(max(border + step, 0), 2**64 - 1) for border in borders for step in (-1, 0, 1)]
    every = np.concatenate([values, np.array(at_borders, np.uint64)])
    expected = workers_of(key_group(every, key_groups), workers, key_groups)
    assert owners(every, workers, key_groups).tolist() == expected.tolist()


@given(st.integers(1, 70), st.data())
def test_parts_are_the_rows_in_order(workers: Any, data: Any) -> None:
    destinations = data.draw(st.lists(st.integers(0, workers - 1), max_size=60))
    records = list(range(len(destinations)))
    expected = [[record for record in records if destinations[record] == worker] for worker in range(workers)]
    array = np.array(destinations, np.uint8)
    assert [part or [] for part in split_records(records, array, workers)] == expected
    frame = pl.DataFrame({"a": records}, schema={"a": pl.Int64})
    assert [[] if part is None else part["a"].to_list() for part in split_frame(frame, array, workers)] == expected
