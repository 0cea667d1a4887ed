"""How the inputs of a job end where they stand."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import jobs_pb2
from limnad_worker.feeding import Doubtful, Refused

if TYPE_CHECKING:
    from limnad_worker.job import Job

DRAINER = "limnad drain"
"""The producer that closes hand-fed inputs: behind all that was pushed before."""


def tell_drain(job: Job) -> None:
    """Has the inputs of a running job that is drained end."""
    stages = [stage.name for stage in job.view.stages if stage.kind == "input"]
    job.current.send_all(drain=wire.Drain(inputs=[name for name in stages if name not in job.view.inputs]))
    for name in job.view.inputs:
        job.source.keep(_close(job, name))


async def _close(job: Job, name: str) -> None:
    push = wire.Push(input=name, close=True)
    with contextlib.suppress(Refused, Doubtful):  # It is closed already, or the job has ended meanwhile.
        await job.feeder.push(jobs_pb2.PushRequest(push=push, producer=DRAINER, sequence=1))
