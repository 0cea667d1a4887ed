"""What an engine asks of Python's cyclic collector."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from limnad_worker.processes import collect_at_rest, quieten_gc


class Node:
    """Something that holds itself."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


@pytest.mark.parametrize(("others", "gone"), [(0, False), (5_000, True)])
def test_at_rest_it_looks_at_what_is_worth_it(others: int, gone: bool) -> None:
    quieten_gc()
    node = Node()
    seen = weakref.ref(node)
    del node
    kept = [[number] for number in range(others)]
    collect_at_rest()
    assert (seen() is None) == gone
    del kept
