"""What all parts of the model share: names as the API server writes them, durations, quantities, references."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

GROUP = "limnad.io"
VERSION = "v1alpha1"

_UNITS_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"
QUANTITY_PATTERN = r"^[0-9]+(\.[0-9]+)?(k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$"


class Model(BaseModel):
    """A part of an object. Fields that it does not know are those of a newer version, and no error."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")

    def plain(self) -> dict[str, Any]:
        """As the API server has it, without what is not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


Duration = Annotated[str, Field(pattern=DURATION_PATTERN, max_length=32)]
"""A time such as ``90s`` or ``1h30m``."""

Quantity = Annotated[str, Field(pattern=QUANTITY_PATTERN, max_length=32)]
"""An amount of memory such as ``2Gi``."""

Opaque = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "x-kubernetes-preserve-unknown-fields": True})]
"""A part of Kubernetes' own API, which checks it where it is used."""

OpaqueList = Annotated[
    list[dict[str, Any]],
    WithJsonSchema({"type": "array", "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}),
]
"""A list of such parts."""


class SecretKey(Model):
    """Where in a Secret of the same namespace a value lies."""

    name: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="The Secret.")
    key: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="The key in it.")


class Reference(Model):
    """An object of the same namespace."""

    name: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="Its name.")


def seconds(duration: str) -> float:
    """A duration in seconds.

    >>> seconds("1h30m"), seconds("250ms")
    (5400.0, 0.25)
    """
    return sum(float(amount) * _UNITS_S[unit] for amount, unit in _DURATION.findall(duration))
