"""A `LimnadCheckpoint`: one checkpoint, made on demand, which stays as long as its object."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from limnad_operator.model.base import Model, Reference
from limnad_operator.model.conditions import Condition


class Retention(StrEnum):
    """What becomes of the checkpoint when its object is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class CheckpointSpec(Model):
    """What is to be made."""

    job_ref: Reference = Field(description="The LimnadJob.")
    retention: Retention = Field(
        Retention.DELETE, description="Whether it stays when this object is deleted, for as long as the job (Retain)."
    )


class CheckpointState(StrEnum):
    """How far it is."""

    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"


class CheckpointStatus(Model):
    """What was made."""

    state: CheckpointState = Field(CheckpointState.PENDING, description="How far it is.")
    observed_generation: int = Field(0, description="Of the spec that this is about.")
    cluster: str = Field("", description="Where the job runs.")
    job: str = Field("", description="The job's name at the leader.")
    number: int | None = Field(None, description="By which a job is restored from it.")
    size_bytes: int | None = Field(None, description="Of all that it refers to.")
    made: str | None = Field(None, description="When.", json_schema_extra={"format": "date-time"})
    started: float = Field(0.0, description="When it was asked for, in seconds since 1970.")
    error: str = Field("", description="Why it failed.")
    conditions: list[Condition] = Field(default_factory=list, description="What is to be said.")
