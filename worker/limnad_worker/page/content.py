"""What the page shows of a job, as plain data: all of a client's `JobStatus`, the graph's edges, and what has been.

It is made from the wire's `JobView` and not from `JobStatus`: the agent does without Polars, which the client brings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath
from typing import Any

from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import jobs_pb2

Content = dict[str, Any]
"""Ready for JSON."""

_ENDED = (jobs_pb2.JOB_STATE_FINISHED, jobs_pb2.JOB_STATE_FAILED, jobs_pb2.JOB_STATE_CANCELLED)
_PHASES = ("stop", "markers", "references", "encode", "upload", "commit", "total")
_SINKS = ("output ", "write ", "subscribe")


def summary(view: jobs_pb2.JobView) -> Content:
    """A job's line in the list."""
    return {
        "job": view.job,
        "title": _title(view),
        "path": view.path,
        "state": jobs_pb2.JobState.Name(view.state).removeprefix("JOB_STATE_").lower(),
        "submitted_s": view.submitted_s,
        "ended_s": view.ended_s or None,
        "draining": view.draining,
        "durable": view.durable,
        "owner": view.owner,
        "pins": {pin.name: pin.checkpoint for pin in view.pins},
        "held": any(pin.hold for pin in view.pins),
        "asked_width": view.asked_width,
        "starting_s": view.starting_us / 1e6,
        "running_s": view.running_us / 1e6,
        "width": view.width,
        "epoch": _epoch(view),
        "epochs_opened": max((worker.epochs_opened for worker in view.workers), default=0),
        "rows_in": _rows(view, lambda stage: stage.kind == "input", lambda counters: counters.rows_out),
        "rows_out": _rows(view, lambda stage: stage.name.startswith(_SINKS), lambda counters: counters.rows_in),
        "queued_bytes": sum(worker.queued_bytes for worker in view.workers),
        "in_flight_bytes": sum(worker.in_flight_bytes for worker in view.workers),
        "waiting_workers": sum(worker.waiting_for_credit for worker in view.workers),
        "data_bytes": sum(worker.data_bytes for worker in view.workers),
        "progress_bytes": sum(worker.progress_bytes for worker in view.workers),
        "progress_updates": sum(worker.progress_updates for worker in view.workers),
        "recovery": _recovery(view),
    }


def details(view: jobs_pb2.JobView) -> Content:
    """All that is shown of a job."""
    known = _known(view)
    return summary(view) | {
        "stages": [_stage(view, number, stage, known) for number, stage in enumerate(view.stages)],
        "connectors": [
            {"source": edge.source, "target": edge.target, "partition": edge.partition, "feedback": edge.feedback}
            for edge in view.edges
        ],
        "loops": [
            {"name": loop.name, "parent": loop.parent if loop.HasField("parent") else None} for loop in view.loops
        ],
        "durable": view.durable,
        "workers": [_worker(worker) for worker in view.workers],
        "probes": _probes(view, known),
        "outputs": [output.name for output in view.outputs],
        "inputs": list(view.inputs),
        "checkpoints": [_checkpoint(made) for made in view.checkpoint_history],
        "restarts": [
            {"at_s": restart.at_s, "reason": restart.reason, "generation": restart.generation}
            for restart in view.restart_history
        ],
        "failure": _failure(view) if view.HasField("failure") else None,
    }


def _title(view: jobs_pb2.JobView) -> str:
    """The job file, and the function in it if that has another name than usual."""
    file = PurePath(view.path).name
    return file if view.function in ("", "job") else f"{file}:{view.function}"


def _rows(
    view: jobs_pb2.JobView,
    chosen: Callable[[wire.StageInfo], bool],
    count: Callable[[wire.StageCounters], int],
) -> int:
    numbers = [number for number, stage in enumerate(view.stages) if chosen(stage)]
    return sum(count(worker.stages[number]) for worker in view.workers if worker.stages for number in numbers)


def _known(view: jobs_pb2.JobView) -> list[wire.Status]:
    return [worker for worker in view.workers if worker.frontiers_known]


