"""A `LimnadJob`: submitted once, kept as its object says, and told of.

    PENDING --(cluster is there)--> STARTING --> RUNNING <--> RECOVERING      as the leader says
    RUNNING --(state: Suspended)--> SUSPENDING: a checkpoint is pinned, then it is cancelled --> SUSPENDED
    SUSPENDED --(state: Running)--> UPGRADING, as with another spec:
    RUNNING --(another spec)--> UPGRADING: a checkpoint as upgradeMode says, cancelled, submitted again --> STARTING

What is submitted has a number that stands in the status before it is: asked for twice, it is submitted once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from limnad_operator.manifests.naming import digest
from limnad_operator.model import (
    GROUP,
    VERSION,
    ClusterSpec,
    ConditionType,
    DesiredState,
    JobPhase,
    JobSpec,
    JobStatus,
    OnDeletion,
    RestoreFrom,
    UpgradeMode,
    seconds,
)
from limnad_operator.reconcile import job_telling
from limnad_operator.reconcile.plan import Call, Create, Delete, Object, Operation, Plan, Replace, SetFinalizers
from limnad_operator.reconcile.seen import Fault, JobObjectSeen, JobSeen
from limnad_operator.reconcile.submitting import Submission, call, digest_of, leader_name, owner, submission
from limnad_operator.reconcile.telling import Draft, unix

FINALIZER = f"{GROUP}/state"
LOOK_S = 5.0
STEP_S = 1.0
DELETION_S = 120.0
"""How long a deletion may take if there is no cluster that says it."""

SUSPEND, SAVEPOINT = "suspend", "savepoint"
"""Names of pins."""

ANOTHER = "another"
"""Of `JobStatus.submitted`: something else than what is wanted now."""

TEMPLATE = f"{GROUP}/job-template"
"""Annotation of a job's own cluster: the digest of its template."""

KICKS, WINDOW_S = 3, 3600.0
"""How often a job that stands still is started again within that time."""


@dataclass
class Look:
    """What one look at a job is about."""

    seen: JobObjectSeen
    spec: JobSpec
    cluster: ClusterSpec | None
    draft: Draft[JobStatus]

    @property
    def status(self) -> JobStatus:
        """As it is to be."""
        return self.draft.status

    @property
    def job(self) -> JobSeen | None:
        """As its leader tells of it."""
        return self.seen.leader.jobs.get(leader_name(self.seen.object))

    @property
    def name(self) -> str:
        """At its leader."""
        return leader_name(self.seen.object)

    def ask(self, operation: Operation, **values: object) -> None:
        """Plans a call about this job."""
        self.draft.actions.append(Call(operation, self.name, owner(self.seen.object), tuple(values.items())))

    def done(self, operation: Operation) -> Call | None:
        """What of this the leader has just done."""
        for each in self.seen.answers:
            if each.fault is None and isinstance(each.action, Call) and each.action.operation is operation:
                return each.action
        return None

    def refusal(self, operation: Operation) -> str:
        """What the leader said against it; empty: nothing."""
        for each in self.seen.answers:
            if isinstance(each.action, Call) and each.action.operation is operation and each.fault is Fault.REFUSED:
                return each.text or "it was refused"
        return ""


def reconcile_job(seen: JobObjectSeen) -> Plan:
    """What to do about a job."""
    spec = JobSpec.model_validate(seen.object["spec"])
    status = JobStatus.model_validate(seen.object.get("status") or {})
    cluster = ClusterSpec.model_validate(seen.cluster["spec"]) if seen.cluster is not None else None
    look = Look(seen, spec, cluster, Draft(seen.object, status, seen.now_s))
    metadata = seen.object["metadata"]
    if metadata.get("deletionTimestamp"):
        return _delete(look)
    if (plan := _guard(look)) is not None:
        return plan
    look.draft.set(cluster=cluster_name(seen.object), job=look.name)
    if _own_cluster(look):
        return job_telling.told(look.draft, look.job, "its cluster is made").plan(STEP_S)
    problem = _unusable(look)
    if problem:
        return job_telling.told(look.draft, look.job, problem).plan(LOOK_S)
    recorded = _act(look)
    _note_kicks(look)
    draft = job_telling.told(look.draft, look.job, _told_problem(look))
    if recorded:
        return draft.recorded()
    return _with_ttl(look, draft.plan(STEP_S if look.status.phase in _STEPS else LOOK_S))


