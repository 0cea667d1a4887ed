"""A `LimnadJob`: a job as an object, in a cluster that is there or with one of its own."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from limnad_operator.model.base import Duration, Model, Reference, SecretKey
from limnad_operator.model.cluster import ClusterSpec, OnDeletion
from limnad_operator.model.conditions import Condition


class ImageSource(Model):
    """A file of the workers' image."""

    path: str = Field(pattern="^/", max_length=4096, description="Its absolute path.")


class Source(Model):
    """Where a job's code is: one of these."""

    image: ImageSource | None = Field(None, description="In the workers' image.")
    config_map: SecretKey | None = Field(None, description="In a ConfigMap of the same namespace.")
    inline: str | None = Field(None, min_length=1, max_length=262144, description="Here: the text of the job file.")


class ClusterTemplate(Model):
    """A cluster of the job's own."""

    spec: ClusterSpec = Field(description="Of that cluster.")


class JobCheckpointing(Model):
    """How checkpoints are made; what is not said is as the cluster has it."""

    interval: Duration | None = Field(None, description="From one to the next.")
    timeout: Duration | None = Field(None, description="After which one is given up.")
    keep: int | None = Field(None, ge=1, le=1000, description="How many are kept.")


class Delivery(StrEnum):
    """When readers get an epoch of an output."""

    EAGER = "Eager"
    COMMITTED = "Committed"


class RestoreFrom(StrEnum):
    """What a job begins from, if not from a checkpoint's number."""

    LATEST = "Latest"
    NONE = "None"


class UpgradeMode(StrEnum):
    """What becomes of a job's state when its spec changes."""

    LAST_STATE = "LastState"
    SAVEPOINT = "Savepoint"
    STATELESS = "Stateless"


class DesiredState(StrEnum):
    """Whether it is to run."""

    RUNNING = "Running"
    SUSPENDED = "Suspended"


Restore = Annotated[
    int | str,
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "x-kubernetes-validations": [
                {
                    "rule": "type(self) == int ? self >= 1 : self in ['Latest', 'None']",
                    "message": "restore is Latest, None, or the number of a checkpoint",
                }
            ],
        }
    ),
]

Arguments = Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=256)]

SPEC_RULES: list[dict[str, Any]] = [
    {
        "rule": "has(self.clusterRef) != has(self.clusterTemplate)",
        "message": "exactly one of clusterRef and clusterTemplate",
    },
    {
        "rule": "has(self.clusterRef) == has(oldSelf.clusterRef) && "
        "(!has(self.clusterRef) || self.clusterRef.name == oldSelf.clusterRef.name)",
        "message": "a job stays in its cluster: delete it and make another one",
    },
]


class JobSpec(Model):
    """What a job is to be."""

    cluster_ref: Reference | None = Field(None, description="The cluster that it runs in.")
    cluster_template: ClusterTemplate | None = Field(None, description="A cluster of its own, which goes with it.")
    width: int = Field(0, ge=0, le=256, description="How many workers; 0: as many as the cluster has slots, always.")
    source: Source = Field(
        description="Where its code is.",
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "[has(self.image), has(self.configMap), has(self.inline)].filter(x, x).size() == 1",
                    "message": "exactly one of image, configMap and inline",
                }
            ]
        },
    )
    function: str = Field("job", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=256, description="The function in it.")
    arguments: Arguments = Field(default_factory=dict, description="For that function.")
    delivery: Delivery = Field(
        Delivery.EAGER, description="When readers get an epoch: at once, or when a checkpoint covers it (Committed)."
    )
    checkpoint: JobCheckpointing = Field(default_factory=JobCheckpointing, description="How checkpoints are made.")
    restore: Restore = Field(
        "Latest",
        description="What it begins from: its newest checkpoint, if there is one (Latest), nothing (None), a number.",
    )
    upgrade_mode: UpgradeMode = Field(
        UpgradeMode.LAST_STATE,
        description="When the spec changes: go on from the newest checkpoint (LastState), from one that is made for it "
        "(Savepoint), or anew (Stateless).",
    )
    state: DesiredState = Field(DesiredState.RUNNING, description="Whether it is to run.")
    on_deletion: OnDeletion = Field(
        OnDeletion.RETAIN, description="Whether its state is deleted with it (Delete) or stays (Retain)."
    )
    ttl_seconds_after_finished: int | None = Field(
        None, ge=0, description="When the object is deleted after the job has ended; default: never."
    )


class JobPhase(StrEnum):
    """In a word, what a job is at."""

    PENDING = "Pending"
    STARTING = "Starting"
    RUNNING = "Running"
    RECOVERING = "Recovering"
    SUSPENDING = "Suspending"
    SUSPENDED = "Suspended"
    UPGRADING = "Upgrading"
    FINISHED = "Finished"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    DELETING = "Deleting"

    @property
    def ended(self) -> bool:
        """Whether nothing will happen any more by itself."""
        return self in (JobPhase.FINISHED, JobPhase.FAILED, JobPhase.CANCELLED)


class JobStatus(Model):
    """What a job is."""

    phase: JobPhase = Field(JobPhase.PENDING, description="In a word.")
    observed_generation: int = Field(0, description="Of the spec that this is about.")
    cluster: str = Field("", description="The cluster that it runs in.")
    job: str = Field("", description="Its name at the leader.")
    submitted: str = Field("", description="What was submitted, by its digest; empty: nothing yet.")
    submissions: int = Field(0, description="How often it was submitted.")
    generation: int = Field(0, description="Which run of the job this is.")
    width: int = Field(0, description="How many workers.")
    epoch: int | None = Field(None, description="The first epoch that is not complete.")
    epoch_since: float = Field(0.0, description="Since when, in seconds since 1970.")
    restarts: int = Field(0, description="How often it was started again after a loss.")
    kicks: list[float] = Field(
        default_factory=list, description="When it was started again because it stood still, in seconds since 1970."
    )
    checkpoint: int | None = Field(None, description="The newest durable checkpoint.")
    checkpoint_time: str | None = Field(
        None, description="When that was made.", json_schema_extra={"format": "date-time"}
    )
    refused: int = Field(0, description="Generation of the spec of which the leader refused something.")
    started: float = Field(0.0, description="When the step of a suspension, an upgrade or a deletion began.")
    ended: float | None = Field(None, description="When it ended, in seconds since 1970.")
    error: str = Field("", description="Why it failed.")
    conditions: list[Condition] = Field(default_factory=list, description="What is to be said.")
