"""Tables: what `kubectl get` prints."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from tests.kubernetes.apiserver.objects import Object, condition_of, dig, name_of, parse_time
from tests.kubernetes.apiserver.resources import Resource

_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def table(resource: Resource, items: Sequence[Object], revision: str, whole: str = "Metadata") -> Object:
    """Objects as rows.

    Args:
        resource: Their kind.
        items: The objects.
        revision: Of the list.
        whole: How much of each object goes with its row: None, Metadata or Object.
    """
    columns = _columns(resource)
    definitions = [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]
    definitions += [
        {"name": name, "type": kind, "format": "", "description": "", "priority": priority}
        for name, kind, priority, _ in columns
    ]
    rows = [_row(item, columns, whole) for item in items]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": revision},
        "columnDefinitions": definitions,
        "rows": rows,
    }


Column = tuple[str, str, int, Callable[[Object], Any]]


def _row(item: Object, columns: Sequence[Column], whole: str) -> Object:
    row: Object = {"cells": [name_of(item), *(cell(item) for *_, cell in columns)]}
    if whole == "Object":
        row["object"] = item
    elif whole != "None":
        row["object"] = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]}
    return row


def _columns(resource: Resource) -> list[Column]:
    if resource.columns:
        return [
            (each["name"], each["type"], each.get("priority", 0), _by_path(each["jsonPath"], each["type"]))
            for each in resource.columns
        ]
    own = _OWN.get(resource.kind, [])
    return [(name, "string", 0, cell) for name, cell in (*own, ("Age", _age))]


def _by_path(path: str, kind: str) -> Callable[[Object], Any]:
    def cell(item: Object) -> Any:
        found = list(json_path(item, path))
        if not found:
            return None
        if kind == "date":
            return since(str(found[0]))
        return found[0] if len(found) == 1 or kind != "string" else ",".join(map(str, found))

    return cell


_STEP: Final = re.compile(r"""\.?([\w-]+)|\[\?\(@\.([\w.]+)\s*==\s*["']([^"']*)["']\)\]|\[(\d+|\*)\]|\['([^']+)'\]""")


def json_path(item: Any, path: str) -> Iterator[Any]:
    """What lies at a path: names, ``[0]``, ``[*]``, ``['name']`` and ``[?(@.type=="Ready")]``."""
    found = [item]
    for name, field, value, index, quoted in _STEP.findall(path.replace("\\.", "\0")):
        found = [
            inner
            for each in found
            for inner in _stepped(each, (name or quoted).replace("\0", "."), field, value, index)
        ]
    return (each for each in found if each is not None)


def _stepped(each: Any, name: str, field: str, value: str, index: str) -> list[Any]:
    if name:
        return [each[name]] if isinstance(each, dict) and name in each else []
    if not isinstance(each, list):
        return []
    if field:
        return [item for item in each if str(dig(item, *field.split("."), default="")) == value]
    if index == "*":
        return each
    return each[int(index) : int(index) + 1]


def since(when: str) -> str:
    """How long ago, in the unit that says most: ``5m``."""
    try:
        age_s = (dt.datetime.now(dt.UTC) - parse_time(when)).total_seconds()
    except ValueError:
        return "<invalid>"
    for size, unit in _UNITS:
        if age_s >= size:
            return f"{int(age_s // size)}{unit}"
    return "0s"


def _age(item: Object) -> str:
    return since(item["metadata"]["creationTimestamp"])


def _ready(item: Object) -> str:
    return f"{dig(item, 'status', 'readyReplicas', default=0)}/{dig(item, 'spec', 'replicas', default=0)}"


def _pod_status(item: Object) -> str:
    if item["metadata"].get("deletionTimestamp"):
        return "Terminating"
    for status in dig(item, "status", "containerStatuses", default=[]):
        reason = dig(status, "state", "waiting", "reason") or dig(status, "state", "terminated", "reason")
        if reason:
            return str(reason)
    return str(dig(item, "status", "reason") or dig(item, "status", "phase", default="Pending"))


def _pod_ready(item: Object) -> str:
    statuses = dig(item, "status", "containerStatuses", default=[])
    return f"{sum(bool(each.get('ready')) for each in statuses)}/{len(dig(item, 'spec', 'containers', default=[]))}"


def _node_status(item: Object) -> str:
    heard = condition_of(item, "Ready") or {}
    ready = "Ready" if heard.get("status") == "True" else "NotReady"
    return f"{ready},SchedulingDisabled" if dig(item, "spec", "unschedulable") else ready


def _restarts(item: Object) -> str:
    return str(sum(each.get("restartCount", 0) for each in dig(item, "status", "containerStatuses", default=[])))


def _at(*path: str, default: Any = "<none>") -> Callable[[Object], str]:
    return lambda item: str(dig(item, *path, default=default))


def _ports(item: Object) -> str:
    return ",".join(f"{each['port']}/{each['protocol']}" for each in dig(item, "spec", "ports", default=[])) or "<none>"


_OWN: Final[dict[str, list[tuple[str, Callable[[Object], Any]]]]] = {
    "Pod": [("Ready", _pod_ready), ("Status", _pod_status), ("Restarts", _restarts)],
    "StatefulSet": [("Ready", _ready)],
    "Deployment": [("Ready", _ready), ("Up-to-date", _at("status", "updatedReplicas", default=0))],
    "ReplicaSet": [("Desired", _at("spec", "replicas")), ("Ready", _at("status", "readyReplicas", default=0))],
    "Service": [("Type", _at("spec", "type")), ("Cluster-IP", _at("spec", "clusterIP")), ("Port(s)", _ports)],
    "ConfigMap": [("Data", lambda item: len(item.get("data") or {}))],
    "Secret": [("Type", _at("type")), ("Data", lambda item: len(item.get("data") or {}))],
    "Namespace": [("Status", _at("status", "phase"))],
    "Node": [("Status", _node_status)],
    "Lease": [("Holder", _at("spec", "holderIdentity"))],
    "Event": [
        ("Type", _at("type")),
        ("Reason", _at("reason")),
        ("Object", lambda item: f"{item['involvedObject']['kind'].lower()}/{item['involvedObject'].get('name', '')}"),
        ("Message", _at("message", default="")),
    ],
}
