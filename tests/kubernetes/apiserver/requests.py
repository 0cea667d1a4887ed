"""What a request may say besides its object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.kubernetes.apiserver.objects import Object, dig


@dataclass(frozen=True, slots=True)
class Options:
    """Of a write.

    Attributes:
        dry_run: Nothing is kept.
        manager: Who writes, for the fields' ownership.
        force: An apply takes fields from others.
        validation: What becomes of unknown fields: Strict, Warn or Ignore.
        propagation: What becomes of dependents: Foreground, Background, Orphan; None: as the kind has it.
        grace_s: How long a pod may take to end.
        uid: The object has to have it.
        resource_version: Likewise.
        warnings: What the client is told besides the answer.
    """

    dry_run: bool = False
    manager: str = "unknown"
    force: bool = False
    validation: str = "Warn"
    propagation: str | None = None
    grace_s: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    warnings: list[str] = field(default_factory=list)


def read_options(query: Mapping[str, str], body: Object | None, agent: str) -> Options:
    """From a query, and for a delete also from its body.

    Args:
        query: Of the request.
        body: DeleteOptions, if there are any.
        agent: The client's name of itself: who writes if nobody says so.
    """
    body = body or {}
    grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    propagation = body.get("propagationPolicy", query.get("propagationPolicy"))
    orphan = body.get("orphanDependents", query.get("orphanDependents"))
    if propagation is None and orphan is not None:
        propagation = "Orphan" if orphan in {True, "true"} else "Background"
    return Options(
        dry_run="All" in (query.get("dryRun", ""), *(body.get("dryRun") or [])),
        manager=query.get("fieldManager") or agent.partition("/")[0] or "unknown",
        force=query.get("force") in {"true", "1"},
        validation=query.get("fieldValidation", "Warn"),
        propagation=propagation,
        grace_s=None if grace is None else int(grace),
        uid=dig(body, "preconditions", "uid"),
        resource_version=dig(body, "preconditions", "resourceVersion"),
    )
