"""What the commands for jobs make of a job that has not begun yet."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from limnad.cli.jobs import _outputs
from limnad.client.status import JobStatus, status_of
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