_STEPS = {JobPhase.STARTING, JobPhase.SUSPENDING, JobPhase.UPGRADING, JobPhase.RECOVERING}


def cluster_name(object_: Object) -> str:
    """The cluster that a job runs in: the one that it names, or its own, which has its name."""
    ref = object_["spec"].get("clusterRef")
    return str(ref["name"] if ref else object_["metadata"]["name"])


def _own_cluster(look: Look) -> bool:
    """Makes the cluster of a job with one of its own, or brings it up to date; whether there is none yet."""
    template, object_ = look.spec.cluster_template, look.seen.object
    if template is None:
        return False
    plain = object_["spec"]["clusterTemplate"]["spec"]
    metadata = object_["metadata"]
    reference = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "LimnadJob",
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    there = look.seen.cluster
    if there is None:
        manifest = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "LimnadCluster",
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "annotations": {TEMPLATE: digest(plain)},
                "ownerReferences": [reference],
            },
            "spec": plain,
        }
        look.draft.actions.append(Create(manifest))
        return True
    annotations = there["metadata"].get("annotations") or {}
    if _owns(object_, there) and annotations.get(TEMPLATE) != digest(plain):
        annotations = {**annotations, TEMPLATE: digest(plain)}
        look.draft.actions.append(
            Replace({**there, "metadata": {**there["metadata"], "annotations": annotations}, "spec": plain})
        )
        return True
    return False


def _owns(object_: Object, cluster: Object) -> bool:
    references = cluster["metadata"].get("ownerReferences") or []
    return any(each["uid"] == object_["metadata"]["uid"] for each in references)


def _unusable(look: Look) -> str:
    """Why nothing can be done now; empty: something can."""
    seen, name = look.seen, cluster_name(look.seen.object)
    if seen.cluster is None:
        return f"there is no LimnadCluster {name!r} in this namespace, which spec.clusterRef names: make it"
    if look.spec.cluster_template is not None and not _owns(seen.object, seen.cluster):
        return f"there is a LimnadCluster {name!r} already, which is another one's: give this job another name"
    if seen.cluster["metadata"].get("deletionTimestamp"):
        return f"LimnadCluster {name!r} is being deleted"
    if not seen.leader.known:
        return f"the leader of LimnadCluster {name!r} does not answer yet: {seen.leader.problem or 'it has no address'}"
    return ""


# -- what is to be done ------------------------------------------------------------------------------------------------


def _act(look: Look) -> bool:
    """Plans what leads to what is wanted; whether the status is to be recorded before."""
    assert look.cluster is not None
    wanted = submission(look.spec, look.cluster, look.seen.config_map)
    job, status = look.job, look.status
    if look.spec.state is DesiredState.SUSPENDED:
        return _suspend(look, job)
    if wanted.problem:
        return False
    if status.phase is JobPhase.STARTING and not status.submitted:
        return _submit(look, wanted)
    if not status.submissions:
        return _begin(look)
    if status.phase is JobPhase.UPGRADING:
        return _replace(look, wanted, job)
    if status.phase in (JobPhase.SUSPENDED, JobPhase.SUSPENDING) or status.submitted != wanted.digest:
        return _upgrade(look, job)
    if job is None:
        return _again(look)
    if not job.ended:
        _set_width(look, job)
        for pin in sorted({SUSPEND, SAVEPOINT} & job.pins.keys()):  # It has gone on from there.
            look.ask(Operation.UNPIN, pin=pin)
    return False


def _begin(look: Look) -> bool:
    """The next submission is about to be made."""
    look.draft.set(phase=JobPhase.STARTING, submitted="", submissions=look.status.submissions + 1, error="", ended=None)
    return True


def _again(look: Look) -> bool:
    """The leader does not know it, and it has not ended: its registry was lost, or there was none."""
    if look.status.phase.ended:
        return False  # It has ended, and was forgotten since.
    look.draft.tell("JobLost", "The leader does not know the job any more: it is submitted again.", warning=True)
    return _begin(look)


