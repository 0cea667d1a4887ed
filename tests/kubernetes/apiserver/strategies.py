"""Of the kinds that the server is born with: their defaults, and what may not change."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from tests.kubernetes.apiserver.errors import Cause
from tests.kubernetes.apiserver.objects import Object, dig

WITHOUT_GENERATION: Final = frozenset(
    {
        ("", "configmaps"),
        ("", "endpoints"),
        ("", "events"),
        ("", "namespaces"),
        ("", "nodes"),
        ("", "persistentvolumeclaims"),
        ("", "persistentvolumes"),
        ("", "secrets"),
        ("", "serviceaccounts"),
        ("", "services"),
        ("coordination.k8s.io", "leases"),
        ("events.k8s.io", "events"),
        ("rbac.authorization.k8s.io", "clusterrolebindings"),
        ("rbac.authorization.k8s.io", "clusterroles"),
        ("rbac.authorization.k8s.io", "rolebindings"),
        ("rbac.authorization.k8s.io", "roles"),
    }
)
"""Kinds whose specs nobody counts."""

_CLUSTER_IPS: Final = itertools.count(1)


def cluster_ip() -> str:
    """An address for a Service."""
    number = next(_CLUSTER_IPS)
    return f"10.96.{number // 250}.{number % 250 + 1}"


def _secret(item: Object) -> None:
    data = item.setdefault("data", {})
    for name, text in (item.pop("stringData", None) or {}).items():
        data[name] = base64.b64encode(text.encode()).decode()
    if not data:
        del item["data"]
    item.setdefault("type", "Opaque")


def _service(item: Object) -> None:
    spec = item.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    for port in spec.get("ports", []):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])
    if spec["type"] != "ExternalName":
        spec.setdefault("clusterIP", cluster_ip())
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        spec.setdefault("internalTrafficPolicy", "Cluster")


def pod_spec(spec: Object) -> None:
    """Defaults of what runs in a pod."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("securityContext", {})
    spec.setdefault("schedulerName", "default-scheduler")
    for container in itertools.chain(spec.get("initContainers") or [], spec.get("containers") or []):
        _container(container)
    for volume in spec.get("volumes") or []:
        for kind in ("secret", "configMap", "downwardAPI", "projected"):
            if kind in volume:
                volume[kind].setdefault("defaultMode", 420)


def _container(container: Object) -> None:
    image = str(container.get("image", ""))
    latest = ":" not in image.rpartition("/")[2] or image.endswith(":latest")
    container.setdefault("imagePullPolicy", "Always" if latest else "IfNotPresent")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("resources", {})
    for port in container.get("ports") or []:
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or []:
        if reference := dig(variable, "valueFrom", "fieldRef"):
            reference.setdefault("apiVersion", "v1")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe := container.get(name):
            for field, value in (
                ("timeoutSeconds", 1),
                ("periodSeconds", 10),
                ("successThreshold", 1),
                ("failureThreshold", 3),
            ):
                probe.setdefault(field, value)
            if "grpc" in probe:
                probe["grpc"].setdefault("service", "")


def _pod(item: Object) -> None:
    spec = item.setdefault("spec", {})
    pod_spec(spec)
    spec.setdefault("serviceAccountName", "default")
    spec.setdefault("serviceAccount", spec["serviceAccountName"])
    item.setdefault("status", {"phase": "Pending", "qosClass": "BestEffort"})


def _template(item: Object) -> None:
    pod_spec(dig(item, "spec", "template", "spec", default={}))


