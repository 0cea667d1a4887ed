"""What is seen of one object: from the cache, and Secrets and code, which are not watched, from the API server."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from limnad_operator.manifests import CLIENT_PORT, Shape
from limnad_operator.model import ClusterSpec
from limnad_operator.reconcile import Answer, CheckpointSeen, ClusterSeen, JobObjectSeen, LeaderSeen, pods
from limnad_operator.reconcile.job import cluster_name
from limnad_operator.reconcile.plan import Object
from limnad_operator.shell.calling import AsyncApi
from limnad_operator.shell.leaders import Credentials, Leaders
from limnad_operator.shell.views import OWNED, Cache, Key

Seen = ClusterSeen | JobObjectSeen | CheckpointSeen


class Observer:
    """Looks.

    Args:
        api: The API server.
        cache: What is known of it.
        leaders: The leaders.
        by_service: Whether leaders are reached by their Service's name, not by their pod's address.
    """

    def __init__(self, api: AsyncApi, cache: Cache, leaders: Leaders, *, by_service: bool = False) -> None:
        self._api = api
        self._cache = cache
        self._leaders = leaders
        self._by_service = by_service

    async def see(self, key: Key, answers: tuple[Answer, ...], now_s: float) -> Seen | None:
        """All that concerns an object; None: there is none.

        Raises:
            ApiError: The API server does not tell.
        """
        object_ = self._cache.get(*key)
        if object_ is None:
            return None
        if key.kind == "LimnadCluster":
            return await self._cluster(object_, answers, now_s)
        if key.kind == "LimnadJob":
            return await self._job(object_, answers, now_s)
        return await self._checkpoint(object_, answers, now_s)

    async def reach(self, namespace: str, cluster: str) -> tuple[str, Credentials]:
        """Where a cluster's leader serves, and how it is spoken to; empty: nowhere yet."""
        object_ = self._cache.get("LimnadCluster", namespace, cluster)
        if object_ is None:
            return "", Credentials()
        return await self._reach(object_, await self._secrets(object_))

    async def _reach(self, cluster: Object, secrets: Mapping[str, Mapping[str, str]]) -> tuple[str, Credentials]:
        shape = shape_of(cluster)
        leader = [pod for pod in self._pods(cluster) if pods.ordinal(pod) == 0 and not pods.leaving(pod)]
        host = pods.address(leader[0]) if leader else ""
        if self._by_service and host:
            host = f"{shape.leader}.{shape.namespace}.svc"
        authority = token = ""
        if shape.tls_secret is not None:
            authority = _text(secrets, shape.tls_secret, "ca.crt")
        if shape.token_secret is not None:
            token = next(filter(None, map(_bare, _text(secrets, *shape.token_secret).splitlines())), "")
        credentials = Credentials(authority, f"leader.{shape.spec.tls.domain}" if authority else "", token)
        if not host or (shape.tls_secret is not None and not authority):
            return "", credentials
        return f"[{host}]:{CLIENT_PORT}" if ":" in host else f"{host}:{CLIENT_PORT}", credentials

    def _pods(self, cluster: Object) -> list[Object]:
        metadata = cluster["metadata"]
        return sorted(
            (pod for pod in self._cache.all("Pod", metadata["namespace"]) if _is_worker_of(pod, metadata["name"])),
            key=pods.ordinal,
        )

    async def _secrets(self, cluster: Object) -> dict[str, Mapping[str, str]]:
        shape = shape_of(cluster)
        names = {shape.tls_secret, shape.authority_secret, shape.token_secret[0] if shape.token_secret else None}
        if shape.spec.store is not None:
            names.add(shape.spec.store.secret_ref.name)
        found = {name: await self._api.get("Secret", shape.namespace, name) for name in sorted(filter(None, names))}
        return {name: secret.get("data") or {} for name, secret in found.items() if secret is not None}

    async def _look(self, cluster: Object | None) -> LeaderSeen:
        if cluster is None:
            return LeaderSeen()
        address, credentials = await self._reach(cluster, await self._secrets(cluster))
        return await self._leaders.look(address, credentials) if address else LeaderSeen()

    async def _cluster(self, object_: Object, answers: tuple[Answer, ...], now_s: float) -> ClusterSeen:
        cache, metadata = self._cache, object_["metadata"]
        namespace, name, uid = metadata["namespace"], metadata["name"], metadata["uid"]
        secrets = await self._secrets(object_)
        address, credentials = await self._reach(object_, secrets)
        leader = await self._leaders.look(address, credentials) if address else LeaderSeen()
        owned = {
            (kind, each["metadata"]["name"]): each
            for kind in OWNED
            for each in cache.all(kind, namespace)
            if any(reference["uid"] == uid for reference in each["metadata"].get("ownerReferences") or [])
        }
        return ClusterSeen(
            now_s=now_s,
            object=object_,
            owned=owned,
            pods=tuple(self._pods(object_)),
            secrets=secrets,
            leader=leader,
            jobs=tuple(job for job in cache.all("LimnadJob", namespace) if cluster_name(job) == name),
            checkpoints=tuple(cache.all("LimnadCheckpoint", namespace)),
            answers=answers,
            forbidden=tuple(text for (_, where), text in sorted(cache.forbidden.items()) if where == namespace),
        )

    async def _job(self, object_: Object, answers: tuple[Answer, ...], now_s: float) -> JobObjectSeen:
        namespace = object_["metadata"]["namespace"]
        cluster = self._cache.get("LimnadCluster", namespace, cluster_name(object_))
        code = object_["spec"]["source"].get("configMap")
        held = await self._api.get("ConfigMap", namespace, code["name"]) if code else None
        config_map = None if held is None else held.get("data") or {}
        return JobObjectSeen(now_s, object_, cluster, config_map, await self._look(cluster), answers)

    async def _checkpoint(self, object_: Object, answers: tuple[Answer, ...], now_s: float) -> CheckpointSeen:
        namespace = object_["metadata"]["namespace"]
        job = self._cache.get("LimnadJob", namespace, object_["spec"]["jobRef"]["name"])
        cluster = self._cache.get("LimnadCluster", namespace, cluster_name(job)) if job is not None else None
        return CheckpointSeen(now_s, object_, job, cluster, await self._look(cluster), answers)


def shape_of(cluster: Object) -> Shape:
    """What the names of a cluster's parts are made from."""
    metadata, spec = cluster["metadata"], ClusterSpec.model_validate(cluster["spec"])
    return Shape(metadata["name"], metadata["namespace"], metadata["uid"], spec, spec.workers.replicas)


def _is_worker_of(pod: Object, cluster: str) -> bool:
    labels: dict[str, Any] = pod["metadata"].get("labels") or {}
    return labels.get("app.kubernetes.io/instance") == cluster and labels.get("app.kubernetes.io/component") == "worker"


def _text(secrets: Mapping[str, Mapping[str, str]], name: str, key: str) -> str:
    return base64.b64decode(secrets.get(name, {}).get(key, "")).decode(errors="replace")


def _bare(line: str) -> str:
    return line.partition("#")[0].strip()
