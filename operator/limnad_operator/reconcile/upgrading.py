"""A new template for the pods, most often a new image: one build per generation, so all pods are replaced at once.

    (wanted) -> UPGRADE_HOLD     each job makes a checkpoint and is held at it: nothing committed is shown from then on
             -> UPGRADE_PODS     the StatefulSet gets the new template, and all pods of the old one are deleted
             -> UPGRADE_HEALTH   all pods ready, all agents there, all jobs run again
             -> UPGRADE_RELEASE  jobs are let go: the new template is the healthy one
    late, or a job fails:
             -> ROLLBACK_PODS    the old template again, and all pods of the new one are deleted
             -> ROLLBACK_RELEASE jobs go on from where they were held, those that had failed too

As long as a cluster has never been healthy there is nothing to lose: pods of an old template are just deleted.
"""

from __future__ import annotations

from limnad_operator.model import Step, StepKind
from limnad_operator.reconcile import pods
from limnad_operator.reconcile.diff import template_digest
from limnad_operator.reconcile.keeping import template_before
from limnad_operator.reconcile.plan import Call, Delete, Operation
from limnad_operator.reconcile.seen import Fault, JobSeen
from limnad_operator.reconcile.situation import Situation

PIN = "upgrade"
"""The name of the pin that holds jobs."""


def take(it: Situation) -> bool:
    """Takes a step of an upgrade, or begins one; whether the status is to be recorded before anything is done."""
    step = it.status.step
    if step is None:
        return _begin(it)
    taken = _STEPS.get(step.kind)
    return False if taken is None else taken(it, step)


def _begin(it: Situation) -> bool:
    wanted, healthy = it.wanted_digest, it.status.template
    if not healthy:
        return _never_healthy(it, wanted)
    if it.status.failed_template and it.status.failed_template != wanted:
        it.draft.set(failed_template="", failure="")
    if wanted in (healthy, it.status.failed_template):
        return False
    it.step_to(StepKind.UPGRADE_HOLD, source=healthy, target=wanted)
    it.draft.tell(
        "UpgradeStarted", f"Pods get a new template, with image {it.spec.image}: jobs are held at a checkpoint."
    )
    return True


def _never_healthy(it: Situation, wanted: str) -> bool:
    there = it.workers
    if there is None or template_digest(there) != wanted:
        return False
    old = [pod for pod in it.seen.pods if pods.digest(pod) != wanted]
    if not old and it.all_ready and it.agents_there:
        it.draft.set(template=wanted, image=it.spec.image)
        return True
    _delete(it, old)
    return False


def _delete(it: Situation, some: list[dict[str, object]]) -> None:
    it.draft.actions += [Delete("Pod", pods.name(pod), pods.uid(pod)) for pod in some if not pods.leaving(pod)]


# -- forward -----------------------------------------------------------------------------------------------------------


def _hold(it: Situation, step: Step) -> bool:
    if it.wanted_digest != step.target:
        if it.wanted_digest == step.source:
            return _give_up(it, step, "the old template was wanted again", quiet=True)
        it.step_to(StepKind.UPGRADE_HOLD, source=step.source, target=it.wanted_digest)
        return True
    if not it.leader.known:
        it.note(f"the leader does not answer: {it.leader.problem}")
        if it.late(it.spec.deadlines.upgrade):  # A new template may be what it lacks.
            it.step_to(StepKind.UPGRADE_PODS, source=step.source, target=step.target)
            return True
        return False
    open_ = [job for job in it.leader.live if job.durable and PIN not in job.pins]
    if not open_:
        held = [job.name for job in it.leader.live if PIN in job.pins]
        it.step_to(StepKind.UPGRADE_PODS, source=step.source, target=step.target, jobs=held)
        return True
    for job in open_:
        answer = it.answer(Operation.PIN, job.name)
        if answer is not None and answer.fault is not None:
            it.note(f"job {job.name} makes no checkpoint: {answer.text}")
    if it.late(it.spec.deadlines.upgrade):
        names = ", ".join(job.name for job in open_)
        why = it.status.step.message if it.status.step else ""
        return _give_up(it, step, f"these jobs made no checkpoint in time: {names}. {why}")
    it.draft.actions += [Call(Operation.PIN, job.name, values=(("pin", PIN), ("hold", True))) for job in open_]
    return False


def _give_up(it: Situation, step: Step, why: str, *, quiet: bool = False) -> bool:
    """Before any pod was touched: lets jobs go."""
    if not quiet:
        _failed(it, step, why)
    it.step_to(StepKind.ROLLBACK_RELEASE, source=step.source, target=step.source, jobs=step.jobs)
    return True


