"""The kinds that the server has: those that it is born with, and those that definitions bring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from tests.kubernetes.apiserver.definitions import definition_of
from tests.kubernetes.apiserver.objects import Object
from tests.kubernetes.apiserver.store import Kind

VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True, eq=False)
class Resource:
    """One kind under one version.

    Attributes:
        schema: Its OpenAPI schema; empty: anything.
        custom: Brought by a definition: it is validated, defaulted and pruned by its schema.
        scale: Paths of the scale subresource, as a definition names them.
        columns: What `kubectl get` prints of it.
        closed: No more are made, since its definition is to go.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: frozenset[str] = frozenset()
    schema: Object = field(default_factory=dict)
    custom: bool = False
    scale: Object = field(default_factory=dict)
    columns: tuple[Object, ...] = ()
    closed: bool = False

    @property
    def key(self) -> Kind:
        """Where the store keeps them."""
        return self.group, self.plural

    @property
    def api_version(self) -> str:
        """As objects carry it."""
        return f"{self.group}/{self.version}" if self.group else self.version


_REPLICAS: Final = {
    "specReplicasPath": ".spec.replicas",
    "statusReplicasPath": ".status.replicas",
    "labelSelectorPath": ".spec.selector",
}

# group/version: plural Kind (cluster: without a namespace) short names; after ":" its subresources
_BUILT_IN: Final = {
    "v1": """
        bindings Binding
        configmaps ConfigMap cm
        endpoints Endpoints ep
        events Event ev
        limitranges LimitRange limits
        namespaces Namespace cluster ns : status finalize
        nodes Node cluster no : status
        persistentvolumeclaims PersistentVolumeClaim pvc : status
        persistentvolumes PersistentVolume cluster pv : status
        pods Pod po : status log eviction
        podtemplates PodTemplate
        replicationcontrollers ReplicationController rc : status scale
        resourcequotas ResourceQuota quota : status
        secrets Secret
        serviceaccounts ServiceAccount sa : token
        services Service svc : status
    """,
    "apps/v1": """
        controllerrevisions ControllerRevision
        daemonsets DaemonSet ds : status
        deployments Deployment deploy : status scale
        replicasets ReplicaSet rs : status scale
        statefulsets StatefulSet sts : status scale
    """,
    "batch/v1": """
        cronjobs CronJob cj : status
        jobs Job : status
    """,
    "autoscaling/v2": "horizontalpodautoscalers HorizontalPodAutoscaler hpa : status",
    "policy/v1": "poddisruptionbudgets PodDisruptionBudget pdb : status",
    "networking.k8s.io/v1": """
        ingressclasses IngressClass cluster
        ingresses Ingress ing : status
        networkpolicies NetworkPolicy netpol
    """,
    "rbac.authorization.k8s.io/v1": """
        clusterrolebindings ClusterRoleBinding cluster
        clusterroles ClusterRole cluster
        rolebindings RoleBinding
        roles Role
    """,
    "coordination.k8s.io/v1": "leases Lease",
    "events.k8s.io/v1": "events Event ev",
    "discovery.k8s.io/v1": "endpointslices EndpointSlice",
    "scheduling.k8s.io/v1": "priorityclasses PriorityClass cluster pc",
    "storage.k8s.io/v1": "storageclasses StorageClass cluster sc",
    "node.k8s.io/v1": "runtimeclasses RuntimeClass cluster",
    "admissionregistration.k8s.io/v1": """
        mutatingwebhookconfigurations MutatingWebhookConfiguration cluster
        validatingwebhookconfigurations ValidatingWebhookConfiguration cluster
    """,
    "apiregistration.k8s.io/v1": "apiservices APIService cluster : status",
    "apiextensions.k8s.io/v1": "customresourcedefinitions CustomResourceDefinition cluster crd crds : status",
}


def built_in() -> Iterator[Resource]:
    """Those that every server has."""
    for group_version, lines in _BUILT_IN.items():
        group, _, version = group_version.rpartition("/")
        for line in lines.strip().splitlines():
            words, _, subresources = line.partition(":")
            plural, kind, *rest = words.split()
            named = frozenset(subresources.split())
            yield Resource(
                group=group,
                version=version,
                plural=plural,
                kind=kind,
                namespaced="cluster" not in rest,
                singular=kind.lower(),
                short_names=tuple(word for word in rest if word != "cluster"),
                categories=("all",) if "scale" in named or plural in {"pods", "services", "jobs", "cronjobs"} else (),
                subresources=named,
                schema=definition_of(group, version, kind),
                scale=_REPLICAS if "scale" in named else {},
            )


class Resources:
    """All kinds, as they are now."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._by_path = {(each.group, each.version, each.plural): each for each in resources}

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._by_path.values())

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """By the parts of a path."""
        return self._by_path.get((group, version, plural))

    def of_kind(self, api_version: str, kind: str) -> Resource | None:
        """By what an object says that it is."""
        for each in self:
            if each.kind == kind and each.api_version == api_version:
                return each
        return None

    def of_key(self, key: Kind) -> Resource | None:
        """Any version of what the store keeps there."""
        return next((each for each in self if each.key == key), None)

    def put(self, *resources: Resource) -> None:
        """Adds, or takes another's place."""
        for each in resources:
            self._by_path[each.group, each.version, each.plural] = each

    def drop(self, key: Kind) -> None:
        """Takes all versions away."""
        self._by_path = {path: each for path, each in self._by_path.items() if each.key != key}

    def groups(self) -> dict[str, list[str]]:
        """Group names, each with its versions."""
        found: dict[str, list[str]] = {}
        for each in self:
            versions = found.setdefault(each.group, [])
            if each.version not in versions:
                versions.append(each.version)
        return found
