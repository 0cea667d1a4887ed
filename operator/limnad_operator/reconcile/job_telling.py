"""What a `LimnadJob`'s status says."""

from __future__ import annotations

from limnad_operator.model import ConditionType, JobPhase, JobStatus
from limnad_operator.reconcile.seen import JobSeen
from limnad_operator.reconcile.telling import Draft, timestamp

PHASES = {
    "starting": JobPhase.STARTING,
    "running": JobPhase.RUNNING,
    "recovering": JobPhase.RECOVERING,
    "finished": JobPhase.FINISHED,
    "failed": JobPhase.FAILED,
    "cancelled": JobPhase.CANCELLED,
}

OWN = {JobPhase.SUSPENDING, JobPhase.SUSPENDED, JobPhase.UPGRADING, JobPhase.DELETING}
"""Phases that the operator decides, whatever the leader says."""


def told(draft: Draft[JobStatus], job: JobSeen | None, problem: str) -> Draft[JobStatus]:
    """Says how it is; ``problem``: what somebody has to do something about."""
    draft.set(observed_generation=draft.generation)
    if job is not None:
        _as_the_leader_says(draft, job)
    status = draft.status
    failed = status.phase is JobPhase.FAILED
    message = problem or (status.error if failed else "")
    running = status.phase is JobPhase.RUNNING
    draft.condition(ConditionType.READY, running, status.phase, message)
    moving = status.phase in {JobPhase.STARTING, JobPhase.RECOVERING, JobPhase.SUSPENDING, JobPhase.UPGRADING}
    draft.condition(ConditionType.PROGRESSING, moving, status.phase)
    _checkpoints(draft, job)
    degraded = bool(problem) or failed
    draft.condition(ConditionType.DEGRADED, degraded, "Failed" if failed else "Problem" if problem else "Fine", message)
    draft.transition(ConditionType.DEGRADED, good=False)
    return draft


def _as_the_leader_says(draft: Draft[JobStatus], job: JobSeen) -> None:
    before = draft.status
    if before.phase not in OWN and before.submitted:
        phase = PHASES.get(job.state, before.phase)
        if phase is not before.phase:
            bad = phase in (JobPhase.FAILED, JobPhase.RECOVERING)
            why = job.error if phase is JobPhase.FAILED else _of_recovering(job) if phase is JobPhase.RECOVERING else ""
            said = f"Job {job.name} is {job.state}{f': {why}' if why else ''}"
            draft.tell(f"Job{phase}", said, warning=bad, turn=f"run {before.submissions} {job.generation}")
        draft.set(phase=phase, ended=job.ended_s if phase.ended else None)
    draft.set(
        generation=job.generation,
        width=job.width,
        epoch=job.epoch if job.epoch is not None else before.epoch,
        restarts=job.restarts,
        checkpoint=job.checkpoint if job.checkpoint is not None else before.checkpoint,
        checkpoint_time=timestamp(job.checkpoint_s) if job.checkpoint_s else before.checkpoint_time,
        error=job.error,
    )


def _of_recovering(job: JobSeen) -> str:
    return job.waiting or job.last_fault


def _checkpoints(draft: Draft[JobStatus], job: JobSeen | None) -> None:
    kind = ConditionType.CHECKPOINT_HEALTHY
    if job is None or job.ended:
        draft.condition(kind, None, "NotRunning")
    elif not job.durable:
        message = "the cluster has no store: the job does not survive the loss of a worker. Give it spec.store"
        draft.condition(kind, value=False, reason="NoStore", message=message)
    elif job.waiting:
        draft.condition(kind, value=False, reason="StoreAway", message=f"the store is waited for: {job.waiting}")
    elif job.last_drop:
        draft.condition(kind, value=False, reason="Dropped", message=f"the last one was given up: {job.last_drop}")
    else:
        draft.condition(kind, value=True, reason="Made")
