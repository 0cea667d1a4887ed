"""Sources of rows that are made, not read."""

import numpy as np
import polars as pl
import pytest

from limnad.connectors import Generator, ListSource
from limnad.errors import InputError
from limnad.timely.source import End, Idle, Rows
from tests.helpers.sources import Clock, check_every_cut, epochs_of, read_all


def numbers(rng: np.random.Generator, start: int, count: int) -> pl.DataFrame:
    return pl.DataFrame({"row": np.arange(start, start + count), "x": rng.random(count)})


def test_generated_rows_depend_on_the_seed_alone() -> None:
    first, again, other = (Generator(numbers, rows=100, batch_rows=7, seed=seed) for seed in (1, 1, 2))
    assert read_all(first) == read_all(again) != read_all(other)
    assert [row for _, (row, _) in read_all(first)] == list(range(100))


def test_partitions_and_batches_draw_different_numbers() -> None:
    drawn = [x for _, (_, x) in read_all(Generator(numbers, rows=100, batch_rows=7))]
    assert len(set(drawn)) == 100


@pytest.mark.parametrize(("rows", "epochs", "partitions"), [(10, 5, 1), (100, 3, 4), (2, 5, 3), (0, 2, 2)])
def test_generated_rows_are_spread_evenly_over_epochs(rows: int, epochs: int, partitions: int) -> None:
    source = Generator(numbers, rows=rows, epochs=epochs, partitions=partitions)
    given = [epoch for epoch, _ in read_all(source)]
    counts = [given.count(epoch) for epoch in range(epochs)]
    assert sum(counts) == rows
    assert max(counts) - min(counts) <= partitions
    assert epochs_of(source) == epochs


def test_a_generator_goes_on_from_any_batch() -> None:
    check_every_cut(Generator(numbers, rows=100, batch_rows=7, epochs=3, partitions=2))


def test_a_rate_is_kept() -> None:
    clock = Clock()
    source = Generator(numbers, rows=20, batch_rows=10, partitions=1, rows_per_s=5.0, clock=clock)
    reader = source.open("0", None)
    assert isinstance(reader.read(), Rows)
    assert reader.read() == Idle(2.0)
    clock.now_s = 1.5
    assert reader.read() == Idle(0.5)
    clock.now_s = 2.0
    assert isinstance(reader.read(), Rows)
    assert reader.read() == End(1)


def test_a_generator_that_changes_its_mind_is_an_error() -> None:
    source = Generator(lambda rng, start, count: pl.DataFrame({"a": [1] * count}), rows=1, partitions=1)
    with pytest.raises(InputError, match="for none"):
        source.open("0", None).read()
    for numbers_wrong in ({"rows": -1}, {"rows": 1, "epochs": 0}, {"rows": 1, "rows_per_s": 0.0}):
        with pytest.raises(InputError):
            Generator(numbers, **numbers_wrong)


def test_listed_epochs_exist_even_if_empty() -> None:
    source = ListSource([[["a"], None, ["b", "c"], None], [None]])
    assert read_all(source) == [(0, "a"), (2, "b"), (2, "c")]
    assert epochs_of(source) == 4
    check_every_cut(source)
