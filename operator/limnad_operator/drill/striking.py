"""What is done to a cluster, through the API server with the official client."""

from __future__ import annotations

from typing import Any

import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from limnad_operator.api import CALL_S, PATHS, Api, ApiError
from limnad_operator.drill.faults import MARK, Action, Cordon, Evict, Kill, Scale, Upgrade
from limnad_operator.model import GROUP, VERSION

TOO_MANY = 429
"""What is said if a disruption budget does not allow it now."""


class Striker:
    """Does it.

    Args:
        api: The API server.
        talker: Its client.
        namespace: Where the cluster is.
        cluster: Its name.
    """

    def __init__(self, api: Api, talker: client.ApiClient, namespace: str, cluster: str) -> None:
        self._api = api
        self._core: Any = client.CoreV1Api(talker)
        self._custom: Any = client.CustomObjectsApi(talker)
        self._namespace = namespace
        self._cluster = (GROUP, VERSION, namespace, PATHS["LimnadCluster"][1], cluster)

    def nodes(self) -> tuple[str, ...]:
        """Where pods can be placed; none: that may not be seen."""
        try:
            found = self._core.list_node(_request_timeout=CALL_S).items
        except ApiException:
            return ()
        return tuple(node.metadata.name for node in found if not (node.spec and node.spec.unschedulable))

    def do(self, action: Action) -> bool:
        """Does something; False: not now, try again.

        Raises:
            ApiError: It may not be done.
        """
        try:
            self._do(action)
        except ApiException as error:
            if error.status == TOO_MANY:
                return False
            if error.status == 404 and isinstance(action, Evict):
                return True  # It has gone by itself.
            raise ApiError(error.status or 0, f"{action}: {error.reason}") from None
        except urllib3.exceptions.HTTPError as error:
            raise ApiError(0, f"{action}: the API server cannot be reached: {error}") from None
        return True

    def _do(self, action: Action) -> None:
        match action:
            case Kill():
                self._api.delete("Pod", self._namespace, action.pod, uid=action.uid, grace_s=0)
            case Evict():
                body = {"metadata": {"name": action.pod, "namespace": self._namespace}}
                self._core.create_namespaced_pod_eviction(action.pod, self._namespace, body, _request_timeout=CALL_S)
            case Cordon():
                change: Any = {"spec": {"unschedulable": action.on or None}}
                self._core.patch_node(action.node, change, _request_timeout=CALL_S)
            case Scale():
                change = {"spec": {"replicas": action.replicas}}
                self._custom.patch_namespaced_custom_object_scale(*self._cluster, change, _request_timeout=CALL_S)
            case Upgrade():
                workers = {"template": {"annotations": {MARK: action.mark}}}
                change = {"spec": {"workers": workers, **({"image": action.image} if action.image else {})}}
                self._custom.patch_namespaced_custom_object(*self._cluster, change, _request_timeout=CALL_S)
