"""A `LimnadCluster`: what it consists of is made and kept, and what takes several steps is taken on by one.

At any time one step at most is being taken: of a deletion, an upgrade or a scale. Their files say which follows which.
"""

from __future__ import annotations

from typing import TypeAlias

from limnad_operator.model import ClusterPhase, ClusterSpec, ClusterStatus, ConditionType, StepKind
from limnad_operator.reconcile import deleting, pods, recovering, scaling, upgrading
from limnad_operator.reconcile.keeping import keep
from limnad_operator.reconcile.plan import Call, Operation, Plan
from limnad_operator.reconcile.seen import ClusterSeen, Fault
from limnad_operator.reconcile.situation import Situation
from limnad_operator.reconcile.telling import Draft

LOOK_S = 5.0
"""How often a cluster is looked at when nothing happens: leaders are asked, not watched."""

STEP_S = 1.0
"""How often it is looked at while a step is taken."""

ClusterDraft: TypeAlias = Draft[ClusterStatus]


def reconcile_cluster(seen: ClusterSeen) -> Plan:
    """What to do about a cluster."""
    spec = ClusterSpec.model_validate(seen.object["spec"])
    status = ClusterStatus.model_validate(seen.object.get("status") or {})
    it = Situation(seen, spec, Draft(seen.object, status, seen.now_s))
    if seen.object["metadata"].get("deletionTimestamp"):
        return deleting.delete(it)
    if (plan := deleting.guard(it)) is not None:
        return plan
    if not it.status.replicas:
        it.draft.set(replicas=spec.workers.replicas)
    for take in (upgrading.take, scaling.take):
        if take(it):
            return _told(it).recorded()
    keep(it)
    recovering.recover(it)
    _let_go_of_what_nobody_owns(it)
    return _told(it).plan(LOOK_S if it.status.step is None and it.all_ready else STEP_S)


def _let_go_of_what_nobody_owns(it: Situation) -> None:
    """Jobs and pins whose objects are gone, and jobs that are held for an upgrade that is over.

    What was asked of a leader may be done after its answer was given up, and after others have taken the next steps.
    """
    for job in it.orphans:
        it.draft.tell("JobOrphaned", f"The object of job {job.name} is gone: it is cancelled.", about=job.name)
        it.draft.actions.append(Call(Operation.CANCEL, job.name, job.owner))
    if not it.leader.known or it.seen.forbidden:
        return
    checkpoints = {each["metadata"]["uid"] for each in it.seen.checkpoints}
    for job in it.leader.jobs.values():
        for pin in job.pins:
            kind, _, uid = pin.partition(":")
            over = kind == upgrading.PIN and (it.status.step is None or it.status.step.kind in scaling.STEPS)
            if over or (kind == "object" and uid not in checkpoints):
                it.draft.actions.append(Call(Operation.UNPIN, job.name, values=(("pin", pin),)))


def _told(it: Situation) -> ClusterDraft:
    """Says how it is."""
    draft, leader = it.draft, it.leader
    draft.set(
        observed_generation=draft.generation,
        ready_replicas=len([pod for pod in it.seen.pods if pods.ready(pod)]),
        selector=it.selector_text,
        leader=leader.address,
        build=next((agent.build for agent in leader.agents if agent.index == 0), draft.status.build),
        jobs=len(leader.live) if leader.known else draft.status.jobs,
    )
    draft.set(workers=f"{draft.status.ready_replicas}/{draft.status.replicas}")
    _tell_ready(it)
    _tell_progress(it)
    _tell_checkpoints(it)
    _tell_degraded(it)
    draft.set(phase=_phase(it))
    return draft


def _tell_ready(it: Situation) -> None:
    problem = it.why_not_ready
    reason = "AllThere" if not problem else "NotAllThere"
    message = problem or f"all {it.status.replicas} workers are there"
    it.draft.condition(ConditionType.READY, not problem, reason, message)
    it.draft.transition(ConditionType.READY)


def _tell_progress(it: Situation) -> None:
    step = it.status.step
    if step is None:
        it.draft.condition(ConditionType.PROGRESSING, value=False, reason="Settled")
    else:
        message = f"from {step.source} to {step.target}{f': {step.message}' if step.message else ''}"
        it.draft.condition(ConditionType.PROGRESSING, value=True, reason=step.kind, message=message)


def _tell_checkpoints(it: Situation) -> None:
    if not it.leader.known:
        it.draft.condition(ConditionType.CHECKPOINT_HEALTHY, None, "Unknown", "the leader has not told")
        return
    waiting = [f"job {job.name} waits for the store: {job.waiting}" for job in it.leader.live if job.waiting]
    reason = "StoreAway" if waiting else "Made"
    it.draft.condition(ConditionType.CHECKPOINT_HEALTHY, not waiting, reason, "; ".join(waiting))
    it.draft.transition(ConditionType.CHECKPOINT_HEALTHY)


def _tell_degraded(it: Situation) -> None:
    """What somebody has to do something about."""
    problems = [("Forbidden", f"{text}. Give the operator's Role that right") for text in it.seen.forbidden]
    for answer in it.seen.answers:
        if answer.fault is Fault.FORBIDDEN:
            problems.append(("Forbidden", f"{answer.text}. Give the operator's Role that right"))
        elif answer.fault is Fault.INVALID:
            problems.append(("Invalid", f"the API server does not take what the spec leads to: {answer.text}"))
    problems += it.problems
    problems += [("StepFailed", text) for text in (it.status.failure, it.status.refusal) if text]
    problems += [("PodFailing", pods.problem(pod)) for pod in it.incurable]
    reason = problems[0][0] if problems else "Fine"
    message = "; ".join(dict.fromkeys(message for _, message in problems))
    it.draft.condition(ConditionType.DEGRADED, bool(problems), reason, message)
    it.draft.transition(ConditionType.DEGRADED, good=False)


def _phase(it: Situation) -> ClusterPhase:
    step = it.status.step
    if step is not None:
        upgrades = step.kind.startswith(("Upgrade", "Rollback"))
        return ClusterPhase.UPGRADING if upgrades else ClusterPhase.SCALING
    degraded = next(each for each in it.status.conditions if each.type is ConditionType.DEGRADED)
    if degraded.status == "True":
        return ClusterPhase.DEGRADED
    return ClusterPhase.RUNNING if not it.why_not_ready else ClusterPhase.PENDING


__all__ = ["StepKind", "reconcile_cluster"]
