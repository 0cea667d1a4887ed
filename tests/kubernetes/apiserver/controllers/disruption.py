"""PodDisruptionBudgets: how many pods may go of their own will now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tests.kubernetes.apiserver.controllers.controller import Key
from tests.kubernetes.apiserver.controllers.deployed import share
from tests.kubernetes.apiserver.controllers.pods import PODS, PodMaker, is_over, is_ready
from tests.kubernetes.apiserver.eviction import BUDGETS
from tests.kubernetes.apiserver.objects import Object, copied, dig, name_of, namespace_of, owner_of, set_condition
from tests.kubernetes.apiserver.selectors import by_selector
from tests.kubernetes.apiserver.store import Change

_SCALED: Final = {
    "StatefulSet": ("apps", "statefulsets"),
    "ReplicaSet": ("apps", "replicasets"),
}


class Disruptions(PodMaker):
    """Looks at one budget."""

    def concerns(self, change: Change) -> Iterable[Key]:
        """A budget, and all of a pod's namespace."""
        if change.kind == BUDGETS:
            return [(namespace_of(change.item), name_of(change.item))]
        if change.kind != PODS:
            return []
        namespace = namespace_of(change.item)
        return [(namespace, name_of(each)) for each in self.api.store.items(BUDGETS, namespace)]

    def look(self, namespace: str, name: str) -> None:
        """At one budget."""
        item = self.find(BUDGETS, namespace, name)
        if item is None:
            return
        matches = by_selector(dig(item, "spec", "selector"))
        pods = [pod for pod in self.api.store.items(PODS, namespace) if matches(pod) and not is_over(pod)]
        expected = self._expected(pods)
        spec = item["spec"]
        if "maxUnavailable" in spec:
            desired = max(0, expected - share(spec["maxUnavailable"], expected, up=True))
        else:
            desired = share(spec.get("minAvailable", 1), expected, up=True)
        healthy = sum(map(is_ready, pods))
        allowed = max(0, healthy - desired)
        status: Object = {
            **copied(item.get("status") or {}),
            "observedGeneration": item["metadata"]["generation"],
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
            "disruptionsAllowed": allowed,
        }
        reason = "SufficientPods" if allowed else "InsufficientPods"
        set_condition(status, "DisruptionAllowed", true=allowed > 0, reason=reason, message="")
        self.write_status(BUDGETS, item, status)

    def _expected(self, pods: list[Object]) -> int:
        """What the pods' controllers want, all together; a pod without one counts as itself."""
        controllers = {}
        alone = 0
        for pod in pods:
            owner = owner_of(pod)
            if owner is None or owner["kind"] not in _SCALED:
                alone += 1
            else:
                found = self.find(_SCALED[owner["kind"]], namespace_of(pod), owner["name"])
                controllers[owner["uid"]] = dig(found, "spec", "replicas", default=0) if found else 0
        return alone + sum(controllers.values())
