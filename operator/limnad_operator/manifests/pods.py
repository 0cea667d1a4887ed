"""The pods: of workers and of the coordinator."""

from __future__ import annotations

import json
from typing import Any

from limnad_operator.manifests.naming import (
    AGENT_PORT,
    CLIENT_PORT,
    COORDINATOR_PORT,
    HEALTH_PORT,
    TEMPLATE,
    Shape,
    digest,
    labels,
    selector,
)
from limnad_operator.model import CoordinatorMode

GRACE_S = 60
"""From SIGTERM to SIGKILL, if the spec does not say it."""

MARGIN_S = 10
"""Of which last checkpoints do not get the last part."""

LOST_NODE_S = 30
"""How long a pod stays on a node that does not answer: the leader has gone on elsewhere long before."""

CACHE = "/var/cache/limnad"
SETTINGS = "/etc/limnad/settings"
CERTIFICATES = "/etc/limnad/tls"
TOKENS = "/etc/limnad/tokens"

PROGRESS = {CoordinatorMode.GLOBAL: "global", CoordinatorMode.LOCAL_GLOBAL: "local+global"}


def worker_template(shape: Shape) -> dict[str, Any]:
    """The template of the workers' pods, with its digest. It does not depend on how many there are."""
    spec, more = shape.spec, shape.spec.workers.template
    grace_s = more.termination_grace_period_seconds or GRACE_S
    probe = {"grpc": {"port": HEALTH_PORT}, "timeoutSeconds": 5}
    ports = {"agent": AGENT_PORT, "grpc": CLIENT_PORT, "health": HEALTH_PORT}
    ports |= {"metrics": spec.metrics.port} if spec.metrics.enabled else {}
    ports |= {"page": spec.page.port} if spec.page.enabled else {}
    container = {
        "name": "worker",
        **_image(shape),
        "command": ["limnad", "worker"],
        "env": [*_worker_env(shape, grace_s), *(more.env or [])],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports.items()],
        "startupProbe": {**probe, "periodSeconds": 2, "failureThreshold": 60},
        "readinessProbe": {**probe, "periodSeconds": 5, "failureThreshold": 3},
        "livenessProbe": {**probe, "periodSeconds": 10, "failureThreshold": 6},
        "resources": spec.workers.resources or {},
        "terminationMessagePolicy": "FallbackToLogsOnError",  # Its last words are told in the status.
        "securityContext": _LOCKED,
        "volumeMounts": [
            {"name": "settings", "mountPath": SETTINGS, "readOnly": True},
            {"name": "cache", "mountPath": CACHE},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - of the container alone
            *_secret_mounts(shape, tokens=True),
            *(more.volume_mounts or []),
        ],
    }
    pod = {
        **_pod(shape),
        "serviceAccountName": shape.workers,
        "terminationGracePeriodSeconds": grace_s,
        "tolerations": [*_LOST_NODE, *(more.tolerations or [])],
        "affinity": more.affinity if more.affinity is not None else _apart(shape),
        "topologySpreadConstraints": (
            more.topology_spread_constraints if more.topology_spread_constraints is not None else _spread(shape)
        ),
        "containers": [container, *(more.containers or [])],
        "volumes": [
            {"name": "settings", "configMap": {"name": shape.settings}},
            {"name": "cache", "emptyDir": {}},
            {"name": "tmp", "emptyDir": {}},
            *_secret_volumes(shape, tokens=True),
            *(more.volumes or []),
        ],
    }
    if more.node_selector:
        pod["nodeSelector"] = more.node_selector
    if more.priority_class_name:
        pod["priorityClassName"] = more.priority_class_name
    if more.init_containers:
        pod["initContainers"] = more.init_containers
    own = {**(more.labels or {}), **labels(shape.name, "worker")}
    return _digested({"metadata": {"labels": own, "annotations": more.annotations or {}}, "spec": pod})


