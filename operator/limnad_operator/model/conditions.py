"""Conditions: what is to be said of an object, each with a sentence and since when."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from limnad_operator.model.base import Model


class ConditionType(StrEnum):
    """What is said.

    READY: it does what it is for. PROGRESSING: something takes its steps. CHECKPOINT_HEALTHY: checkpoints are made.
    DEGRADED: somebody has to do something; the message says what.
    """

    READY = "Ready"
    PROGRESSING = "Progressing"
    CHECKPOINT_HEALTHY = "CheckpointHealthy"
    DEGRADED = "Degraded"


class Condition(Model):
    """See `metav1.Condition`."""

    type: ConditionType = Field(description="What is said.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it is so.")
    reason: str = Field(
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", max_length=64, description="Why, in a word."
    )
    message: str = Field("", max_length=32768, description="Why, and what to change.")
    last_transition_time: str = Field(
        description="When the status changed last.", json_schema_extra={"format": "date-time"}
    )
    observed_generation: int = Field(0, ge=0, description="Of the spec that this was said of.")