def _stateful_set(item: Object) -> None:
    spec = item["spec"]
    spec.setdefault("replicas", 1)
    spec.setdefault("podManagementPolicy", "OrderedReady")
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = spec.setdefault("updateStrategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {"partition": 0})
    spec.setdefault("persistentVolumeClaimRetentionPolicy", {"whenDeleted": "Retain", "whenScaled": "Retain"})
    for claim in spec.get("volumeClaimTemplates") or []:
        claim.setdefault("apiVersion", "v1")
        claim.setdefault("kind", "PersistentVolumeClaim")
        claim["spec"].setdefault("volumeMode", "Filesystem")
        claim.setdefault("status", {"phase": "Pending"})
    _template(item)


def _deployment(item: Object) -> None:
    spec = item["spec"]
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    _template(item)


def _replica_set(item: Object) -> None:
    item["spec"].setdefault("replicas", 1)
    _template(item)


def _job(item: Object) -> None:
    spec = item["spec"]
    spec.setdefault("parallelism", 1)
    spec.setdefault("completions", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    uid = item["metadata"]["uid"]
    spec.setdefault("selector", {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}})
    labels = spec["template"].setdefault("metadata", {}).setdefault("labels", {})
    for prefix in ("batch.kubernetes.io/", ""):
        labels.setdefault(f"{prefix}controller-uid", uid)
        labels.setdefault(f"{prefix}job-name", item["metadata"]["name"])
    _template(item)


def _namespace(item: Object) -> None:
    item.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    item.setdefault("status", {}).setdefault("phase", "Active")
    item["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = item["metadata"]["name"]


def _claim(item: Object) -> None:
    item.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")
    item.setdefault("status", {"phase": "Pending"})


def _network_policy(item: Object) -> None:
    spec = item["spec"]
    spec.setdefault("policyTypes", ["Ingress", *(["Egress"] if "egress" in spec else [])])
    for rule in (*(spec.get("ingress") or []), *(spec.get("egress") or [])):
        for port in rule.get("ports") or []:
            port.setdefault("protocol", "TCP")


_DEFAULTS: Final[dict[tuple[str, str], Callable[[Object], None]]] = {
    ("", "secrets"): _secret,
    ("", "services"): _service,
    ("", "pods"): _pod,
    ("", "namespaces"): _namespace,
    ("", "persistentvolumeclaims"): _claim,
    ("apps", "statefulsets"): _stateful_set,
    ("apps", "deployments"): _deployment,
    ("apps", "replicasets"): _replica_set,
    ("batch", "jobs"): _job,
    ("networking.k8s.io", "networkpolicies"): _network_policy,
}


def default(kind: tuple[str, str], item: Object) -> None:
    """Puts the defaults of a kind into one of its objects. It holds what its schema requires."""
    if kind in _DEFAULTS:
        _DEFAULTS[kind](item)


_FIXED: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("apps", "deployments"): ("selector",),
    ("apps", "replicasets"): ("selector",),
    ("batch", "jobs"): ("selector", "template", "completionMode"),
    ("", "persistentvolumeclaims"): ("accessModes", "storageClassName", "volumeMode"),
}
_MAY_CHANGE: Final = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def refuse_change(kind: tuple[str, str], new: Object, old: Object) -> Iterator[Cause]:
    """What an update may not do."""
    before, after = old.get("spec") or {}, new.get("spec") or {}
    if kind == ("apps", "statefulsets") and any(
        before.get(name) != after.get(name) for name in before.keys() | after.keys() if name not in _MAY_CHANGE
    ):
        allowed = ", ".join(f"'{name}'" for name in _MAY_CHANGE)
        told = f"Forbidden: updates to statefulset spec for fields other than {allowed} are forbidden"
        yield Cause("spec", told, "FieldValueForbidden")
    for name in _FIXED.get(kind, ()):
        if before.get(name) != after.get(name):
            yield Cause(f"spec.{name}", f"Invalid value: {json.dumps(after.get(name))}: field is immutable")
    if kind == ("", "services") and before.get("clusterIP") and after.get("clusterIP") != before["clusterIP"]:
        shown = json.dumps([after.get("clusterIP")])
        yield Cause("spec.clusterIPs[0]", f"Invalid value: {shown}: may not change once set")
    if kind in {("", "configmaps"), ("", "secrets")} and old.get("immutable"):
        yield from _immutable(new, old)
    if kind == ("", "secrets") and new.get("type") != old.get("type"):
        yield Cause("type", f"Invalid value: {json.dumps(new.get('type'))}: field is immutable")
    if kind == ("", "pods") and _without_images(before) != _without_images(after):
        told = "Forbidden: pod updates may not change fields other than `spec.containers[*].image`"
        yield Cause("spec", told, "FieldValueForbidden")


def _immutable(new: Object, old: Object) -> Iterator[Cause]:
    for name in ("data", "binaryData", "immutable"):
        if new.get(name) != old.get(name):
            yield Cause(name, "Forbidden: field is immutable when `immutable` is set", "FieldValueForbidden")


def _without_images(spec: Object) -> Any:
    free = {"nodeName", "activeDeadlineSeconds", "terminationGracePeriodSeconds", "tolerations"}
    containers = [{**each, "image": ""} for each in spec.get("containers", [])]
    return {**{name: value for name, value in spec.items() if name not in free}, "containers": containers}
