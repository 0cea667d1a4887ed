"""What is done to a cluster, through the API server with the official client."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from limnad.errors import ClusterError
from limnad_operator.api import CALL_S, PATHS, Api, ApiError
from limnad_operator.drill.faults import MARK, Action, Cordon, Evict, Isolate, Kill, Scale, Switch, Upgrade
from limnad_operator.manifests import ISOLATED
from limnad_operator.model import GROUP, VERSION

TOO_MANY = 429
"""What is said if a disruption budget does not allow it now."""

SWITCH_S = 120
"""How long a command may take that switches a node."""


@dataclass(frozen=True, slots=True)
class Switches:
    """How nodes are switched off and on: commands in which ``{node}`` stands for the name.

    Attributes:
        off: For example ``docker pause {node}``; empty: not at all.
        on: For example ``docker unpause {node}``.
    """

    off: str = ""
    on: str = ""

    def flip(self, switch: Switch) -> None:
        """Does it.

        Raises:
            ClusterError: The command cannot be run, or fails.
        """
        command = self.on if switch.on else self.off
        words = [word.replace("{node}", switch.node) for word in shlex.split(command)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=SWITCH_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ClusterError(f"{shlex.join(words)} does not switch node {switch.node}: {error}") from None
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise ClusterError(f"{shlex.join(words)} ended with exit code {done.returncode}: {said[-1000:]}")


class Striker:
    """Does it.

    Args:
        api: The API server.
        talker: Its client.
        namespace: Where the cluster is.
        cluster: Its name.
        switches: Of the nodes.
    """

    def __init__(self, api: Api, talker: client.ApiClient, namespace: str, cluster: str, switches: Switches) -> None:
        self._api = api
        self._switches = switches
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
            ClusterError: A node could not be switched.
        """
        try:
            self._do(action)
        except ApiException as error:
            if error.status == TOO_MANY:
                return False
            if error.status == 404 and isinstance(action, Evict | Isolate):
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
            case Isolate():
                change = {"metadata": {"labels": {ISOLATED: "drill" if action.on else None}}}
                self._core.patch_namespaced_pod(action.pod, self._namespace, change, _request_timeout=CALL_S)
            case Switch():
                self._switches.flip(action)
            case Scale():
                change = {"spec": {"replicas": action.replicas}}
                self._custom.patch_namespaced_custom_object_scale(*self._cluster, change, _request_timeout=CALL_S)
            case Upgrade():
                workers = {"template": {"annotations": {MARK: action.mark}}}
                change = {"spec": {"workers": workers, **({"image": action.image} if action.image else {})}}
                self._custom.patch_namespaced_custom_object(*self._cluster, change, _request_timeout=CALL_S)
