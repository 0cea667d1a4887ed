"""The scale subresource: how many there are and should be, at the paths that a kind names."""

from __future__ import annotations

from typing import Any

from tests.kubernetes.apiserver.errors import Cause, conflict, invalid
from tests.kubernetes.apiserver.objects import Object, copied, dig, name_of
from tests.kubernetes.apiserver.resources import Resource


def _path(text: str) -> list[str]:
    return text.strip(".").split(".")


def scale_of(resource: Resource, item: Object) -> Object:
    """An object's Scale."""
    paths = resource.scale
    metadata = {
        name: item["metadata"][name] for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    }
    status: Object = {"replicas": dig(item, *_path(paths["statusReplicasPath"]), default=0)}
    if "labelSelectorPath" in paths:
        selector = dig(item, *_path(paths["labelSelectorPath"]), default="")
        status["selector"] = selector if isinstance(selector, str) else selector_text(selector)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": dig(item, *_path(paths["specReplicasPath"]), default=0)},
        "status": status,
    }


def selector_text(selector: Object) -> str:
    """A selector as query strings carry it."""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for each in selector.get("matchExpressions") or []:
        values = ",".join(each.get("values") or [])
        forms = {
            "In": f"{each['key']} in ({values})",
            "NotIn": f"{each['key']} notin ({values})",
            "Exists": each["key"],
            "DoesNotExist": f"!{each['key']}",
        }
        parts.append(forms[each["operator"]])
    return ",".join(parts)


def scaled(resource: Resource, item: Object, scale: Any) -> Object:
    """The object with the replicas that a Scale asks for.

    Raises:
        ApiError: The Scale is of another version of the object (409), or asks for less than none (422).
    """
    wanted = dig(scale, "metadata", "resourceVersion", default="")
    if wanted and wanted != item["metadata"]["resourceVersion"]:
        raise conflict(resource.plural, resource.group, name_of(item))
    replicas = dig(scale, "spec", "replicas", default=0)
    if replicas < 0:
        told = f"Invalid value: {replicas}: should be a non-negative integer"
        raise invalid("Scale", "autoscaling", name_of(item), [Cause("spec.replicas", told)])
    new = copied(item)
    new["apiVersion"] = resource.api_version
    at = new
    *steps, last = _path(resource.scale["specReplicasPath"])
    for step in steps:
        at = at.setdefault(step, {})
    at[last] = replicas
    return new
