"""A `LimnadCheckpoint`: pinned under its object's UID, so that it is made once however often it is asked for.

PENDING --(the job runs)--> RUNNING --(pinned)--> COMPLETED, or FAILED: what the leader said, or it took too long
"""

from __future__ import annotations

from limnad_operator.model import (
    CheckpointSpec,
    CheckpointState,
    CheckpointStatus,
    ClusterSpec,
    ConditionType,
    Retention,
    seconds,
)
from limnad_operator.reconcile.plan import Call, Operation, Plan
from limnad_operator.reconcile.seen import CheckpointSeen, Fault
from limnad_operator.reconcile.submitting import leader_name
from limnad_operator.reconcile.telling import Draft, timestamp

LOOK_S = 5.0
STEP_S = 1.0
TIMEOUT_S = 600.0
"""How long one may take if there is no cluster that says it."""


def pin_name(seen: CheckpointSeen) -> str:
    """Under which it is kept: with its object, or for as long as the job."""
    kept = CheckpointSpec.model_validate(seen.object["spec"]).retention is Retention.RETAIN
    return f"{'kept' if kept else 'object'}:{seen.object['metadata']['uid']}"


def reconcile_checkpoint(seen: CheckpointSeen) -> Plan:
    """What to do about a checkpoint."""
    status = CheckpointStatus.model_validate(seen.object.get("status") or {})
    draft = Draft(seen.object, status, seen.now_s)
    if seen.object["metadata"].get("deletionTimestamp") or status.state in (
        CheckpointState.COMPLETED,
        CheckpointState.FAILED,
    ):
        return Plan()
    if status.state is CheckpointState.PENDING:
        return _begin(seen, draft)
    return _make(seen, draft)


def _begin(seen: CheckpointSeen, draft: Draft[CheckpointStatus]) -> Plan:
    wanted = CheckpointSpec.model_validate(seen.object["spec"]).job_ref.name
    if seen.job is None:
        return _waits(draft, f"there is no LimnadJob {wanted!r} in this namespace, which spec.jobRef names: make it")
    job = seen.leader.jobs.get(leader_name(seen.job))
    if not seen.leader.known or job is None or job.state != "running":
        return _waits(draft, f"job {wanted!r} does not run{f': it is {job.state}' if job is not None else ''}")
    draft.set(
        state=CheckpointState.RUNNING,
        started=seen.now_s,
        job=job.name,
        cluster=str((seen.job.get("status") or {}).get("cluster", "")),
    )
    return _told(draft, "").recorded()


def _waits(draft: Draft[CheckpointStatus], why: str) -> Plan:
    return _told(draft, why).plan(LOOK_S)


def _make(seen: CheckpointSeen, draft: Draft[CheckpointStatus]) -> Plan:
    status, pin = draft.status, pin_name(seen)
    answer = next((each for each in seen.answers if isinstance(each.action, Call)), None)
    if answer is not None and answer.fault is None:
        made = answer.value
        draft.set(
            state=CheckpointState.COMPLETED,
            number=made["number"],
            size_bytes=made["bytes"],
            made=timestamp(made["made_s"] or seen.now_s),
        )
        draft.tell("CheckpointMade", f"Checkpoint {made['number']} of job {status.job} is durable.")
        return _told(draft, "").plan(None)
    limit_s = TIMEOUT_S
    if seen.cluster is not None:
        limit_s = seconds(ClusterSpec.model_validate(seen.cluster["spec"]).checkpoint.timeout)
    late = seen.now_s - status.started >= limit_s
    gone = seen.job is None or leader_name(seen.job) != status.job
    if (answer is not None and answer.fault is Fault.REFUSED) or late or gone:
        said = answer.text if answer is not None else ""
        why = "its LimnadJob is gone" if gone else said or f"it was not made within {limit_s:g} s"
        draft.set(state=CheckpointState.FAILED, error=why)
        draft.tell("CheckpointFailed", f"Job {status.job} made no checkpoint: {why}", warning=True)
        return _told(draft, why).plan(None)
    if seen.leader.known:
        draft.actions.append(Call(Operation.PIN, status.job, values=(("pin", pin),)))
    return _told(draft, "").plan(STEP_S)


def _told(draft: Draft[CheckpointStatus], problem: str) -> Draft[CheckpointStatus]:
    draft.set(observed_generation=draft.generation)
    state = draft.status.state
    draft.condition(ConditionType.READY, state is CheckpointState.COMPLETED, state, problem)
    draft.condition(ConditionType.DEGRADED, bool(problem), "Problem" if problem else "Fine", problem)
    return draft
