from typing import Any

import numpy as np
import polars as pl
import pytest

from limnad.batch import hash_series, key_group, split_frame, split_records, worker_of, workers_of


def test_default_key_groups_are_the_top_byte() -> None:
    hashes = hash_series(pl.Series(range(1000)))
    assert key_group(hashes).tolist() == (hashes >> np.uint64(56)).tolist()


def test_the_hashes_are_left_alone() -> None:
    hashes = hash_series(pl.Series(range(10)))
    before = hashes.tolist()
    key_group(hashes, 7)
    assert hashes.tolist() == before


@pytest.mark.parametrize("key_groups", [0, -1, 65_537])
def test_impossible_numbers_of_key_groups_are_refused(key_groups: Any) -> None:
    with pytest.raises(ValueError, match=r"1\.\.65536"):
        key_group(np.zeros(1, np.uint64), key_groups)


@pytest.mark.parametrize("workers", [0, 5])
def test_more_workers_than_key_groups_are_refused(workers: Any) -> None:
    with pytest.raises(ValueError, match="cannot share 4 key groups"):
        workers_of(np.zeros(1, np.uint16), workers, 4)


def test_a_rescale_by_one_moves_about_half_of_the_groups_at_most() -> None:
    """Contiguous ranges: n to n + 1 workers moves half of the groups; a modulus would move n / (n + 1) of them."""
    for workers in range(1, 32):
        moved = sum(worker_of(group, workers) != worker_of(group, workers + 1) for group in range(256))
        assert moved <= 256 * 0.6


@pytest.mark.parametrize("workers", [2, 4, 5, 300])
@pytest.mark.parametrize("rows", [7, 1_000, 120_000])
def test_every_technique_splits_alike(rows: Any, workers: Any) -> None:
    destinations = (
        np.random.default_rng(rows).integers(0, workers, rows).astype(np.uint8 if workers < 256 else np.uint16)
    )
    frame = pl.DataFrame({"a": range(rows), "s": [f"s{i}" for i in range(rows)]})
    parts = split_frame(frame, destinations, workers)
    records = split_records(frame["a"].to_list(), destinations, workers)
    assert len(parts) == len(records) == workers
    for worker, (part, values) in enumerate(zip(parts, records, strict=True)):
        expected = np.flatnonzero(destinations == worker).tolist()
        assert (values or []) == expected
        assert (part is None) == (not expected)
        assert part is None or part.equals(frame[expected])


def test_a_batch_for_one_worker_is_not_copied() -> None:
    frame = pl.DataFrame({"a": [1, 2]})
    assert split_frame(frame, np.array([1, 1], np.uint8), 3)[1] is frame
    assert split_records([1, 2], np.array([0, 0], np.uint8), 1) == [[1, 2]]


def test_empty_batches_go_nowhere() -> None:
    nothing = np.empty(0, np.uint8)
    assert split_frame(pl.DataFrame({"a": []}), nothing, 2) == [None, None]
    assert split_records([], nothing, 2) == [None, None]
    assert split_records([], nothing, 1) == [None]


@pytest.mark.parametrize(
    "split", [lambda d, w: split_frame(pl.DataFrame({"a": [1, 2]}), d, w), lambda d, w: split_records([1, 2], d, w)]
)
def test_destinations_that_do_not_fit_are_refused(split: Any) -> None:
    with pytest.raises(ValueError, match="1 destinations for 2 rows"):
        split(np.zeros(1, np.uint8), 2)
    with pytest.raises(ValueError, match="destination 2 is not one of 2 workers"):
        split(np.array([0, 2], np.uint8), 2)
