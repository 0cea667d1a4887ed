"""Pods that do not come back by themselves. Most do: the StatefulSet makes them anew, and leaders go on without them.

A pod that should have ended long ago is on a node that does not say so: it is deleted without waiting, which is safe,
because generations fence what may live on there. A pod that is not ready for too long is deleted, three times an hour
at most: then somebody has to look.
"""

from __future__ import annotations

from limnad_operator.model import seconds
from limnad_operator.reconcile import pods
from limnad_operator.reconcile.plan import Delete
from limnad_operator.reconcile.situation import Situation

WINDOW_S = 3600.0
MOST = 3
"""How many pods are deleted within that time because they were not ready."""


def recover(it: Situation) -> None:
    """Plans the end of pods that will not serve again."""
    _take_lost_ones_for_gone(it)
    since = _unready_since(it)
    recent = [at for at in it.status.restarts if at > it.seen.now_s - WINDOW_S]
    it.draft.set(unready=since, restarts=recent)
    if it.status.step is not None:
        return  # Its own deadline counts.
    late = [
        pod
        for pod in it.seen.pods
        if pods.curable(pod)
        and it.seen.now_s - since.get(pods.uid(pod), it.seen.now_s) >= seconds(it.spec.deadlines.unready)
    ]
    for pod in late:
        if len(recent) >= MOST:
            times = f"{len(recent)} pods were deleted within an hour because they were not ready"
            it.problems.append(("NotReady", f"{times}, and {pods.problem(pod)}: look at its logs"))
            continue
        recent.append(it.seen.now_s)
        it.draft.set(restarts=list(recent))
        it.draft.tell(
            "PodRestarted",
            f"Pod {pods.name(pod)} was not ready for {it.spec.deadlines.unready}.",
            warning=True,
            about=pods.uid(pod),
        )
        it.draft.actions.append(Delete("Pod", pods.name(pod), pods.uid(pod)))


def _take_lost_ones_for_gone(it: Situation) -> None:
    after_s = seconds(it.spec.deadlines.lost)
    for pod in it.seen.pods:
        if pods.lost(pod, after_s, it.seen.now_s):
            message = f"Pod {pods.name(pod)} should have ended, and its node does not say so: it is taken for gone."
            it.draft.tell("PodLost", message, warning=True, about=pods.uid(pod))
            it.draft.actions.append(Delete("Pod", pods.name(pod), pods.uid(pod), grace_s=0))


def _unready_since(it: Situation) -> dict[str, float]:
    """By UID; nobody may have looked at a pod for a while in which it was ready."""
    before = it.status.unready
    unready = [pod for pod in sorted(it.seen.pods, key=pods.uid) if not pods.ready(pod) and not pods.leaving(pod)]
    return {pods.uid(pod): max(before.get(pods.uid(pod), it.seen.now_s), pods.unready_since(pod)) for pod in unready}
