"""A producer without a name, who may be forgotten: what its client then does, and no longer does."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from limnad import ClusterError
from limnad.client import inputs
from limnad.client.inputs import Input
from limnad.client.translation import Unreachable
from limnad.limits import ANONYMOUS, DOUBT_S
from limnad_proto.v1 import jobs_pb2


class Agent:
    """Takes pushes, and says nothing when it is told to be away.

    Attributes:
        taken: Producer and number of all that was taken.
        away: Whether its answers are lost.
    """

    def __init__(self) -> None:
        self.taken: list[tuple[str, int]] = []
        self.away = False

    def Push(self, requests: Iterator[jobs_pb2.PushRequest]) -> Iterator[jobs_pb2.PushResponse]:  # noqa: N802
        """See `jobs.proto`."""
        for request in requests:
            if (said := (request.producer, request.sequence)) not in self.taken:
                self.taken.append(said)
            if self.away:
                raise Unreachable("lost")
            yield jobs_pb2.PushResponse()

    def LastSequence(self, request: jobs_pb2.LastSequenceRequest) -> jobs_pb2.LastSequenceResponse:  # noqa: N802
        """See `jobs.proto`."""
        numbers = [number for producer, number in self.taken if producer == request.producer]
        return jobs_pb2.LastSequenceResponse(sequence=max(numbers, default=0))


class Clock:
    """In the place of `time`: it stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        """See `time.monotonic`. This machine is suspended whenever time passes."""
        return 0.0

    def time(self) -> float:
        """See `time.time`."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("limnad.client.moments.time", clock)
    return clock


def fed(agent: Agent, producer: str | None = None) -> Input:
    line: Any = SimpleNamespace(jobs=agent)
    return inputs.Input("job", "rows", line, producer, durable=True, patience_s=0.0)


def test_who_has_no_name_goes_on_under_another_one_after_a_silence(clock: Clock) -> None:
    agent = Agent()
    rows = fed(agent)
    rows.advance_to(1)
    clock.now_s += DOUBT_S
    rows.advance_to(2)
    clock.now_s += DOUBT_S + 1
    rows.advance_to(3)
    (first, one), (second, two), (third, again) = agent.taken
    assert (one, two, again) == (1, 2, 1)
    assert first == second != third
    assert third.startswith(ANONYMOUS)
    assert rows.last_sequence == 3, "it counts its pushes, whatever its names were"
    clock.now_s += DOUBT_S + 1
    assert rows.last_sequence == 3


def test_what_somebody_without_a_name_has_pushed_is_not_repeated_when_it_may_be_forgotten(clock: Clock) -> None:
    agent = Agent()
    rows = fed(agent)
    agent.away = True
    with pytest.raises(Unreachable):
        rows.advance_to(1)
    clock.now_s += DOUBT_S
    with pytest.raises(Unreachable):
        rows.advance_to(1)
    agent.away = False
    clock.now_s += 1
    agent.taken.clear()  # It was forgotten.
    for call in (lambda: rows.advance_to(1), lambda: rows.on_all([]), lambda: rows.last_sequence):
        with pytest.raises(ClusterError, match="give the input a producer's name"):
            call()
    assert not agent.taken


def test_who_has_a_name_may_repeat_after_a_year(clock: Clock) -> None:
    agent = Agent()
    rows = fed(agent, "ann")
    agent.away = True
    with pytest.raises(Unreachable):
        rows.advance_to(1)
    agent.away = False
    clock.now_s += 365 * 86400.0
    rows.advance_to(1)
    rows.advance_to(2)
    assert agent.taken == [("ann", 1), ("ann", 2)]
