"""A cluster as its reconciliation sees it: what was seen, what is wanted, and the plan in the making."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from limnad_operator.manifests import ISOLATED, Shape, selector
from limnad_operator.manifests.pods import worker_template
from limnad_operator.model import ClusterSpec, ClusterStatus, Step, StepKind, seconds
from limnad_operator.reconcile import pods
from limnad_operator.reconcile.diff import template_digest
from limnad_operator.reconcile.plan import Call, Object, Operation
from limnad_operator.reconcile.seen import Answer, ClusterSeen, JobSeen, LeaderSeen
from limnad_operator.reconcile.telling import Draft


@dataclass
class Situation:
    """What one look at a cluster is about.

    Attributes:
        seen: What was seen.
        spec: What it is to be.
        draft: The plan in the making.
        problems: What somebody has to do something about: reasons and sentences.
    """

    seen: ClusterSeen
    spec: ClusterSpec
    draft: Draft[ClusterStatus]
    problems: list[tuple[str, str]] = field(default_factory=list)

    @property
    def status(self) -> ClusterStatus:
        """As it is to be."""
        return self.draft.status

    @property
    def leader(self) -> LeaderSeen:
        """Its leader."""
        return self.seen.leader

    @property
    def name(self) -> str:
        """The cluster's."""
        return str(self.seen.object["metadata"]["name"])

    @property
    def namespace(self) -> str:
        """Where it is."""
        return str(self.seen.object["metadata"]["namespace"])

    @property
    def shape(self) -> Shape:
        """What its manifests are made from now."""
        return Shape(
            self.name, self.namespace, str(self.seen.object["metadata"]["uid"]), self.spec, self.status.replicas
        )

    @cached_property
    def wanted_template(self) -> Object:
        """Of the workers' pods, by the spec."""
        return worker_template(self.shape)

    @property
    def wanted_digest(self) -> str:
        """Of that template."""
        return template_digest({"spec": {"template": self.wanted_template}})

    @property
    def workers(self) -> Object | None:
        """The StatefulSet, if it is there."""
        return self.seen.owned.get(("StatefulSet", self.shape.workers))

    @property
    def selector_text(self) -> str:
        """By which pods are found, in one line."""
        return ",".join(f"{key}={value}" for key, value in selector(self.name, "worker").items())

    @property
    def all_ready(self) -> bool:
        """Whether all pods that there are to be are ready, and no others are there."""
        return len(self.seen.pods) == self.status.replicas and all(map(pods.ready, self.seen.pods))

    @property
    def agents_there(self) -> bool:
        """Whether the leader knows all agents that there are to be."""
        indexes = {agent.index for agent in self.leader.agents if not agent.leaving}
        return self.leader.known and set(range(self.status.replicas)) <= indexes

    @property
    def incurable(self) -> list[Object]:
        """Pods that a new one in their place would not help."""
        return [
            pod for pod in self.seen.pods if not pods.ready(pod) and not pods.leaving(pod) and not pods.curable(pod)
        ]

    @property
    def why_not_ready(self) -> str:
        """What keeps it from being ready; empty: nothing."""
        for pod in sorted(self.seen.pods, key=pods.ordinal):
            if text := pods.problem(pod):
                return text
        if len(self.seen.pods) < self.status.replicas:
            return f"{len(self.seen.pods)} of {self.status.replicas} pods are there"
        if not self.leader.known:
            where = f" (its URL is in Secret {self.spec.store.secret_ref.name})" if self.spec.store is not None else ""
            return f"the leader does not lead yet: {self.leader.problem or 'it has no address'}{where}"
        if not self.agents_there:
            for pod in self.seen.pods:
                if pods.isolated(pod):
                    return (
                        f"pod {pods.name(pod)} is cut off by its label {ISOLATED}: remove it, and the pod joins again"
                    )
            return f"{len(self.leader.agents)} of {self.status.replicas} agents have registered with the leader"
        return ""

    # -- steps ---------------------------------------------------------------------------------------------------------

    def step_to(
        self, kind: StepKind, *, source: str, target: str, jobs: list[str] | None = None, since: float = -1.0
    ) -> None:
        """Begins a step."""
        since = self.seen.now_s if since < 0 else since
        self.draft.set(step=Step(kind=kind, source=source, target=target, since=since, jobs=jobs or []))

    def note(self, message: str) -> None:
        """Says what goes wrong on the way."""
        step = self.status.step
        if step is not None and step.message != message:
            self.draft.set(step=step.model_copy(update={"message": message[:1000]}))

    def late(self, deadline: str) -> bool:
        """Whether the step has taken longer than it may."""
        step = self.status.step
        return step is not None and self.seen.now_s - step.since >= seconds(deadline)

    def answer(self, operation: Operation, job: str = "") -> Answer | None:
        """What became of a call of the plan before."""
        for each in self.seen.answers:
            if isinstance(each.action, Call) and (each.action.operation, each.action.job) == (operation, job):
                return each
        return None

    def follows(self, job: str) -> bool:
        """Whether a job has as many workers as the cluster has slots: it was submitted without a width."""
        seen = self.leader.jobs[job]
        for each in self.seen.jobs:
            if (each.get("status") or {}).get("job") == job:
                return not each["spec"].get("width")
        return not seen.asked_width

    @property
    def orphans(self) -> list[JobSeen]:
        """Live jobs that an object has submitted which is gone; what may not be seen is not gone."""
        if not self.leader.known or self.seen.forbidden:
            return []
        uids = {object_["metadata"]["uid"] for object_ in self.seen.jobs}
        names = {(object_.get("status") or {}).get("job") for object_ in self.seen.jobs}
        return [
            job
            for job in self.leader.live
            if job.owner.startswith(f"LimnadJob {self.namespace}/")
            and job.name not in names
            and not any(job.name.endswith(uid[:8]) for uid in uids)  # It has just been submitted.
        ]

    @property
    def leaving(self) -> set[str]:
        """Names of live jobs whose objects are being deleted, or are gone."""
        deleted = {
            (object_.get("status") or {}).get("job")
            for object_ in self.seen.jobs
            if object_["metadata"].get("deletionTimestamp")
        }
        return {job.name for job in self.leader.live if job.name in deleted} | {job.name for job in self.orphans}
