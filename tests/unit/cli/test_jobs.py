"""What the commands for jobs make of a job that has not begun yet."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from limnad.cli.jobs import _outputs, _wait
from limnad.client.status import JobStatus, status_of
from limnad.errors import JobError
from limnad_proto.v1 import jobs_pb2


def told(state: jobs_pb2.JobState, *outputs: str) -> JobStatus:
    view = jobs_pb2.JobView(state=state)
    for name in outputs:
        view.outputs.add(name=name)
    return status_of(view)


def test_outputs_are_known_when_the_job_is_built_though_it_was_lost_before() -> None:
    views = [
        told(jobs_pb2.JOB_STATE_STARTING),
        told(jobs_pb2.JOB_STATE_RECOVERING),
        told(jobs_pb2.JOB_STATE_STARTING, "counts"),
    ]
    job: Any = SimpleNamespace(watch=lambda: iter(views))
    assert _outputs(job) == ["counts"]


def test_a_job_that_runs_without_outputs_has_none() -> None:
    job: Any = SimpleNamespace(watch=lambda: iter([told(jobs_pb2.JOB_STATE_RUNNING)]))
    assert _outputs(job) == []


def test_who_waits_for_a_job_that_was_cancelled_is_not_told_that_it_has_finished() -> None:
    finished: Any = SimpleNamespace(name="job-1", wait=lambda: told(jobs_pb2.JOB_STATE_FINISHED))
    _wait(finished)
    cancelled: Any = SimpleNamespace(name="job-1", wait=lambda: told(jobs_pb2.JOB_STATE_CANCELLED))
    with pytest.raises(JobError, match="job-1 has not finished: it is cancelled"):
        _wait(cancelled)
