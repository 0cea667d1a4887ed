"""Names, labels and ports: what the parts of a cluster call each other."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from limnad_operator.model import GROUP, VERSION, ClusterSpec, TlsMode, TokensMode

AGENT_PORT = 7700
"""Where agents serve each other."""

CLIENT_PORT = 7701
"""Where the leader serves clients."""

HEALTH_PORT = 7702
"""Where agents serve health, in plain text: kubelets speak no TLS."""

COORDINATOR_PORT = 7710
"""Where the coordinator serves."""

TEMPLATE = f"{GROUP}/template"
"""Annotation of pods and of what makes them: the digest of their template."""

PREVIOUS = f"{GROUP}/previous"
"""Annotation of the StatefulSet while a new template is tried: the one before, as JSON."""


ISOLATED = f"{GROUP}/isolated"
"""Label of a pod of the cluster that is to reach nobody, and nobody is to reach, whatever its value."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the manifests of a cluster are made from.

    Attributes:
        name: The cluster's.
        namespace: Where it is.
        uid: By which its parts are known to be its own.
        spec: What it is to be.
        replicas: How many pods there are to be now: while it is scaled, not what the spec says.
    """

    name: str
    namespace: str
    uid: str
    spec: ClusterSpec
    replicas: int

    @property
    def workers(self) -> str:
        """The StatefulSet, its PodDisruptionBudget, its NetworkPolicy and its pods' service account."""
        return f"{self.name}-worker"

    @property
    def isolated(self) -> str:
        """The NetworkPolicy of pods that are cut off."""
        return f"{self.name}-isolated"

    @property
    def headless(self) -> str:
        """The Service with all pods' addresses."""
        return f"{self.name}-workers"

    @property
    def leader(self) -> str:
        """The Service with the leader's address."""
        return f"{self.name}-leader"

    @property
    def coordinator(self) -> str:
        """The coordinator's Deployment and Service."""
        return f"{self.name}-coordinator"

    @property
    def settings(self) -> str:
        """The ConfigMap."""
        return f"{self.name}-settings"

    @property
    def tls_secret(self) -> str | None:
        """The Secret with certificates, whoever makes it."""
        tls = self.spec.tls
        if tls.mode is TlsMode.DISABLED:
            return None
        return tls.secret_ref.name if tls.secret_ref is not None else f"{self.name}-tls"

    @property
    def authority_secret(self) -> str:
        """The Secret with the authority's key; no pod mounts it."""
        return f"{self.name}-ca"

    @property
    def token_secret(self) -> tuple[str, str] | None:
        """The Secret with clients' tokens and the key in it, whoever makes it."""
        tokens = self.spec.tokens
        if tokens.mode is TokensMode.DISABLED:
            return None
        return (tokens.secret_ref.name, tokens.secret_ref.key) if tokens.secret_ref else (f"{self.name}-token", "token")

    def metadata(self, name: str, component: str, **more: Any) -> dict[str, Any]:
        """Of a part."""
        return {
            "name": name,
            "namespace": self.namespace,
            "labels": labels(self.name, component),
            "ownerReferences": [
                {
                    "apiVersion": f"{GROUP}/{VERSION}",
                    "kind": "LimnadCluster",
                    "name": self.name,
                    "uid": self.uid,
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
            **more,
        }


def labels(cluster: str, component: str) -> dict[str, str]:
    """Of a part of a cluster."""
    return {
        "app.kubernetes.io/name": "limnad",
        "app.kubernetes.io/instance": cluster,
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "limnad-operator",
    }


def selector(cluster: str, component: str) -> dict[str, str]:
    """By which pods are found."""
    chosen = labels(cluster, component)
    del chosen["app.kubernetes.io/managed-by"]
    return chosen


def digest(value: Any) -> str:
    """Of a plain object.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
