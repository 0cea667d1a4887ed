"""Runs of jobs that are killed, and what their outputs must be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from limnad.connectors.lists import ListSource
from limnad.testing import Recovery, build, spread_out

Expected = dict[tuple[str, int], list[Any]]


def recovery(
    flow: Any, epochs: Sequence[Any], seed: int = 0, make: type[Recovery] = Recovery, **options: Any
) -> Recovery:
    """A job with one hand-fed input ``numbers``, spread over three partitions."""
    built = build(flow)
    source = ListSource(spread_out(epochs, 3))
    return make(built, lambda: {**built.sources, "numbers": source}, seed, **options)


def check_outputs(done: Recovery, expected: Expected) -> None:
    """Committed output has every epoch once and in order; eager output repeats only what it has said before."""
    committed = [(name, epoch) for name, epoch, _ in done.released]
    assert len(committed) == len(set(committed)), "an epoch was released twice"
    assert {(name, epoch): sorted(rows) for name, epoch, rows in done.released} == expected
    for name in {name for name, _ in expected}:
        epochs = [epoch for of, epoch, _ in done.released if of == name]
        assert epochs == sorted(epochs)
    assert {(name, epoch) for name, epoch, _ in done.seen} == expected.keys()
    for name, epoch, rows in done.seen:
        assert sorted(rows) == expected[name, epoch], f"{name}, epoch {epoch}, was said in two ways"
