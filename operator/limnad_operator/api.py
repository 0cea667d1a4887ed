"""The API server, behind a few methods on plain objects: thin over the official client.

That client's models, defaults and retries are not used: its major versions have changed them, and an operator wants to
see what is there. Its connection, authentication (the token is read anew as it rotates) and kubeconfig are. It has no
default time-out, so each call gets one. Calls block.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any
from urllib.parse import quote

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from limnad_operator.model import GROUP, VERSION
from limnad_operator.reconcile.plan import Object

CALL_S = 15.0
"""How long a call may take."""

WATCH_S = 240
"""After how long the API server ends a watch; one that says nothing for some seconds longer is broken."""

GRACE_S = 5.0

PATHS: Mapping[str, tuple[str, str]] = {
    "LimnadCluster": (f"apis/{GROUP}/{VERSION}", "limnadclusters"),
    "LimnadJob": (f"apis/{GROUP}/{VERSION}", "limnadjobs"),
    "LimnadCheckpoint": (f"apis/{GROUP}/{VERSION}", "limnadcheckpoints"),
    "StatefulSet": ("apis/apps/v1", "statefulsets"),
    "Deployment": ("apis/apps/v1", "deployments"),
    "Service": ("api/v1", "services"),
    "ConfigMap": ("api/v1", "configmaps"),
    "Secret": ("api/v1", "secrets"),
    "ServiceAccount": ("api/v1", "serviceaccounts"),
    "Pod": ("api/v1", "pods"),
    "Event": ("api/v1", "events"),
    "PodDisruptionBudget": ("apis/policy/v1", "poddisruptionbudgets"),
    "NetworkPolicy": ("apis/networking.k8s.io/v1", "networkpolicies"),
    "Lease": ("apis/coordination.k8s.io/v1", "leases"),
}
"""Of each kind: where it is, and its plural."""


class ApiError(Exception):
    """The API server said no, or nothing.

    Attributes:
        status: Of HTTP; 0: it could not be reached.
        message: What it said.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}" if status else message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Listed:
    """A list as of one moment.

    Attributes:
        items: The objects.
        version: From which a watch goes on.
    """

    items: tuple[Object, ...]
    version: str


@dataclass(frozen=True, slots=True)
class Watched:
    """Something has changed.

    Attributes:
        type: ``ADDED``, ``MODIFIED``, ``DELETED`` or ``BOOKMARK``.
        object: As it is now.
    """

    type: str
    object: Object


def connect(kubeconfig: str | None = None, watch_s: int = WATCH_S) -> Api:
    """The API server that `open_client` finds.

    Raises:
        ApiError: There is none to be found.
    """
    return Api(open_client(kubeconfig), watch_s)


def open_client(kubeconfig: str | None = None) -> client.ApiClient:
    """Finds the API server: by a file, from inside a pod, or by ``KUBECONFIG``.

    Raises:
        ApiError: There is none to be found.
    """
    settings = client.Configuration()
    load: Any = config  # Its loaders have no types.
    try:
        if kubeconfig:
            load.load_kube_config(config_file=kubeconfig, client_configuration=settings)
        else:
            try:
                load.load_incluster_config(client_configuration=settings)
            except config.ConfigException:
                load.load_kube_config(client_configuration=settings)
    except (config.ConfigException, OSError) as error:
        raise ApiError(0, f"no API server is known: {error}. Run in a pod, or give --kubeconfig") from None
    settings.retries = False  # Whoever calls tries again, and knows what it has seen meanwhile.
    settings.connection_pool_maxsize = 64
    talker = client.ApiClient(settings)
    talker.user_agent = f"limnad-operator/{metadata.version('limnad')}"
    return talker


