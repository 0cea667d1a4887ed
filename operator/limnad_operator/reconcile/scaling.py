"""Another number of pods. `status.replicas` is how many there are to be now; jobs without a width of their own follow.

grow:   (wanted) -> GROW_PODS    more pods; all agents there
                 -> GROW_JOBS    each such job is rescaled; one that refuses stays as it is, and is named
follow: (settled) -> GROW_JOBS   a job began when not all agents were there
shrink: (wanted) -> SHRINK_JOBS  agents that are to go get no more work; each such job is rescaled
                 -> SHRINK_PODS  fewer pods: those that go hand their engines over as they get SIGTERM
        refused  -> SHRINK_UNDO  jobs go back to the old number; pods stay, and the job is named

What jobs have refused is tried again when the spec is another one, or when they have gone or have a width of their own.
A job that is being deleted is not asked: the pods that it still has workers on wait for its end.
"""

from __future__ import annotations

from limnad_operator.model import Step, StepKind
from limnad_operator.reconcile import pods
from limnad_operator.reconcile.plan import Call, Operation
from limnad_operator.reconcile.seen import Fault, JobSeen
from limnad_operator.reconcile.situation import Situation


def take(it: Situation) -> bool:
    """Takes a step of a scale, or begins one; whether the status is to be recorded before anything is done."""
    step = it.status.step
    if step is None:
        return _begin(it)
    taken = STEPS.get(step.kind)
    return False if taken is None else taken(it, step)


def _begin(it: Situation) -> bool:
    now, wanted = it.status.replicas, it.spec.workers.replicas
    if it.status.failed_scale and (it.status.failed_scale != it.draft.generation or _nobody_refuses(it, wanted)):
        it.draft.set(failed_scale=0, refusing=[], refusal="")
    if it.status.failed_scale:
        return False
    if now == wanted:
        return _follow(it, now)
    if it.workers is None or not it.status.template:  # Nothing runs that could be lost.
        it.draft.set(replicas=wanted)
        return True
    if wanted > now:
        it.draft.set(replicas=wanted)
        it.step_to(StepKind.GROW_PODS, source=str(now), target=str(wanted))
        it.draft.tell("ScaleStarted", f"The cluster grows from {now} to {wanted} workers.")
    else:
        it.step_to(StepKind.SHRINK_JOBS, source=str(now), target=str(wanted))
        it.draft.tell("ScaleStarted", f"The cluster shrinks from {now} to {wanted} workers.")
    return True


def _follow(it: Situation, now: int) -> bool:
    """Jobs that began when not all pods were there, or before the cluster was healthy, follow it too."""
    if not it.status.template or not it.agents_there or it.why_not_ready:
        return False
    if not [job for job in _followers(it, now) if job.state == "running" and not (job.held or job.draining)]:
        return False
    it.step_to(StepKind.GROW_JOBS, source=str(now), target=str(now))
    return True


def _done(it: Situation, step: Step) -> bool:
    it.draft.set(step=None)
    if step.source == step.target:
        return True
    it.draft.tell("Scaled", f"The cluster has {step.target} workers.")
    return True


# -- growing -----------------------------------------------------------------------------------------------------------


def _grow_pods(it: Situation, step: Step) -> bool:
    if it.spec.workers.replicas != int(step.target):
        it.draft.set(step=None)  # Jobs have not been touched: begin from here.
        return True
    if not it.agents_there:
        it.note(it.why_not_ready)
        if it.late(it.spec.deadlines.scale):
            it.problems.append(("ScaleStuck", f"the new pods are not there, jobs stay as they are: {it.why_not_ready}"))
        _resize(it, it.status.replicas)
        return False
    it.step_to(StepKind.GROW_JOBS, source=step.source, target=step.target)
    return True


def _grow_jobs(it: Situation, step: Step) -> bool:
    if it.spec.workers.replicas != int(step.target):
        it.draft.set(step=None)
        return True
    if not it.leader.known:
        return False
    refused = dict(part.split(": ", 1) for part in step.jobs)
    open_ = [job for job in _followers(it, int(step.target)) if job.name not in refused]
    newly = _refusals(it, open_)
    if newly:
        joined = [f"{name}: {why}" for name, why in {**refused, **newly}.items()]
        it.draft.set(step=step.model_copy(update={"jobs": joined}))
        return True
    if open_:
        _rescale(it, open_, int(step.target))
        return False
    if refused:
        named = "; ".join(f"job {name} stays as it is: {why}" for name, why in refused.items())
        message = f"the cluster has {step.target} workers, but {named}"
        it.draft.set(failed_scale=it.draft.generation, refusing=sorted(refused), refusal=message)
        it.draft.tell("ScaleRefused", f"{message}.", warning=True)
    return _done(it, step)


