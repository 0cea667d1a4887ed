"""The client: what a program uses to run jobs, feed them and read their outputs.

`Client` speaks to an agent over gRPC; `local` starts one on this machine for as long as it is needed. This is the only
part of the library that knows the wire types.
"""

from limnad.client.agents import AgentStatus, ClusterStatus
from limnad.client.aio import AsyncClient
from limnad.client.channels import Tls
from limnad.client.client import Client, Job
from limnad.client.inputs import Input
from limnad.client.local import LocalCluster, local
from limnad.client.status import CheckpointInfo, Checkpointing, CheckpointPhases, JobStatus, RecoveryStatus, StageStatus

__all__ = [
    "AgentStatus",
    "AsyncClient",
    "CheckpointInfo",
    "CheckpointPhases",
    "Checkpointing",
    "Client",
    "ClusterStatus",
    "Input",
    "Job",
    "JobStatus",
    "LocalCluster",
    "RecoveryStatus",
    "StageStatus",
    "Tls",
    "local",
]
