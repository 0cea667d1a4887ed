"""Jobs: pods that end, tried again until enough have succeeded or too many have failed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Final

from tests.kubernetes.apiserver.controllers.controller import Key
from tests.kubernetes.apiserver.controllers.pods import PODS, PodMaker, is_over
from tests.kubernetes.apiserver.objects import (
    Object,
    condition_of,
    copied,
    dig,
    name_of,
    namespace_of,
    now,
    owner_of,
    parse_time,
    set_condition,
)
from tests.kubernetes.apiserver.requests import Options
from tests.kubernetes.apiserver.store import Change

JOBS: Final = ("batch", "jobs")


class Jobs(PodMaker):
    """Looks at one job."""

    def concerns(self, change: Change) -> Iterable[Key]:
        """A job, and that of a pod."""
        if change.kind == JOBS:
            return [(namespace_of(change.item), name_of(change.item))]
        owner = owner_of(change.item) if change.kind == PODS else None
        return [(namespace_of(change.item), owner["name"])] if owner and owner["kind"] == "Job" else []

    def look(self, namespace: str, name: str) -> None:
        """At one job."""
        item = self.find(JOBS, namespace, name)
        if item is None or item["metadata"].get("deletionTimestamp"):
            return
        spec, pods = item["spec"], list(self.pods_of(item))
        succeeded = sum(dig(pod, "status", "phase") == "Succeeded" for pod in pods)
        failed = sum(dig(pod, "status", "phase") == "Failed" for pod in pods)
        active = [pod for pod in pods if not is_over(pod) and not pod["metadata"].get("deletionTimestamp")]
        status: Object = copied(item.get("status") or {})
        status.setdefault("startTime", now())
        ended = condition_of(item, "Complete") or condition_of(item, "Failed")
        if ended is None:
            self._decide(item, status, active, succeeded, failed)
            crashed = sum(
                each.get("restartCount", 0)
                for pod in active
                for each in dig(pod, "status", "containerStatuses", default=[])
            )
            late = self._is_late(item, status)
            if not condition_of({"status": status}, "Complete") and (late or failed + crashed > spec["backoffLimit"]):
                reason = "DeadlineExceeded" if late else "BackoffLimitExceeded"
                message = (
                    "Job was active longer than specified deadline"
                    if late
                    else "Job has reached the specified backoff limit"
                )
                set_condition(status, "FailureTarget", true=True, reason=reason, message=message)
                set_condition(status, "Failed", true=True, reason=reason, message=message)
                for pod in active:
                    self.end_pod(pod)
        status |= {"succeeded": succeeded, "failed": failed, "active": len(active), "ready": 0}
        self.write_status(JOBS, item, status)
        self._expire(item, status)

    def _decide(self, item: Object, status: Object, active: list[Object], succeeded: int, failed: int) -> None:
        spec = item["spec"]
        if succeeded >= spec["completions"]:
            set_condition(status, "SuccessCriteriaMet", true=True, reason="CompletionsReached")
            set_condition(status, "Complete", true=True, reason="CompletionsReached")
            status["completionTime"] = now()
        elif not spec["suspend"] and failed <= spec["backoffLimit"]:
            for _ in range(min(spec["parallelism"], spec["completions"] - succeeded) - len(active)):
                self.make_pod(item, spec["template"], generateName=f"{name_of(item)}-")

    def _is_late(self, item: Object, status: Object) -> bool:
        deadline_s = item["spec"].get("activeDeadlineSeconds")
        if deadline_s is None:
            return False
        left_s = deadline_s - (dt.datetime.now(dt.UTC) - parse_time(status["startTime"])).total_seconds()
        if left_s > 0:
            self.look_later((namespace_of(item), name_of(item)), left_s + 0.1)
        return bool(left_s <= 0)

    def _expire(self, item: Object, status: Object) -> None:
        ttl_s = item["spec"].get("ttlSecondsAfterFinished")
        ended = condition_of({"status": status}, "Complete") or condition_of({"status": status}, "Failed")
        if ttl_s is None or ended is None:
            return
        left_s = ttl_s - (dt.datetime.now(dt.UTC) - parse_time(ended["lastTransitionTime"])).total_seconds()
        if left_s > 0:
            self.look_later((namespace_of(item), name_of(item)), left_s + 0.1)
        else:
            self.api.delete(self.resource(JOBS), namespace_of(item), name_of(item), Options(propagation="Background"))