def _pods(it: Situation, step: Step) -> bool:
    if it.wanted_digest != step.target:
        it.step_to(StepKind.UPGRADE_PODS, source=step.source, target=it.wanted_digest, jobs=step.jobs)
        return True
    there = it.workers
    if there is None or template_digest(there) != step.target:
        return False  # `keeping` writes it.
    old = [pod for pod in it.seen.pods if pods.digest(pod) != step.target]
    if old:
        _delete(it, old)
        return False
    if len(it.seen.pods) < it.status.replicas:
        return False
    it.step_to(StepKind.UPGRADE_HEALTH, source=step.source, target=step.target, jobs=step.jobs, since=step.since)
    return True


def _health(it: Situation, step: Step) -> bool:
    if it.wanted_digest != step.target:
        it.step_to(StepKind.UPGRADE_PODS, source=step.source, target=it.wanted_digest, jobs=step.jobs)
        return True
    failed = [job for name in step.jobs if (job := it.leader.jobs.get(name)) is not None and job.state == "failed"]
    if it.leader.known and failed:
        return _roll_back(it, step, f"job {failed[0].name} failed under the new template: {failed[0].error}")
    waits = it.why_not_ready or _not_running(it, step.jobs)
    if not waits:
        it.step_to(StepKind.UPGRADE_RELEASE, source=step.source, target=step.target, jobs=step.jobs)
        return True
    it.note(waits)
    if it.late(it.spec.deadlines.upgrade):
        return _roll_back(it, step, f"it was not healthy within {it.spec.deadlines.upgrade}: {waits}")
    return False


def _not_running(it: Situation, jobs: list[str]) -> str:
    for name in jobs:
        job = it.leader.jobs.get(name)
        if job is not None and not job.ended and job.state != "running":
            return f"job {name} is {job.state}{f': {job.last_fault}' if job.last_fault else ''}"
    return ""


def _release(it: Situation, step: Step) -> bool:
    if _unpin(it):
        return False
    if not it.leader.known:
        return False
    it.draft.set(
        step=None, template=step.target, image=it.spec.image if it.wanted_digest == step.target else it.status.image
    )
    it.draft.set(failed_template="", failure="")
    it.draft.tell("Upgraded", f"All pods have the new template, with image {it.status.image}, and all jobs run.")
    return True


def _unpin(it: Situation) -> bool:
    """Lets held jobs go; whether some are held still."""
    held = [job for job in it.leader.jobs.values() if PIN in job.pins]
    it.draft.actions += [Call(Operation.UNPIN, job.name, values=(("pin", PIN),)) for job in held]
    return bool(held)


# -- back --------------------------------------------------------------------------------------------------------------


def _failed(it: Situation, step: Step, why: str) -> None:
    message = (
        f"image {it.spec.image} was not taken: {why}. Correct the spec; the cluster runs on with {it.status.image}"
    )
    it.draft.set(failed_template=step.target, failure=message)
    it.draft.tell("UpgradeFailed", f"{message}.", warning=True)


def _roll_back(it: Situation, step: Step, why: str) -> bool:
    _failed(it, step, why)
    it.step_to(StepKind.ROLLBACK_PODS, source=step.source, target=step.target, jobs=step.jobs)
    return True


def _rollback_pods(it: Situation, step: Step) -> bool:
    there, before = it.workers, template_digest({"spec": {"template": template_before(it)}})
    if there is None or template_digest(there) != before:
        return False  # `keeping` writes it.
    new = [pod for pod in it.seen.pods if pods.digest(pod) != before]
    if new:
        _delete(it, new)
        return False
    if not it.leader.known:
        it.note(it.why_not_ready)
        return False
    it.draft.set(template=before)
    it.step_to(StepKind.ROLLBACK_RELEASE, source=before, target=before, jobs=step.jobs)
    return True


def _rollback_release(it: Situation, step: Step) -> bool:
    if not it.leader.known or _unpin(it):
        return False
    dead = [job for name in step.jobs if (job := it.leader.jobs.get(name)) is not None and _to_restore(it, job)]
    if dead:
        it.draft.actions += [Call(Operation.RESTORE, job.name, job.owner) for job in dead]
        return False
    it.draft.set(step=None)
    if it.status.failure:
        it.draft.tell("RolledBack", f"All pods have the old template again, with image {it.status.image}.")
    return True


def _to_restore(it: Situation, job: JobSeen) -> bool:
    """Whether a job failed under the new template, and can go on under the old one."""
    answer = it.answer(Operation.RESTORE, job.name)
    return job.state == "failed" and (answer is None or answer.fault is not Fault.REFUSED)


_STEPS = {
    StepKind.UPGRADE_HOLD: _hold,
    StepKind.UPGRADE_PODS: _pods,
    StepKind.UPGRADE_HEALTH: _health,
    StepKind.UPGRADE_RELEASE: _release,
    StepKind.ROLLBACK_PODS: _rollback_pods,
    StepKind.ROLLBACK_RELEASE: _rollback_release,
}
