"""Conditions and events: what is told, and since when. A transition is told once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from limnad_operator.manifests.naming import digest
from limnad_operator.model import Condition, ConditionType
from limnad_operator.model.base import Model
from limnad_operator.reconcile.plan import Action, Event, Object, Plan

StatusT = TypeVar("StatusT", bound=Model)

NOW = 0.0
"""Of `Plan.again_s`: at once."""


def timestamp(now_s: float) -> str:
    """As the API server writes times.

    >>> timestamp(0)
    '1970-01-01T00:00:00Z'
    """
    return dt.datetime.fromtimestamp(int(now_s), dt.UTC).isoformat().replace("+00:00", "Z")


def unix(time: str) -> float:
    """The inverse of `timestamp`."""
    return dt.datetime.fromisoformat(time).timestamp()


class Draft(Generic[StatusT]):
    """A plan in the making.

    Args:
        object_: What it is about.
        status: Its status as it is.
        now_s: Unix time.

    Attributes:
        status: Its status as it is to be.
        actions: What is to be done.
    """

    def __init__(self, object_: Object, status: StatusT, now_s: float) -> None:
        self.generation = int(object_["metadata"].get("generation", 0))
        self.now_s = now_s
        self.status = status
        self.actions: list[Action] = []
        self._before = status
        self._seen = object_.get("status") or {}
        self._events: list[Event] = []

    def set(self, **changes: Any) -> None:
        """Changes the status."""
        self.status = self.status.model_copy(update=changes)

    def tell(self, reason: str, message: str, *, warning: bool = False, about: str = "", turn: str = "") -> None:
        """Adds an event. What has a number of its own says it (``turn``): it is told once, whatever else happens."""
        self._events.append(Event(reason, message[:1000], warning, about, turn))

    def condition(self, type_: ConditionType, value: bool | None, reason: str, message: str = "") -> None:
        """Says something; None: it is not known whether it is so. The time is that of the last change of its truth."""
        status = "Unknown" if value is None else str(value)
        old = next((each for each in self._conditions if each.type == type_), None)
        since = old.last_transition_time if old is not None and old.status == status else timestamp(self.now_s)
        new = Condition(
            type=type_,
            status=status,
            reason=reason,
            message=message[:4000],
            last_transition_time=since,
            observed_generation=self.generation,
        )
        rest = [each for each in self._conditions if each.type != type_]
        self.set(conditions=sorted([*rest, new], key=lambda each: each.type))

    def transition(self, type_: ConditionType, *, good: bool = True) -> None:
        """Tells that a condition has changed its truth, if it has; ``good``: when true. Of what is new none is."""
        old = next((each for each in getattr(self._before, "conditions", []) if each.type == type_), None)
        new = next(each for each in self._conditions if each.type == type_)
        if new.status not in (old.status if old is not None else "False", "Unknown"):
            warning = (new.status == "True") != good
            name = type_.value if new.status == "True" else f"Not{type_.value}"
            self.tell(name, new.message or new.reason, warning=warning)

    @property
    def _conditions(self) -> Sequence[Condition]:
        found: Sequence[Condition] = getattr(self.status, "conditions", [])
        return found

    def plan(self, again_s: float | None) -> Plan:
        """What has come of it."""
        status = self.status.plain()
        return Plan(
            None if status == self._seen else status, tuple(self._events), tuple(self.actions), again_s, self._turn
        )

    @property
    def _turn(self) -> str:
        """What stays until something is told: of two plans that tell the same both have it, so it is told once."""
        before = self._before.plain()
        step = before.get("step") or {}
        since = [(each["type"], each["status"], each["lastTransitionTime"]) for each in before.get("conditions", [])]
        named = [before.get(name) for name in ("phase", "submissions", "restarts", "kicks", "state")]
        return digest([self.generation, step.get("kind"), step.get("since"), since, named])

    def recorded(self) -> Plan:
        """The same without actions: they are taken when the step stands in the status."""
        self.actions.clear()
        return self.plan(NOW)