# -- shrinking ---------------------------------------------------------------------------------------------------------


def _shrink_jobs(it: Situation, step: Step) -> bool:
    wanted = it.spec.workers.replicas
    if wanted != int(step.target):
        kind = StepKind.SHRINK_JOBS if wanted < int(step.source) else StepKind.SHRINK_UNDO
        it.step_to(kind, source=step.source, target=str(wanted) if wanted < int(step.source) else step.source)
        return True
    if not it.leader.known:
        it.note(f"the leader does not answer: {it.leader.problem}")
        return False
    if _resize(it, int(step.target)):
        return False
    open_ = _followers(it, int(step.target))
    refusals = _refusals(it, open_)
    if refusals:
        named = "; ".join(f"job {name} does not go to fewer workers: {why}" for name, why in refusals.items())
        message = f"the cluster keeps its {step.source} workers: {named}"
        it.draft.set(failed_scale=it.draft.generation, refusing=sorted(refusals), refusal=message)
        it.draft.tell("ScaleRefused", f"{message}.", warning=True)
        it.step_to(StepKind.SHRINK_UNDO, source=step.source, target=step.source)
        return True
    if open_:
        _rescale(it, open_, int(step.target))
        return False
    if _wider(it, int(step.target), it.leaving) and not it.late(it.spec.deadlines.scale):
        return False
    it.draft.set(replicas=int(step.target))
    it.step_to(StepKind.SHRINK_PODS, source=step.source, target=step.target)
    return True


def _shrink_pods(it: Situation, step: Step) -> bool:
    if any(pods.ordinal(pod) >= int(step.target) for pod in it.seen.pods):
        return False  # `keeping` has told the StatefulSet, and pods take their time.
    if it.workers is None or it.workers["spec"].get("replicas") != int(step.target):
        return False
    return _done(it, step)


def _shrink_undo(it: Situation, step: Step) -> bool:
    if not it.leader.known or _resize(it, int(step.source)):
        return False
    open_ = [job for job in _followers(it, int(step.source)) if job.name not in _refusals(it, [job])]
    if open_:
        _rescale(it, open_, int(step.source))
        return False
    it.draft.set(step=None)
    return True


# -- jobs --------------------------------------------------------------------------------------------------------------


def _resize(it: Situation, agents: int) -> bool:
    """Tells the leader how many agents there are to be; whether it does not know yet."""
    if not it.leader.known or it.leader.expected == agents:
        return False
    it.draft.actions.append(Call(Operation.RESIZE, values=(("agents", agents),)))
    return True


def _followers(it: Situation, replicas: int) -> list[JobSeen]:
    """Jobs that are to have as many workers as the cluster has slots, and do not."""
    slots, leaving = replicas * it.spec.workers.slots, it.leaving
    return [
        job
        for job in it.leader.live
        if job.name not in leaving and it.follows(job.name) and job.width not in (0, slots)
    ]


def _wider(it: Situation, replicas: int, jobs: set[str]) -> bool:
    """Whether some of these have more workers than there would be slots."""
    return any(job.name in jobs and job.width > replicas * it.spec.workers.slots for job in it.leader.live)


def _nobody_refuses(it: Situation, replicas: int) -> bool:
    """Whether those that have refused a scale are not concerned by it any more."""
    slots, leaving = replicas * it.spec.workers.slots, it.leaving
    return it.leader.known and not any(
        job.name in it.status.refusing and job.name not in leaving and it.follows(job.name) and job.width != slots
        for job in it.leader.live
    )


def _rescale(it: Situation, jobs: list[JobSeen], replicas: int) -> None:
    width = replicas * it.spec.workers.slots
    it.draft.actions += [Call(Operation.RESCALE, job.name, job.owner, (("workers", width),)) for job in jobs]


def _refusals(it: Situation, jobs: list[JobSeen]) -> dict[str, str]:
    """Those that have been asked and do not want, with what they say; and those that do not answer in time."""
    found = {}
    for job in jobs:
        answer = it.answer(Operation.RESCALE, job.name)
        if answer is None or answer.fault is None:
            continue
        if answer.fault is Fault.REFUSED or it.late(it.spec.deadlines.scale):
            found[job.name] = answer.text.replace("\n", " ")
        else:
            it.note(f"job {job.name}: {answer.text}")
    return found


STEPS = {
    StepKind.GROW_PODS: _grow_pods,
    StepKind.GROW_JOBS: _grow_jobs,
    StepKind.SHRINK_JOBS: _shrink_jobs,
    StepKind.SHRINK_PODS: _shrink_pods,
    StepKind.SHRINK_UNDO: _shrink_undo,
}
