"""What a run makes of an agent that ends while its outputs are printed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest

from limnad.cli.run import RunOptions, Screen
from limnad.client import Job, JobStatus
from limnad.client.status import status_of
from limnad.errors import ClusterError, MissedEpochs
from limnad_proto.v1 import jobs_pb2

FINISHED = status_of(jobs_pb2.JobView(state=jobs_pb2.JOB_STATE_FINISHED))
CANCELLED = status_of(jobs_pb2.JobView(state=jobs_pb2.JOB_STATE_CANCELLED))
OPTIONS = RunOptions(
    target="job.py",
    workers=1,
    arguments={},
    feeds={},
    show=1,
    as_json=True,
    port=0,
    ui_port=None,
    progress="",
    checkpointing=None,
    metrics_port=None,
    environment={},
)


class OneJob:
    """A job of five epochs, whose agent dies when it has given some of them."""

    def __init__(self, gives: int, error: Exception | None, last: JobStatus = FINISHED) -> None:
        self._gives = gives
        self._error = error
        self._last = last

    def watch(self) -> Iterator[JobStatus]:
        yield self._last

    def outputs(self, from_epochs: Mapping[str, int]) -> Iterator[tuple[str, int, Any]]:
        for epoch in range(from_epochs.get("out", 0), self._gives):
            yield "out", epoch, [(epoch,)]
        if self._error is not None:
            raise self._error

    def cancel(self) -> None:
        pass


def watch(screen: Screen, gives: int, error: Exception | None) -> int:
    return screen.watch(cast(Job, OneJob(gives, error)))


def test_a_run_that_has_finished_is_not_over_before_all_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(OPTIONS)
    with pytest.raises(ClusterError, match="gone"):
        watch(screen, 3, ClusterError("the agent is gone"))
    screen.settle()
    assert watch(screen, 5, None) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split('"epoch":')[1][:2].strip(" ,") for line in lines[:-1]] == list("01234")
    assert '"summary"' in lines[-1]


def test_epochs_that_are_lost_to_a_run_end_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert watch(Screen(OPTIONS), 3, MissedEpochs("epochs 3 to 4 are not kept any more")) == 1
    assert "epochs 3 to 4" in capsys.readouterr().err


def test_a_run_that_was_cancelled_does_not_go_on_with_another_agent() -> None:
    assert Screen(OPTIONS).watch(cast(Job, OneJob(3, ClusterError("the agent is gone"), CANCELLED))) == 1


def test_what_an_agent_has_printed_last_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(OPTIONS)
    prints, slow = OneLine("the last words"), OneLine("and on standard error")
    screen.follow_prints(cast(Any, prints), cast(Any, slow))
    prints.go_on.set()
    slow.go_on.set()
    screen.hear_out()
    out, err = capsys.readouterr()
    assert (out, err) == ("the last words\n", "and on standard error\n")


class OneLine:
    """A pipe that gives one line, when a test says so and whoever reads it has the processor."""

    def __init__(self, line: str) -> None:
        self.go_on = threading.Event()
        self._line = line

    def __iter__(self) -> Iterator[bytes]:
        self.go_on.wait()
        os.sched_yield()
        yield f"{self._line}\n".encode()
