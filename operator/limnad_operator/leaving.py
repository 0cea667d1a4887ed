"""What `helm uninstall` runs first: the release's cluster and the jobs on it go, while the operator lives.

    python -m limnad_operator.leaving --namespaces limnad --cluster limnad/limnad --timeout 180

It ends in any case. What is not this release's would be left without an operator and could not be deleted later, so it
is named and nothing is done. What has not gone when the time is over loses its finalizers, and is named too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from limnad_operator.model import GROUP, VERSION

CALL_S: Final = 10.0
"""For one request."""

PAUSE_S: Final = 1.0
"""From one look to the next."""

PLURALS: Final = {
    "LimnadCheckpoint": "limnadcheckpoints",
    "LimnadJob": "limnadjobs",
    "LimnadCluster": "limnadclusters",
}
"""The kinds, in the order in which they go."""


@dataclass(frozen=True, slots=True, order=True)
class Item:
    """An object, as far as leaving needs it.

    Attributes:
        kind: Its kind.
        namespace: Where it is.
        name: Its name.
        belongs: The cluster or job of the same namespace that it is on or about; empty: none.
        owned: Whether another object owns it, and it goes with that.
        leaving: Whether it is being deleted.
    """

    kind: str
    namespace: str
    name: str
    belongs: str = ""
    owned: bool = False
    leaving: bool = False

    def __str__(self) -> str:
        """As kubectl has it."""
        return f"{self.kind.lower()}/{self.name} in namespace {self.namespace}"


def item(found: dict[str, Any]) -> Item:
    """From an object as the API server has it."""
    metadata, spec = found["metadata"], found.get("spec", {})
    reference = spec.get("clusterRef") or spec.get("jobRef") or {}
    return Item(
        found["kind"],
        metadata["namespace"],
        metadata["name"],
        belongs=reference.get("name", ""),
        owned=bool(metadata.get("ownerReferences")),
        leaving="deletionTimestamp" in metadata,
    )


def of_release(items: Iterable[Item], cluster: tuple[str, str] | None) -> set[Item]:
    """The cluster, the jobs on it, and their checkpoints. What somebody else owns is nobody's concern here."""
    if cluster is None:
        return set()
    namespace, name = cluster
    near = [each for each in items if each.namespace == namespace]
    jobs = {each.name for each in near if each.kind == "LimnadJob" and each.belongs == name}
    return {
        each
        for each in near
        if (each.kind == "LimnadCluster" and each.name == name)
        or (each.kind == "LimnadJob" and each.name in jobs)
        or (each.kind == "LimnadCheckpoint" and each.belongs in jobs)
    }


def foreign(items: Iterable[Item], cluster: tuple[str, str] | None) -> list[Item]:
    """What would be left without an operator: clusters and jobs of others, and checkpoints of such jobs."""
    items = list(items)
    return sorted(each for each in set(items) - of_release(items, cluster) if not each.owned and not each.leaving)


def next_to_delete(items: Iterable[Item], cluster: tuple[str, str] | None) -> list[Item]:
    """What is to be deleted now: a kind when those before it are gone, because they need those after it to go well.

    >>> job, at = Item("LimnadJob", "n", "j", belongs="c"), Item("LimnadCluster", "n", "c")
    >>> [each.name for each in next_to_delete([at, job], ("n", "c"))]
    ['j']
    >>> [each.name for each in next_to_delete([at], ("n", "c"))]
    ['c']
    """
    own = of_release(items, cluster)
    for kind in PLURALS:
        if left := [each for each in own if each.kind == kind]:
            return sorted(each for each in left if not each.leaving)
    return []


class Objects:
    """The objects of `limnad.io` in some namespaces.

    Args:
        namespaces: Their names.
    """

    def __init__(self, namespaces: list[str]) -> None:
        from kubernetes import client, config

        configured: Any = config
        try:
            configured.load_incluster_config()
        except config.ConfigException:
            configured.load_kube_config(config_file=os.environ.get("KUBECONFIG"))
        self._client: Any = client.ApiClient()
        self._api: Any = client.CustomObjectsApi(self._client)
        self._failure: Any = client.ApiException
        self._namespaces = namespaces

    def close(self) -> None:
        """Hangs up."""
        self._client.close()

    def list(self) -> list[Item]:
        """All of them."""
        found = []
        for namespace in self._namespaces:
            for kind, plural in PLURALS.items():
                listed = self._api.list_namespaced_custom_object(
                    GROUP, VERSION, namespace, plural, _request_timeout=CALL_S
                )
                found += [item({**each, "kind": kind}) for each in listed["items"]]
        return found

    def delete(self, gone: Item) -> None:
        """Deletes one, or begins to. What it owns goes after it: the operator still needs the pods."""
        self._unless_gone(
            self._api.delete_namespaced_custom_object, gone, propagation_policy="Background", _request_timeout=CALL_S
        )

    def release(self, held: Item) -> None:
        """Takes the finalizers from one, so that it goes."""
        found = self._unless_gone(self._api.get_namespaced_custom_object, held, _request_timeout=CALL_S)
        if found is not None:
            found["metadata"]["finalizers"] = []
            self._unless_gone(self._api.replace_namespaced_custom_object, held, found, _request_timeout=CALL_S)

    def _unless_gone(self, call: Any, each: Item, *more: Any, **options: Any) -> Any:
        try:
            return call(GROUP, VERSION, each.namespace, PLURALS[each.kind], each.name, *more, **options)
        except self._failure as error:
            if error.status in (404, 409):  # It has gone, or somebody was faster: the next look tells.
                return None
            raise


def leave(objects: Objects, cluster: tuple[str, str] | None, timeout_s: float) -> int:
    """Deletes what is the release's. Returns an exit code."""
    deadline_s = time.monotonic() + timeout_s
    if strange := foreign(objects.list(), cluster):
        say("These are not this release's, and nobody could delete them when its operator is gone. Delete them first:")
        for each in strange:
            say(f"  kubectl delete -n {each.namespace} {each.kind.lower()}/{each.name}")
        return 1
    while left := sorted(of_release(found := objects.list(), cluster)):
        if time.monotonic() > deadline_s:
            for each in left:
                objects.delete(each)
                objects.release(each)
                say(f"{each} had not gone after {timeout_s:g} s and was let go as it was")
            return 0
        for each in next_to_delete(found, cluster):
            objects.delete(each)
            say(f"{each} is deleted")
        time.sleep(PAUSE_S)
    say("nothing is left")
    return 0


def say(line: str) -> None:
    """To whoever reads the hook's log."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Deletes a release's cluster and the jobs on it.")
    parser.add_argument("--namespaces", required=True, help="that the operator looks after, with commas between")
    parser.add_argument("--cluster", default="", help="NAMESPACE/NAME of the release's cluster")
    parser.add_argument("--timeout", type=float, default=180.0, help="seconds after which it ends in any case")
    told = parser.parse_args()
    namespace, _, name = told.cluster.partition("/")
    with contextlib.closing(Objects(told.namespaces.split(","))) as objects:
        sys.exit(leave(objects, (namespace, name) if name else None, told.timeout))


if __name__ == "__main__":
    main()
