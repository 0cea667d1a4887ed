"""Who waits for an epoch at a probe is told that it is complete when it is, and not before."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from limnad.client import Job
from limnad.client.channels import Line
from limnad.errors import JobError, JobFailed
from limnad_proto.v1 import control_pb2, jobs_pb2

STARTING, RUNNING = jobs_pb2.JOB_STATE_STARTING, jobs_pb2.JOB_STATE_RUNNING
RECOVERING, FINISHED = jobs_pb2.JOB_STATE_RECOVERING, jobs_pb2.JOB_STATE_FINISHED
CANCELLED, FAILED = jobs_pb2.JOB_STATE_CANCELLED, jobs_pb2.JOB_STATE_FAILED

View = tuple[jobs_pb2.JobState, int | None]
"""A state, and the first epoch that is not complete; None: nothing is known of it."""


class Views:
    """What a watcher is told; notes how much of it was heard."""

    def __init__(self, *views: View) -> None:
        self._views = list(views)
        self.left = len(views)

    def __iter__(self) -> Views:
        return self

    def __next__(self) -> jobs_pb2.JobView:
        if not self._views:
            raise StopIteration
        (state, epoch), self.left = self._views.pop(0), self.left - 1
        view = jobs_pb2.JobView(state=state, probes=["seen"])
        if epoch is not None:
            view.workers.append(control_pb2.Status(frontiers_known=True, probes={"seen": epoch}))
        if state == FAILED:
            view.failure.summary = "it failed"
        return view

    def cancel(self) -> None:
        pass


def wait(*views: View, probe: str = "seen", epoch: int = 4) -> int:
    """Waits for an epoch at a probe; returns how much of what was to be told was not wanted any more."""
    told = Views(*views)
    line: Any = SimpleNamespace(jobs=SimpleNamespace(Watch=lambda _: told))
    Job("job", cast(Line, line)).wait_for_probe(probe, epoch)
    return told.left


def test_an_epoch_is_complete_when_the_frontier_is_behind_it() -> None:
    assert wait((STARTING, None), (RUNNING, None), (RUNNING, 4), (RUNNING, 5), (RUNNING, 6)) == 1


def test_nothing_is_complete_because_nothing_is_known() -> None:
    """Workers that were lost are being started again: they have told nothing yet."""
    assert wait((RUNNING, 3), (RECOVERING, None), (RUNNING, None), (RUNNING, 5), (RUNNING, 6)) == 1


def test_all_is_complete_when_the_job_has_finished() -> None:
    assert wait((RUNNING, 2), (FINISHED, None)) == 0


def test_what_was_cancelled_is_not_complete() -> None:
    with pytest.raises(JobError, match="cancelled: epoch 4"):
        wait((RUNNING, 3), (CANCELLED, 3))
    with pytest.raises(JobError, match="cancelled: epoch 4"):
        wait((RECOVERING, None), (CANCELLED, None))


def test_what_has_failed_is_not_complete() -> None:
    with pytest.raises(JobFailed, match="it failed"):
        wait((RUNNING, 3), (FAILED, 3))


def test_a_probe_that_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match="no probe 'other'"):
        wait((RUNNING, 3), probe="other")
