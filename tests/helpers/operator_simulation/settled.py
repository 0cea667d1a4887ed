"""What has to be so when nothing fails any more, and nothing changes any more.

Operators know what there is, and nothing else; no step is open, no finalizer waits, no pin is left; what runs is what
is wanted, or somebody is told why not, and it is still so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from limnad_operator.reconcile import pods
from limnad_operator.reconcile.diff import template_digest
from limnad_operator.reconcile.plan import Object
from limnad_operator.reconcile.submitting import leader_name
from limnad_operator.shell.operator import Operator
from limnad_operator.shell.views import WATCHED
from tests.helpers.operator_simulation.checks import Checks, said, step, truth
from tests.helpers.operator_simulation.controllers import NO_IMAGE, image
from tests.helpers.operator_simulation.leaders import BAD_IMAGE, Job, Leaders
from tests.helpers.operator_simulation.server import NAMESPACE, Server

ENDED_MEANWHILE = "the job has ended"
"""A job may end while it is asked to be rescaled, and be submitted again before the answer comes: that is believed."""


@dataclass(frozen=True)
class Settled:
    """All that is looked at then."""

    server: Server
    leaders: Leaders
    checks: Checks
    operators: Sequence[Operator]

    def problems(self) -> Iterator[str]:
        """What is not as it has to be."""
        for operator in self.operators:
            yield from self._cache(operator)
        yield from self.checks.told_too_often()
        for object_ in self.server.objects.values():
            if "deletionTimestamp" in object_["metadata"]:
                yield f"{object_['kind']} {object_['metadata']['name']} is still being deleted"
        for kind, check in (
            ("LimnadCluster", self._cluster),
            ("LimnadJob", self._job),
            ("LimnadCheckpoint", self._checkpoint),
        ):
            for object_ in self.server.all(kind):
                for what in check(object_):
                    yield f"{kind} {object_['metadata']['name']} {what}: {object_['spec']}, {object_.get('status')}"
        for name in self.leaders.stores:
            if self.server.there("LimnadCluster", name) is not None and self._may_run(name):
                yield from self._store(name)

    def _cache(self, operator: Operator) -> Iterator[str]:
        for kind in WATCHED:
            there = {_name(each): each["metadata"]["resourceVersion"] for each in self.server.all(kind)}
            known = {_name(each): each["metadata"]["resourceVersion"] for each in operator.cache.all(kind, NAMESPACE)}
            if known != there:
                yield f"there are {kind} {there}, and an operator knows {known}"

    # -- clusters ------------------------------------------------------------------------------------------------------

    def _pods(self, cluster: str) -> list[Object]:
        return [pod for pod in self.server.all("Pod") if pods.name(pod).startswith(f"{cluster}-worker-")]

    def _may_run(self, cluster: str) -> bool:
        """Whether jobs can run there."""
        images = set(map(image, self._pods(cluster)))
        return bool(images) and images.isdisjoint({NO_IMAGE, BAD_IMAGE})

    def _cluster(self, cluster: Object) -> Iterator[str]:
        own, wanted = self._pods(_name(cluster)), cluster["spec"]["workers"]["replicas"]
        if step(cluster):
            yield "takes a step"
        refused = said(cluster, "failedScale") == cluster["metadata"]["generation"]
        if refused:
            yield from self._refusal(cluster)
        if said(cluster, "replicas") != wanted and not refused:
            yield f"is to have {wanted} workers"
        if len(own) != said(cluster, "replicas"):
            yield f"has {len(own)} pods"
        yield from self._templates(cluster, own)

    def _templates(self, cluster: Object, own: list[Object]) -> Iterator[str]:
        workers = self.server.there("StatefulSet", f"{_name(cluster)}-worker")
        if workers is None:
            yield "has no StatefulSet"
        elif {pods.digest(pod) for pod in own} - {template_digest(workers)}:
            yield "has pods of several templates"
        if set(map(image, own)) != {cluster["spec"]["image"]} and not said(cluster, "failedTemplate"):
            yield "runs another image"
        if self._may_run(_name(cluster)) and not all(map(pods.ready, own)):
            yield "has pods that are not ready"

    def _refusal(self, cluster: Object) -> Iterator[str]:
        """A scale was refused: somebody is told, and there is one that refuses still."""
        store, why = self.leaders.store(_name(cluster)), said(cluster, "refusal") or ""
        refuse = [
            name
            for name, job in store.jobs.items()
            if not job.ended and (name in store.refuses or not self.leaders.durable)
        ]
        if truth(cluster, "Degraded") != "True":
            yield "does not say that it is degraded"
        if not any(f"job {name} " in why for name in refuse) and ENDED_MEANWHILE not in why:
            yield f"is said to be refused, and only {refuse} would"

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def _job(self, object_: Object) -> Iterator[str]:
        at = (object_["spec"].get("clusterRef") or object_["metadata"])["name"]
        cluster, job = self.server.there("LimnadCluster", at), self.leaders.store(at).jobs.get(leader_name(object_))
        if cluster is None or not self._may_run(at):
            return
        suspended = object_["spec"].get("state") == "Suspended"
        if job is None:
            if not suspended and said(object_, "phase") not in ("Finished", "Failed", "Cancelled"):
                yield "does not run"
        elif suspended:
            if not job.ended and not self._unsuspendable(object_):
                yield "runs"
        elif job.state == "cancelled" or (not job.ended and job.state != "running"):
            yield f"is {job.state}"
        elif not job.ended:
            yield from self._running(object_, cluster, job)

    def _running(self, object_: Object, cluster: Object, job: Job) -> Iterator[str]:
        spec = object_["spec"]
        if dict(job.values["arguments"]) != spec.get("arguments", {}) and not self._unsuspendable(object_):
            yield f"runs with {job.values['arguments']}"
        if {"suspend", "savepoint", "upgrade"} & job.pins.keys():
            yield f"has pins {job.pins}"
        refuses = job.name in self.leaders.store(_name(cluster)).refuses or not self.leaders.durable
        wanted = spec.get("width") or said(cluster, "replicas")
        if job.width != wanted and not refuses and ENDED_MEANWHILE not in (said(cluster, "refusal") or ""):
            yield f"is to have {wanted} workers, and has {job.width}"

    def _unsuspendable(self, object_: Object) -> bool:
        """Whether its leader has refused what is wanted now, for a reason that holds: there is no store."""
        return said(object_, "refused") == object_["metadata"]["generation"] and not self.leaders.durable

    def _checkpoint(self, checkpoint: Object) -> Iterator[str]:
        at = said(checkpoint, "cluster")
        waits = self.server.there("LimnadCluster", at) is None or not self._may_run(
            at
        )  # For a leader, for ten minutes.
        if said(checkpoint, "state") == "Running" and not waits:
            yield "is still being made"

    def _store(self, cluster: str) -> Iterator[str]:
        checkpoints = {each["metadata"]["uid"] for each in self.server.all("LimnadCheckpoint")}
        for job in self.leaders.store(cluster).jobs.values():
            for pin in job.pins:
                kind, _, uid = pin.partition(":")
                if kind == "upgrade" or (kind == "object" and uid not in checkpoints):
                    yield f"job {job.name} has the pin {pin}, which nobody needs"
            if job.owner and self.checks.object_of(job) is None:
                if not job.ended:
                    yield f"job {job.name} runs, and its object is gone"
                elif self._is_left(cluster, job):
                    yield f"job {job.name} is left, and was to be forgotten"

    def _is_left(self, cluster: str, job: Job) -> bool:
        """Whether the state of a job whose object is gone should be gone, too: its finalizer was there for that.

        Not of one that was forgotten, and that a late request has submitted once more: it is cancelled, and stays.
        """
        if job.name in self.checks.forgotten:
            return False
        gone = self.checks.gone.values()
        made_by = next(each for each in gone if leader_name(each) == job.name)
        if any(each["kind"] == "LimnadCluster" and _name(each) == cluster for each in gone):
            return False
        told = self.checks.told[made_by["metadata"]["uid"], "StateLeft"]
        return pods.leaving(made_by) and made_by["spec"].get("onDeletion") == "Delete" and not told


def _name(object_: Object) -> str:
    return str(object_["metadata"]["name"])
