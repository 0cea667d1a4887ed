"""What the objects of `limnad.io` hold. The CRDs of the chart are generated from here; nothing here does anything."""

from limnad_operator.model.base import GROUP, VERSION, seconds
from limnad_operator.model.checkpoint import CheckpointSpec, CheckpointState, CheckpointStatus, Retention
from limnad_operator.model.cluster import (
    ClusterPhase,
    ClusterSpec,
    ClusterStatus,
    CoordinatorMode,
    OnDeletion,
    Step,
    StepKind,
    TlsMode,
    TokensMode,
)
from limnad_operator.model.conditions import Condition, ConditionType
from limnad_operator.model.job import DesiredState, JobPhase, JobSpec, JobStatus, RestoreFrom, UpgradeMode

__all__ = [
    "GROUP",
    "VERSION",
    "CheckpointSpec",
    "CheckpointState",
    "CheckpointStatus",
    "ClusterPhase",
    "ClusterSpec",
    "ClusterStatus",
    "Condition",
    "ConditionType",
    "CoordinatorMode",
    "DesiredState",
    "JobPhase",
    "JobSpec",
    "JobStatus",
    "OnDeletion",
    "RestoreFrom",
    "Retention",
    "Step",
    "StepKind",
    "TlsMode",
    "TokensMode",
    "UpgradeMode",
    "seconds",
]
