"""What a client makes of the epochs that it is given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from limnad.batch import encode
from limnad.client import Job
from limnad.client.channels import Line
from limnad.errors import MissedEpochs
from limnad_proto.v1 import control_pb2, exchange_pb2, jobs_pb2


def answer(epoch: int) -> control_pb2.Output:
    encoding, payload = encode([])
    return control_pb2.Output(
        name="out", epoch=epoch, encoding=exchange_pb2.Encoding.Name(int(encoding)), payload=payload
    )


class Lost(grpc.RpcError):
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "gone"


class Answers:
    """Of one call; a call that breaks off is made again."""

    def __init__(self, epochs: list[int], *, breaks: bool) -> None:
        self._answers = iter([answer(epoch) for epoch in epochs])
        self._breaks = breaks

    def __iter__(self) -> Answers:
        return self

    def __next__(self) -> control_pb2.Output:
        for answer in self._answers:
            return answer
        if self._breaks:
            raise Lost
        raise StopIteration

    def cancel(self) -> None:
        pass


def job(*calls: list[int]) -> Job:
    """One whose agents give these epochs, one agent after the other."""
    answers = iter([Answers(epochs, breaks=epochs is not calls[-1]) for epochs in calls])

    def subscribe(_: jobs_pb2.SubscribeRequest) -> Any:
        return next(answers)

    return Job("job", cast(Line, SimpleNamespace(jobs=SimpleNamespace(Subscribe=subscribe))))


def test_outputs_begin_where_they_are_kept() -> None:
    assert [epoch for _, epoch, _ in job([7, 8], [9]).outputs()] == [7, 8, 9]


def test_a_gap_is_no_silent_one() -> None:
    outputs = job([7, 8], [12, 13]).outputs()
    assert [next(outputs)[1], next(outputs)[1]] == [7, 8]
    with pytest.raises(MissedEpochs, match="epochs 9 to 11 of the output 'out' are not kept"):
        next(outputs)


def test_what_was_wanted_and_is_not_kept_is_told() -> None:
    with pytest.raises(MissedEpochs, match="epochs 3 to 6"):
        list(job([7, 8]).outputs(from_epochs={"out": 3}))