class Api:
    """See the module.

    Args:
        talker: The official client.
        watch_s: After how long a watch ends.
    """

    def __init__(self, talker: client.ApiClient, watch_s: int = WATCH_S) -> None:
        self._talker = talker
        self._watch_s = watch_s

    def list(self, kind: str, namespace: str, selector: str = "") -> Listed:
        """All objects of a kind in a namespace."""
        query = [("labelSelector", selector)] if selector else []
        answer = self._call("GET", _path(kind, namespace), query=query)
        group, _ = PATHS[kind]
        about = {"apiVersion": group.removeprefix("apis/").removeprefix("api/"), "kind": kind}
        items = tuple({**about, **item} for item in answer.get("items") or [])
        return Listed(items, answer["metadata"]["resourceVersion"])

    def watch(self, kind: str, namespace: str, version: str, selector: str = "") -> Iterator[Watched]:
        """What changes from a version on, until the API server ends it.

        Raises:
            ApiError: Of status 410: that version is too old, list anew.
        """
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", str(self._watch_s)),
            *([("labelSelector", selector)] if selector else []),
        ]
        response = self._send("GET", _path(kind, namespace), query=query, limit_s=(CALL_S, self._watch_s + GRACE_S))
        for line in _streamed(response, "the watch"):
            told = json.loads(line)
            if told["type"] == "ERROR":
                raise ApiError(int(told["object"].get("code") or 500), str(told["object"].get("message")))
            yield Watched(told["type"], told["object"])

    def log(self, namespace: str, pod: str) -> Iterator[bytes]:
        """Each line that a pod has printed, and will print, until it has ended or the API server hangs up.

        Raises:
            ApiError: There is no such pod, or nothing came for as long as a watch may say nothing.
        """
        path = f"{_path('Pod', namespace, pod)}/log"
        limit_s = (CALL_S, self._watch_s + GRACE_S)
        yield from _streamed(self._send("GET", path, query=[("follow", "true")], limit_s=limit_s), "the log")

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """An object; None: there is none."""
        try:
            return self._call("GET", _path(kind, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def create(self, manifest: Object) -> Object:
        """Makes an object; of status 409: it is there already."""
        return self._call("POST", _path(manifest["kind"], manifest["metadata"]["namespace"]), body=manifest)

    def replace(self, manifest: Object, *, status: bool = False) -> Object:
        """Writes an object, or its status; of status 409: it has changed since its resourceVersion."""
        metadata = manifest["metadata"]
        path = _path(manifest["kind"], metadata["namespace"], metadata["name"])
        return self._call("PUT", f"{path}/status" if status else path, body=manifest)

    def delete(self, kind: str, namespace: str, name: str, *, uid: str, grace_s: int | None = None) -> None:
        """Deletes an object; that it is gone already, or another one has its name, is no error."""
        body: Object = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        try:
            self._call("DELETE", _path(kind, namespace, name), body=body)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    def close(self) -> None:
        """Hangs up."""
        self._talker.rest_client.pool_manager.clear()

    def _call(
        self, method: str, path: str, *, query: Sequence[tuple[str, str]] | None = None, body: Any = None
    ) -> Object:
        response = self._send(method, path, query=query or (), body=body, limit_s=CALL_S)
        try:
            data = response.read()
        except urllib3.exceptions.HTTPError as error:
            raise ApiError(0, f"the API server broke off: {error}") from None
        if response.status >= 300:
            raise _error(response.status, data)
        answer: Object = json.loads(data)
        return answer

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]],
        body: Any = None,
        limit_s: float | tuple[float, float],
    ) -> Any:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        request = self._talker.param_serialize(
            method, path, query_params=list(query), header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        try:
            return self._talker.call_api(*request, _request_timeout=limit_s)
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            raise ApiError(0, f"the API server cannot be reached: {error}") from None


def _path(kind: str, namespace: str, name: str = "") -> str:
    group, plural = PATHS[kind]
    path = f"/{group}/namespaces/{quote(namespace)}/{plural}"
    return f"{path}/{quote(name)}" if name else path


def _error(status: int, data: bytes) -> ApiError:
    try:
        return ApiError(status, str(json.loads(data)["message"]))
    except (ValueError, KeyError, TypeError):
        return ApiError(status, data.decode(errors="replace")[:500] or "it did not say why")


def _streamed(response: Any, what: str) -> Iterator[bytes]:
    raw = response.response
    try:
        if response.status >= 300:
            raise _error(response.status, raw.read())
        yield from _lines(raw)
    except urllib3.exceptions.HTTPError as error:
        raise ApiError(0, f"{what} broke off: {error}") from None
    finally:
        raw.close()
        raw.release_conn()


def _lines(response: Any) -> Iterator[bytes]:
    """Whole lines of an answer that does not end."""
    rest = b""
    for piece in response.stream(None, decode_content=True):
        *lines, rest = (rest + piece).split(b"\n")
        yield from filter(None, lines)
