"""Loops: what is refused while they are built."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from limnad import Flow, GraphError
from limnad.testing import build


@pytest.mark.parametrize(
    "exchanged",
    [lambda rows: rows.partition_by(len), lambda rows: rows.broadcast(), lambda rows: rows.to_worker(0)],
    ids=["partition_by", "broadcast", "to_worker"],
)
def test_what_goes_round_is_not_exchanged_on_its_way(exchanged: Callable[[Any], Any]) -> None:
    def job(flow: Flow) -> None:
        loop = flow.loop("around")
        first = loop.enter(flow.input("x"))
        again = loop.feedback(first)
        rows = first.concat(again.stream).map(str.upper)
        again.connect(exchanged(rows))
        loop.leave(rows).output("y")

    with pytest.raises(GraphError, match="what goes round loop 'around' stays on its worker"):
        build(job)


def test_a_feedback_is_connected_once() -> None:
    def job(flow: Flow) -> None:
        loop = flow.loop("around")
        again = loop.feedback(loop.enter(flow.input("x")))
        again.connect(again.stream)
        again.connect(again.stream)

    with pytest.raises(GraphError, match="'around' is connected already"):
        build(job)
