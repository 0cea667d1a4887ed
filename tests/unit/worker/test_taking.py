"""An engine's side of pushes."""

from __future__ import annotations

import polars as pl

from limnad.batch import encode
from limnad.connectors.hand import HandReader
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import exchange_pb2
from limnad_worker.taking import Taking


class OneInput:
    """An input ``x`` in the place of a worker's inputs."""

    def __init__(self) -> None:
        self.hand = HandReader(pl.Schema({"n": pl.Int64}))

    def reader(self, name: str) -> HandReader:
        if name != "x":
            raise KeyError(f"no open input {name!r}")
        return self.hand


def rows(request: int) -> wire.Push:
    encoding, payload = encode(pl.DataFrame({"n": [request]}))
    called = exchange_pb2.Encoding.Name(int(encoding))
    return wire.Push(input="x", rows=wire.Rows(encoding=called, payload=payload), request=request)


def requests(taking: Taking, inputs: OneInput) -> list[int]:
    return [answer.request for answer in taking.answers(inputs)]  # type: ignore[arg-type]


def test_an_input_with_much_to_read_takes_nothing_more_until_it_is_read() -> None:
    taking, inputs = Taking(waiting_bytes=1), OneInput()
    for request in (1, 2):
        taking.push(rows(request))
    taking.push(wire.Push(input="x", close=True, request=3))
    assert requests(taking, inputs) == [1]
    assert requests(taking, inputs) == []
    inputs.hand.read()
    assert requests(taking, inputs) == [2]
    inputs.hand.read()
    assert requests(taking, inputs) == [3]
    assert inputs.hand.waiting_bytes == 0


def test_an_input_that_is_full_holds_up_no_other() -> None:
    taking, inputs = Taking(waiting_bytes=1), OneInput()
    for request in (1, 2):
        taking.push(rows(request))
    taking.push(wire.Push(input="y", close=True, request=3))
    (taken, refused) = taking.answers(inputs)  # type: ignore[arg-type]
    assert (taken.request, taken.error) == (1, "")
    assert (refused.request, refused.error) == (3, "no open input 'y'")
