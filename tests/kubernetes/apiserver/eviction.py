"""Evictions: a delete of a pod that its PodDisruptionBudget may refuse."""

from __future__ import annotations

from tests.kubernetes.apiserver.api import Api
from tests.kubernetes.apiserver.errors import too_many_requests, unknown_path
from tests.kubernetes.apiserver.objects import Object, condition_of, copied, dig, name_of
from tests.kubernetes.apiserver.requests import read_options
from tests.kubernetes.apiserver.selectors import by_selector

BUDGETS = ("policy", "poddisruptionbudgets")


def evict(api: Api, namespace: str, name: str, body: Object) -> None:
    """Deletes a pod if its budget allows it.

    Raises:
        ApiError: The budget does not (429), or there is no such pod.
    """
    pods = api.resources.find("", "v1", "pods")
    if pods is None:
        raise unknown_path()
    pod = api.get(pods, namespace, name)
    for budget in list(api.store.items(BUDGETS, namespace)):
        if by_selector(dig(budget, "spec", "selector"))(pod) and condition_of(pod, "Ready") is not None:
            _spend(api, budget, pod)
    api.delete(pods, namespace, name, read_options({}, body.get("deleteOptions"), ""))


def _spend(api: Api, budget: Object, pod: Object) -> None:
    """Takes one of the disruptions that are left; a pod that is not ready costs none."""
    ready = condition_of(pod, "Ready")
    if ready is None or ready["status"] != "True" or pod["metadata"].get("deletionTimestamp"):
        return
    if dig(budget, "status", "disruptionsAllowed", default=0) < 1:
        message = "Cannot evict pod as it would violate the pod's disruption budget."
        status = budget.get("status") or {}
        told = (
            f"The disruption budget {name_of(budget)} needs {status.get('desiredHealthy', 0)} healthy pods and has "
            f"{status.get('currentHealthy', 0)} currently"
        )
        raise too_many_requests(message, 10, [{"reason": "DisruptionBudget", "message": told}])
    spent = copied(budget)
    spent["status"]["disruptionsAllowed"] -= 1
    api.store.put(BUDGETS, spent)
