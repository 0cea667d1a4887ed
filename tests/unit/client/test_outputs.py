"""What a client makes of the epochs that it is given."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from limnad.batch import encode
from limnad.client import Job, translation
from limnad.client.channels import Line
from limnad.client.inputs import PATIENCE_S
from limnad.errors import ClusterError, MissedEpochs
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


class Failed(Lost):
    """An agent that did something wrong on the way, nobody knows when."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNKNOWN


class Answers:
    """Of one call; a call that breaks off, after it was quiet for a while, is made again."""

    def __init__(self, epochs: list[int], quiet: Callable[[], None], *, breaks: bool) -> None:
        self._answers = iter([answer(epoch) for epoch in epochs])
        self._quiet = quiet
        self._breaks = breaks

    def __iter__(self) -> Answers:
        return self

    def __next__(self) -> control_pb2.Output:
        for answer in self._answers:
            return answer
        if self._breaks:
            self._quiet()
            raise Lost
        raise StopIteration

    def cancel(self) -> None:
        pass


def job(*calls: list[int], patience_s: float = PATIENCE_S, quiet: Callable[[], None] = lambda: None) -> Job:
    """One whose agents give these epochs, one agent after the other."""
    answers = iter([Answers(epochs, quiet, breaks=epochs is not calls[-1]) for epochs in calls])

    def subscribe(_: jobs_pb2.SubscribeRequest) -> Any:
        return next(answers)

    line = cast(Line, SimpleNamespace(jobs=SimpleNamespace(Subscribe=subscribe)))
    return Job("job", line, patience_s=patience_s)


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


class Clock:
    """Stands for `time`, which does not pass but when somebody waits."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(translation, "time", clock)
    return clock


def test_a_leader_that_is_lost_after_an_hour_of_quiet_is_waited_for_no_less(clock: Clock) -> None:
    assert [epoch for _, epoch, _ in job([7], [8], quiet=lambda: clock.sleep(3600)).outputs()] == [7, 8]


@pytest.mark.usefixtures("clock")
def test_a_leader_that_is_lost_before_the_first_epoch_is_waited_for() -> None:
    assert [epoch for _, epoch, _ in job([], [], [7]).outputs()] == [7]


def test_a_leader_that_does_not_come_back_is_told_in_time(clock: Clock) -> None:
    began_s = clock.now_s
    with pytest.raises(ClusterError, match="cannot be reached"):
        list(job(*[[]] * 100, [7], patience_s=10).outputs())
    assert clock.now_s - began_s < 10


@pytest.mark.usefixtures("clock")
def test_who_has_no_patience_is_told_at_once() -> None:
    with pytest.raises(ClusterError):
        list(job([7], [8], patience_s=0).outputs())


def test_a_failure_of_the_agent_is_no_refusal() -> None:
    """What is refused was not done; of this nobody knows."""
    error = translation.translate(Failed())
    assert isinstance(error, ClusterError)
    assert "the agent has failed at it: gone" in str(error)