def _epoch(view: jobs_pb2.JobView) -> int | None:
    epochs = [worker.epoch for worker in _known(view) if worker.HasField("epoch")]
    return max(epochs) if epochs and view.state not in _ENDED else None


def _stage(view: jobs_pb2.JobView, number: int, stage: wire.StageInfo, known: Sequence[wire.Status]) -> Content:
    counters = [worker.stages[number] for worker in view.workers if worker.stages]
    return {
        "name": stage.name,
        "label": stage.label,
        "kind": stage.kind,
        "home": stage.home if stage.HasField("home") else None,
        "rows_in": sum(each.rows_in for each in counters),
        "rows_out": sum(each.rows_out for each in counters),
        "busy_s": sum(each.busy_us for each in counters) / 1e6,
        "state_bytes": sum(each.state_bytes for each in counters),
        "queued_bytes": sum(each.queued_bytes for each in counters),
        "notifications": sum(each.notifications for each in counters),
        "frontier": _furthest(worker.stages[number].frontier for worker in known if worker.stages),
    }


def _furthest(frontiers: Iterable[Sequence[wire.Time]]) -> list[list[int]] | None:
    """The frontier of the worker that knows most; empty: nothing can arrive any more; None: nobody knows.

    What any worker knows of a frontier holds for all.
    """
    told = [[list(time.coordinates) for time in frontier] for frontier in frontiers]
    return None if not told else [] if [] in told else max(told)


def _worker(worker: wire.Status) -> Content:
    return {
        "epoch": worker.epoch if worker.HasField("epoch") else None,
        "frontiers_known": worker.frontiers_known,
        "queued_bytes": worker.queued_bytes,
        "in_flight_bytes": worker.in_flight_bytes,
        "waiting_for_credit": worker.waiting_for_credit,
        "data_bytes": worker.data_bytes,
        "progress_bytes": worker.progress_bytes,
        "busy_s": sum(stage.busy_us for stage in worker.stages) / 1e6,
    }


def _probes(view: jobs_pb2.JobView, known: Sequence[wire.Status]) -> dict[str, int | None]:
    if not known:
        return {}
    epochs = {name: [worker.probes.get(name) for worker in known] for name in view.probes}
    return {
        name: None if None in told else max(each for each in told if each is not None) for name, told in epochs.items()
    }


def _recovery(view: jobs_pb2.JobView) -> Content:
    told = view.checkpoint_phases
    return {
        "generation": view.generation,
        "restarts": view.restarts,
        "last_fault": view.last_fault,
        "checkpoint": view.checkpoint or None,
        "committed": view.checkpoints_committed,
        "dropped": view.checkpoints_dropped,
        "last_drop": view.last_drop,
        "halted_s": max((each.stop_us + each.markers_us + each.references_us for each in told), default=0) / 1e6,
        "stored_s": max((each.encode_us + each.upload_us for each in told), default=0) / 1e6,
        "stored_bytes": sum(each.stored_bytes for each in told),
        "phases": {f"{name}_s": max(getattr(each, f"{name}_us") for each in told) / 1e6 for name in _PHASES}
        if told
        else None,
        "waiting": view.waiting,
        "checkpoint_s": next((each.at_s for each in reversed(view.checkpoint_history) if not each.dropped), None),
        "dropping": bool(view.checkpoint_history and view.checkpoint_history[-1].dropped),
    }


def _checkpoint(made: jobs_pb2.CheckpointOutcome) -> Content:
    return {
        "checkpoint": made.checkpoint or None,
        "at_s": made.at_s,
        "generation": made.generation,
        "halted_s": made.halted_us / 1e6,
        "stored_s": made.stored_us / 1e6,
        "stored_bytes": made.stored_bytes,
        "dropped": made.dropped,
    }


def _failure(view: jobs_pb2.JobView) -> Content:
    failure = view.failure
    return {
        "summary": failure.summary,
        "traceback": failure.traceback,
        "stage": failure.stage,
        "fault": failure.fault,
        "worker": view.failed_worker if view.HasField("failed_worker") else None,
    }