def coordinator_template(shape: Shape) -> dict[str, Any]:
    """The template of the coordinator's pod, with its digest."""
    probe = {"tcpSocket": {"port": COORDINATOR_PORT}, "timeoutSeconds": 5}
    arguments = ["-m", "limnad_coordinator", "--host", "0.0.0.0", "--port", str(COORDINATOR_PORT)]  # noqa: S104
    container = {
        "name": "coordinator",
        **_image(shape),
        "command": ["python", *arguments],
        "env": [*_tls_env(shape), *_value_env(_log_env(shape))],
        "ports": [{"name": "grpc", "containerPort": COORDINATOR_PORT, "protocol": "TCP"}],
        "readinessProbe": {**probe, "periodSeconds": 5},
        "livenessProbe": {**probe, "periodSeconds": 10, "failureThreshold": 6},
        "resources": shape.spec.coordinator.resources or {},
        "securityContext": _LOCKED,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *_secret_mounts(shape, tokens=False)],  # noqa: S108
    }
    pod = {
        **_pod(shape),
        "serviceAccountName": shape.workers,
        "terminationGracePeriodSeconds": 10,
        "tolerations": _LOST_NODE,
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}, *_secret_volumes(shape, tokens=False)],
    }
    return _digested({"metadata": {"labels": labels(shape.name, "coordinator"), "annotations": {}}, "spec": pod})


def client_pod(shape: Shape, name: str, command: list[str]) -> dict[str, Any]:
    """A pod that runs a command once, as a client of the leader: ``LIMNAD_CLUSTER`` and so on say how to reach it."""
    address = f"{shape.leader}.{shape.namespace}.svc:{CLIENT_PORT}"
    reach = {"LIMNAD_CLUSTER": address}
    if shape.tls_secret is not None:
        reach["LIMNAD_TLS_CA"] = f"{CERTIFICATES}/ca.crt"
    if shape.token_secret is not None:
        reach["LIMNAD_TOKEN_FILE"] = f"{TOKENS}/{shape.token_secret[1]}"
    container = {
        "name": "client",
        **_image(shape),
        "command": command,
        "env": _value_env(reach),
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
        "securityContext": _LOCKED,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, *_secret_mounts(shape, tokens=True)],  # noqa: S108
    }
    volumes = _secret_volumes(shape, tokens=True)
    for volume in volumes:
        if volume["name"] == "tls":  # Not the key: clients have none.
            volume["secret"]["items"] = [{"key": "ca.crt", "path": "ca.crt"}]
    pod = {
        **_pod(shape),
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}, *volumes],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": shape.metadata(name, "client"), "spec": pod}


_LOCKED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}

_LOST_NODE = [
    {
        "key": f"node.kubernetes.io/{what}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": LOST_NODE_S,
    }
    for what in ("not-ready", "unreachable")
]


def _digested(template: dict[str, Any]) -> dict[str, Any]:
    template["metadata"]["annotations"] = {**template["metadata"]["annotations"], TEMPLATE: digest(template)}
    return template


def _image(shape: Shape) -> dict[str, Any]:
    return {"image": shape.spec.image, "imagePullPolicy": shape.spec.image_pull_policy}


def _pod(shape: Shape) -> dict[str, Any]:
    secrets = [{"name": each.name} for each in shape.spec.image_pull_secrets or []]
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # Kubernetes' LIMNAD_... variables of Services are no settings.
        "securityContext": {"runAsNonRoot": True, "fsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        **({"imagePullSecrets": secrets} if secrets else {}),
    }


def _apart(shape: Shape) -> dict[str, Any]:
    term = {
        "labelSelector": {"matchLabels": selector(shape.name, "worker")},
        "topologyKey": "kubernetes.io/hostname",
    }
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _spread(shape: Shape) -> list[dict[str, Any]]:
    return [
        {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector(shape.name, "worker")},
        }
    ]