def _submit(look: Look, wanted: Submission) -> bool:
    why = look.refusal(Operation.SUBMIT)
    if why and look.job is not None and not look.job.ended:
        # It was submitted, nobody heard the answer, and then the spec was changed: what runs is not what is wanted.
        look.draft.set(submitted=ANOTHER)
        return True
    if why:
        look.draft.set(
            phase=JobPhase.FAILED,
            submitted=wanted.digest,
            error=why,
            refused=look.draft.generation,
            ended=look.seen.now_s,
        )
        return True
    goes_back = isinstance(look.spec.restore, int) and look.status.submissions == 1
    done = look.done(Operation.SUBMIT)
    if done is not None and digest_of(done) != wanted.digest:
        look.draft.set(submitted=ANOTHER)  # The spec was changed meanwhile.
        return True
    if done is not None and goes_back:
        # It is submitted when this is done: until then both are asked for again, the one under the same request id.
        look.ask(Operation.RESTORE, checkpoint=look.spec.restore)
        return False
    if refused := look.refusal(Operation.RESTORE):
        look.draft.set(refused=look.draft.generation)
        look.draft.tell("RestoreRefused", f"The job goes on from its newest checkpoint: {refused}", warning=True)
    if refused or done is not None or look.done(Operation.RESTORE) is not None:
        look.draft.set(submitted=wanted.digest)
        look.draft.tell(
            "Submitted", f"The job was submitted as {look.name}.", turn=f"submission {look.status.submissions}"
        )
        return False
    again = look.status.submissions > 1
    resume = look.spec.upgrade_mode is not UpgradeMode.STATELESS if again else look.spec.restore != RestoreFrom.NONE
    # The same request each time: whether it was heard is not known, and the leader compares.
    look.draft.actions.append(call(look.seen.object, wanted, look.status.submissions, resume=resume, replace=again))
    return False


def _upgrade(look: Look, job: JobSeen | None) -> bool:
    if look.status.refused == look.draft.generation:
        return False
    before = "was suspended" if look.status.phase is JobPhase.SUSPENDED else "has another spec"
    look.draft.tell("JobUpgrade", f"The job {before}: it is submitted again ({look.spec.upgrade_mode}).")
    look.draft.set(phase=JobPhase.UPGRADING, started=look.seen.now_s)
    if job is None:
        return _begin(look)
    return True


def _replace(look: Look, wanted: Submission, job: JobSeen | None) -> bool:
    """Ends what runs, as the mode says, and then begins anew."""
    mode = look.spec.upgrade_mode
    if job is not None and not job.ended:
        if mode is UpgradeMode.SAVEPOINT and SAVEPOINT not in job.pins:
            if why := look.refusal(Operation.PIN):
                look.draft.set(phase=JobPhase.RUNNING, submitted=wanted.digest, refused=look.draft.generation)
                look.draft.tell(
                    "UpgradeRefused", f"The job goes on as it was, it makes no checkpoint: {why}", warning=True
                )
                return True
            look.ask(Operation.PIN, pin=SAVEPOINT)
            return False
        look.ask(Operation.CANCEL)
        return False
    if job is not None and mode is UpgradeMode.STATELESS:
        look.ask(Operation.DELETE)
        return False
    return _begin(look)


def _suspend(look: Look, job: JobSeen | None) -> bool:
    status = look.status
    if (status.phase is JobPhase.SUSPENDED or status.phase.ended) and (job is None or job.ended):
        return False  # Else it was submitted by a request that came late.
    if status.phase is not JobPhase.SUSPENDING:
        if status.refused == look.draft.generation:
            return False
        look.draft.set(phase=JobPhase.SUSPENDING, started=look.seen.now_s)
        return True
    if job is None or job.ended:
        look.draft.set(phase=JobPhase.SUSPENDED)
        look.draft.tell("Suspended", "The job is suspended: it goes on from its newest checkpoint.")
        return True
    if SUSPEND in job.pins:
        look.ask(Operation.CANCEL)
    elif why := look.refusal(Operation.PIN):
        look.draft.set(phase=JobPhase.RUNNING, refused=look.draft.generation)
        look.draft.tell("SuspendRefused", f"The job runs on, it makes no checkpoint to go on from: {why}", warning=True)
        return True
    else:
        look.ask(Operation.PIN, pin=SUSPEND)
    return False


