"""What to do about what was seen: for each kind `reconcile(seen) -> Plan`. Pure: no clock, no API server, no memory.

A plan that changes the step of something does nothing else: the step stands in the status before it is taken, so an
operator that dies anywhere leaves an object that another one finishes. What a plan asks of leaders may be asked twice.
"""

from limnad_operator.reconcile.checkpoint import reconcile_checkpoint
from limnad_operator.reconcile.cluster import reconcile_cluster
from limnad_operator.reconcile.job import reconcile_job
from limnad_operator.reconcile.plan import (
    Action,
    Call,
    Create,
    Delete,
    Event,
    IssueCertificates,
    IssueToken,
    Operation,
    Plan,
    Replace,
    SetFinalizers,
)
from limnad_operator.reconcile.seen import (
    AgentSeen,
    Answer,
    CheckpointSeen,
    ClusterSeen,
    Fault,
    JobObjectSeen,
    JobSeen,
    LeaderSeen,
)

__all__ = [
    "Action",
    "AgentSeen",
    "Answer",
    "Call",
    "CheckpointSeen",
    "ClusterSeen",
    "Create",
    "Delete",
    "Event",
    "Fault",
    "IssueCertificates",
    "IssueToken",
    "JobObjectSeen",
    "JobSeen",
    "LeaderSeen",
    "Operation",
    "Plan",
    "Replace",
    "SetFinalizers",
    "reconcile_checkpoint",
    "reconcile_cluster",
    "reconcile_job",
]