def _worker_env(shape: Shape, grace_s: int) -> list[dict[str, Any]]:
    spec = shape.spec
    values = {
        "LIMNAD_CONFIG": f"{SETTINGS}/config.toml",
        "LIMNAD_LISTEN": f"0.0.0.0:{AGENT_PORT}",
        "LIMNAD_CLIENT_LISTEN": f"0.0.0.0:{CLIENT_PORT}",
        "LIMNAD_HEALTH_LISTEN": f"0.0.0.0:{HEALTH_PORT}",
        "LIMNAD_PEERS_DNS": f"{shape.leader}.{shape.namespace}.svc:{AGENT_PORT}",
        "LIMNAD_SLOTS": str(spec.workers.slots),
        "LIMNAD_CACHE": CACHE,
        "LIMNAD_GRACE": str(grace_s - MARGIN_S),
        "LIMNAD_SHARED_PATHS": "true",
        **_log_env(shape),
    }
    if spec.workers.engine_memory:
        values["LIMNAD_MEMORY"] = _bytes(spec.workers.engine_memory)
    if spec.metrics.enabled:
        values["LIMNAD_METRICS_PORT"] = str(spec.metrics.port)
        values["LIMNAD_METRICS_OPEN"] = json.dumps(spec.metrics.open)
    if spec.page.enabled:
        values["LIMNAD_UI_ADDRESS"] = f"0.0.0.0:{spec.page.port}"
    if spec.coordinator.enabled:
        values["LIMNAD_PROGRESS"] = PROGRESS[spec.coordinator.mode]
        values["LIMNAD_COORDINATOR"] = f"{shape.coordinator}.{shape.namespace}.svc:{COORDINATOR_PORT}"
    env = [
        {"name": "LIMNAD_INDEX", **_field("metadata.labels['apps.kubernetes.io/pod-index']")},
        {"name": "LIMNAD_ADVERTISE", **_field("status.podIP")},
        *_value_env(values),
        *_tls_env(shape),
    ]
    if shape.token_secret is not None:
        env += _value_env({"LIMNAD_TOKEN_FILE": f"{TOKENS}/{shape.token_secret[1]}"})
    if shape.token_secret is None or shape.tls_secret is None:
        env += _value_env({"LIMNAD_INSECURE": "true"})
    if spec.store is not None:
        key = {"name": spec.store.secret_ref.name, "key": spec.store.secret_ref.key}
        env.append({"name": "LIMNAD_STORE", "valueFrom": {"secretKeyRef": key}})
    return env


def _bytes(quantity: str) -> str:
    """A quantity of Kubernetes as the agents' settings have it: ``2Gi`` is ``2GiB``."""
    return quantity if quantity[-1].isdigit() else f"{quantity}B"


def _log_env(shape: Shape) -> dict[str, str]:
    return {"LIMNAD_LOG_FORMAT": shape.spec.logging.format, "LIMNAD_LOG_LEVEL": shape.spec.logging.level}


def _tls_env(shape: Shape) -> list[dict[str, Any]]:
    if shape.tls_secret is None:
        return []
    return _value_env(
        {
            "LIMNAD_TLS_CERT": f"{CERTIFICATES}/tls.crt",
            "LIMNAD_TLS_KEY": f"{CERTIFICATES}/tls.key",
            "LIMNAD_TLS_CA": f"{CERTIFICATES}/ca.crt",
            "LIMNAD_TLS_DOMAIN": shape.spec.tls.domain,
        }
    )


def _value_env(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "value": str(value)} for name, value in values.items()]


def _field(path: str) -> dict[str, Any]:
    return {"valueFrom": {"fieldRef": {"fieldPath": path}}}


def _secrets(shape: Shape, *, tokens: bool) -> list[tuple[str, str, str]]:
    found = [] if shape.tls_secret is None else [("tls", shape.tls_secret, CERTIFICATES)]
    if tokens and shape.token_secret is not None:
        found.append(("tokens", shape.token_secret[0], TOKENS))
    return found


def _secret_mounts(shape: Shape, *, tokens: bool) -> list[dict[str, Any]]:
    return [{"name": name, "mountPath": path, "readOnly": True} for name, _, path in _secrets(shape, tokens=tokens)]


def _secret_volumes(shape: Shape, *, tokens: bool) -> list[dict[str, Any]]:
    return [
        {"name": name, "secret": {"secretName": secret, "defaultMode": 0o440}}
        for name, secret, _ in _secrets(shape, tokens=tokens)
    ]
