"""An engine's side of pushes."""

from __future__ import annotations

import polars as pl

from limnad.batch import encode
from limnad.connectors.hand import HandReader
from limnad.timely.source import Rows
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


def test_an_input_whose_end_was_taken_back_goes_on_behind_what_was_complete() -> None:
    """So that an epoch that was shown stays as it was; where the input is further itself, there it goes on."""
    taking, inputs = Taking(), OneInput()
    entries = [rows(1), wire.Push(input="x", reopen=0), wire.Push(input="x", reopen=3), wire.Push(input="x", reopen=2)]
    for offset, entry in enumerate(entries):
        entry.offset = offset
        taking.push(entry)
    assert [answer.offset for answer in taking.answers(inputs)] == [0, 1, 2, 3]  # type: ignore[arg-type]
    assert (inputs.hand.offset, inputs.hand.epoch) == (4, 3)
    read = [inputs.hand.read() for _ in entries]
    assert [(answer.epoch, answer.batch is None) for answer in read if isinstance(answer, Rows)] == [
        (0, False),
        (0, True),
        (3, True),
        (3, True),
    ]
    assert inputs.hand.position() == {"offset": 4, "epoch": 3, "used": False}