def _set_width(look: Look, job: JobSeen) -> None:
    """A width in the spec is set while the job runs."""
    width = look.spec.width
    if not width or job.width in (0, width) or look.status.refused == look.draft.generation or job.held:
        return
    if why := look.refusal(Operation.RESCALE):
        look.draft.set(refused=look.draft.generation)
        look.draft.tell("RescaleRefused", f"The job stays at {job.width} workers: {why}", warning=True)
        return
    look.ask(Operation.RESCALE, workers=width)


# -- standing still ----------------------------------------------------------------------------------------------------


def _note_kicks(look: Look) -> None:
    """A job whose epoch does not advance is started again, a few times."""
    job, status, now_s = look.job, look.status, look.seen.now_s
    if job is None or job.state != "running" or look.cluster is None:
        look.draft.set(epoch_since=0.0)
        return
    if job.epoch != status.epoch or not status.epoch_since:
        look.draft.set(epoch_since=now_s)
        return
    deadline = look.cluster.deadlines.progress
    if deadline is None or job.epoch is None or now_s - status.epoch_since < seconds(deadline) or job.held:
        return
    recent = [at for at in status.kicks if at > now_s - WINDOW_S]
    if len(recent) < KICKS:
        look.draft.tell(
            "JobStuck", f"Epoch {job.epoch} has not ended for {deadline}: the job is started again.", warning=True
        )
        look.draft.set(kicks=[*recent, now_s], epoch_since=now_s)
        look.ask(Operation.RESTORE, checkpoint=0)


def _told_problem(look: Look) -> str:
    assert look.cluster is not None
    wanted = submission(look.spec, look.cluster, look.seen.config_map)
    if wanted.problem:
        return wanted.problem
    recent = [at for at in look.status.kicks if at > look.seen.now_s - WINDOW_S]
    if len(recent) >= KICKS:
        return f"it was started again {len(recent)} times within an hour because epoch {look.status.epoch} does not end"
    if look.status.refused == look.draft.generation and not look.status.phase.ended:
        return "the leader refused what the spec asks for: see the events"
    return ""


# -- the end -----------------------------------------------------------------------------------------------------------


def _guard(look: Look) -> Plan | None:
    there = tuple(look.seen.object["metadata"].get("finalizers") or ())
    wanted = look.spec.on_deletion is OnDeletion.DELETE
    if wanted == (FINALIZER in there):
        return None
    rest = tuple(each for each in there if each != FINALIZER)
    return Plan(actions=(SetFinalizers((*rest, FINALIZER) if wanted else rest),), again_s=0.0)


def _delete(look: Look) -> Plan:
    """A job whose state is to go with it: cancelled, then forgotten, within the deadline."""
    metadata = look.seen.object["metadata"]
    if FINALIZER not in (metadata.get("finalizers") or ()):
        return Plan()
    if look.status.phase is not JobPhase.DELETING:
        look.draft.set(phase=JobPhase.DELETING)
        look.draft.condition(ConditionType.READY, value=False, reason="Deleting", message="the job is being deleted")
        return look.draft.recorded()
    limit_s = seconds(look.cluster.deadlines.deletion) if look.cluster is not None else DELETION_S
    late = look.seen.now_s - unix(metadata["deletionTimestamp"]) >= limit_s
    gone = look.seen.cluster is None or (look.seen.leader.known and look.job is None)
    if gone or late:
        if late and not gone:
            look.draft.tell(
                "StateLeft", f"Job {look.name} could not be deleted in time: its state is left.", warning=True
            )
        rest = tuple(each for each in metadata["finalizers"] if each != FINALIZER)
        look.draft.actions.append(SetFinalizers(rest))
        plan = look.draft.plan(LOOK_S)
        return replace(plan, status=None)
    if look.job is not None:
        look.ask(Operation.DELETE if look.job.ended else Operation.CANCEL)
    return look.draft.plan(STEP_S)


def _with_ttl(look: Look, plan: Plan) -> Plan:
    """Deletes the object of a job that has ended long ago."""
    ttl_s, ended_s = look.spec.ttl_seconds_after_finished, look.status.ended
    if ttl_s is None or ended_s is None or not look.status.phase.ended:
        return plan
    if look.seen.now_s - ended_s < ttl_s:
        return plan
    metadata = look.seen.object["metadata"]
    return replace(plan, actions=(Delete("LimnadJob", metadata["name"], metadata["uid"]),))
