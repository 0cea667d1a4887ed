"""The end of a cluster. Only one whose state is to go with it has to be waited for, and not longer than its deadline.

(deleted) -> DELETE_DRAIN  jobs' inputs end and they finish; when half of the time is over they are cancelled
          -> DELETE_STATE  jobs and their checkpoints are forgotten
          -> the finalizer is removed: also when the time is over, and then an event names what was left
"""

from __future__ import annotations

from dataclasses import replace

from limnad_operator.model import ClusterPhase, ConditionType, OnDeletion, StepKind, seconds
from limnad_operator.model.base import GROUP
from limnad_operator.reconcile.plan import Call, Operation, Plan, SetFinalizers
from limnad_operator.reconcile.situation import Situation
from limnad_operator.reconcile.telling import unix

FINALIZER = f"{GROUP}/state"

LOOK_S = 1.0


def guard(it: Situation) -> Plan | None:
    """Sets or removes the finalizer of a cluster that lives, if that has to be done."""
    there = tuple(it.seen.object["metadata"].get("finalizers") or ())
    store = it.spec.store
    wanted = store is not None and store.on_deletion is OnDeletion.DELETE
    if wanted == (FINALIZER in there):
        return None
    rest = tuple(each for each in there if each != FINALIZER)
    return Plan(actions=(SetFinalizers((*rest, FINALIZER) if wanted else rest),), again_s=0.0)


def delete(it: Situation) -> Plan:
    """What to do about a cluster that is being deleted."""
    metadata = it.seen.object["metadata"]
    if FINALIZER not in (metadata.get("finalizers") or ()):
        return Plan()
    step = it.status.step
    if step is None or step.kind not in (StepKind.DELETE_DRAIN, StepKind.DELETE_STATE):
        began_s = unix(metadata["deletionTimestamp"])
        it.step_to(StepKind.DELETE_DRAIN, source="", target="", since=began_s)
        it.draft.set(phase=ClusterPhase.DELETING)
        it.draft.condition(ConditionType.READY, value=False, reason="Deleting", message="the cluster is being deleted")
        it.draft.tell("DeletionStarted", "Jobs are drained, and then their state is deleted.")
        return it.draft.recorded()
    spent_s = it.seen.now_s - step.since
    limit_s = seconds(it.spec.deadlines.deletion)
    if spent_s >= limit_s:
        return _give_up(it)
    if not it.leader.known:
        it.note(f"the leader does not answer: {it.leader.problem}")
        return it.draft.plan(LOOK_S)
    if step.kind is StepKind.DELETE_DRAIN:
        return _drain(it, since=step.since, patient=spent_s < limit_s / 2)
    if not it.leader.jobs:
        return _let_go(it)
    it.draft.actions += [Call(Operation.DELETE, job.name, job.owner) for job in it.leader.jobs.values()]
    return it.draft.plan(LOOK_S)


def _drain(it: Situation, *, since: float, patient: bool) -> Plan:
    if not it.leader.live:
        it.step_to(StepKind.DELETE_STATE, source="", target="", since=since)
        return it.draft.recorded()
    for job in it.leader.live:
        if not patient:
            it.draft.actions.append(Call(Operation.CANCEL, job.name, job.owner))
        elif not job.draining:
            it.draft.actions.append(Call(Operation.DRAIN, job.name, job.owner))
    return it.draft.plan(LOOK_S)


def _give_up(it: Situation) -> Plan:
    left = ", ".join(sorted(it.leader.jobs)) or "what the leader did not tell of"
    message = f"The deletion took longer than {it.spec.deadlines.deletion}; left in the store: {left}."
    it.draft.tell("StateLeft", message, warning=True)
    return _let_go(it)


def _let_go(it: Situation) -> Plan:
    rest = tuple(each for each in it.seen.object["metadata"]["finalizers"] if each != FINALIZER)
    it.draft.actions.append(SetFinalizers(rest))
    plan = it.draft.plan(LOOK_S)
    return replace(plan, status=None)
