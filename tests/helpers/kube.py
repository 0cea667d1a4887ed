"""Waiting for what an API server says, with the official client, whichever server it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kubernetes import watch

_Watch: Any = watch.Watch


def until(
    list_objects: Any, *where: str, good: Callable[[list[Any]], bool], within_s: int = 60, **selectors: str
) -> list[Any]:
    """Waits until a list is as it should be, and looks again at each change.

    Args:
        list_objects: A method of the client that lists: ``core.list_namespaced_pod``.
        where: Its arguments: a namespace.
        good: Whether the list is as it should be.
        within_s: How long that may take.
        selectors: ``label_selector`` and ``field_selector``.

    Raises:
        AssertionError: It has not become so.
    """
    found = list_objects(*where, **selectors)
    if good(found.items):
        return list(found.items)
    start = found.metadata.resource_version
    options = {"resource_version": start, "timeout_seconds": within_s, **selectors}
    for _ in _Watch().stream(list_objects, *where, **options):
        items = list(list_objects(*where, **selectors).items)
        if good(items):
            return items
    left = [
        (item.metadata.name, getattr(getattr(item, "status", None), "phase", ""))
        for item in list_objects(*where, **selectors).items
    ]
    raise AssertionError(f"after {within_s} s there is still {left}")


def is_ready(pod: Any) -> bool:
    """Whether a pod says that it can be used."""
    conditions = pod.status.conditions or []
    return any(each.type == "Ready" and each.status == "True" for each in conditions)


def until_custom(
    custom: Any,
    group: str,
    version: str,
    namespace: str,
    plural: str,
    name: str,
    *,
    good: Callable[[dict[str, Any]], Any],
    within_s: int = 60,
) -> dict[str, Any]:
    """Waits until a custom object is as it should be; see `until`.

    Raises:
        AssertionError: It has not become so.
    """
    where = (group, version, namespace, plural)
    options = {"field_selector": f"metadata.name={name}", "timeout_seconds": within_s}
    seen: dict[str, Any] = {}
    for event in _Watch().stream(custom.list_namespaced_custom_object, *where, **options):
        seen = event["object"]
        if event["type"] != "DELETED" and good(seen):
            return seen
    raise AssertionError(f"after {within_s} s {plural}/{name} is still {seen.get('status', 'without a status')}")
