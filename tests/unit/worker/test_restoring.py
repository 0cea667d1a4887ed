"""What an engine says of a checkpoint that it cannot read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from limnad.cluster.records import PartError
from limnad.store import LostState, StoreError, Unavailable
from limnad_proto.v1 import control_pb2 as wire
from limnad_worker.engine import Engine
from limnad_worker.failures import describe


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (Unavailable("the store did not answer"), "engine"),
        (LostState("its manifest is gone"), "checkpoint"),
        (StoreError("a chunk is damaged"), "checkpoint"),
        (PartError("of a newer Limnad"), "checkpoint"),
    ],
)
def test_a_store_that_is_away_says_nothing_against_the_checkpoint(error: Exception, fault: str) -> None:
    """Else an older one would be taken, which sinks may not be able to go back to, and in the end none."""

    def read(*_: int) -> Any:
        raise error

    engine: Any = SimpleNamespace(_writer=SimpleNamespace(read=read), _worker=0, _spans=None)
    with pytest.raises(Exception, match=str(error)) as raised:
        Engine._restored(engine, wire.Prepare(restore=3, workers=1))
    assert describe(raised.value, 0).fault == fault
