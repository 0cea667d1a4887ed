"""Every metric there is: what docs/observability.md lists, and what `limnad_worker.metrics` fills.

The job's label is ``job_name``, because Prometheus puts a ``job`` of its own on whatever it scrapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """Of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: As Prometheus shows it; of a histogram without ``_bucket``, ``_sum``, ``_count``.
        kind: Of which kind it is.
        labels: What tells its series apart.
        help: What it says.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


JOB = ("job_name",)
WORKER = (*JOB, "worker")
STAGE = (*WORKER, "stage")
CONNECTOR = (*WORKER, "connector")
LOOP = (*WORKER, "loop")

_C, _G, _H = Kind.COUNTER, Kind.GAUGE, Kind.HISTOGRAM

METRICS: tuple[Metric, ...] = (
    # The agent.
    Metric("limnad_build_info", _G, ("version",), "Always 1; the version of Limnad"),
    Metric("limnad_jobs", _G, ("state",), "Jobs that this agent leads or has led, by state"),
    Metric("limnad_agent_event_loop_delay_seconds", _H, (), "How late the agent's event loop woke up"),
    Metric("limnad_agent_gc_pause_seconds", _H, (), "How long Python's cyclic collector held up the agent"),
    # A job.
    Metric("limnad_job_state", _G, (*JOB, "state"), "1 for the state that the job is in, 0 for the others"),
    Metric("limnad_job_workers", _G, JOB, "How many workers the job has"),
    Metric("limnad_job_generation", _G, JOB, "Which run of the job this is: it grows with every restart"),
    Metric("limnad_job_restarts_total", _C, JOB, "How often workers that were lost have been started again"),
    Metric("limnad_job_frontier_epoch", _G, JOB, "The first epoch that is not complete everywhere"),
    Metric("limnad_job_opened_epochs", _G, JOB, "How many epochs the job's inputs have opened"),
    Metric("limnad_job_frontier_lag_epochs", _G, JOB, "Epochs that are opened and not complete"),
    Metric("limnad_job_frontier_lag_seconds", _G, JOB, "How long the first epoch that is not complete has been open"),
    # Its checkpoints.
    Metric("limnad_checkpoints_committed_total", _C, JOB, "Checkpoints that have become durable"),
    Metric("limnad_checkpoints_failed_total", _C, JOB, "Checkpoints that were given up"),
    Metric("limnad_checkpoint_newest", _G, JOB, "The number of the newest durable checkpoint; 0: none"),
    Metric(
        "limnad_checkpoint_committed_timestamp_seconds", _G, JOB, "When the newest one became durable; 0: never yet"
    ),
    Metric("limnad_checkpoint_phase", _G, (*JOB, "phase"), "1 for what the leader waits for now, 0 for the others"),
    Metric("limnad_checkpoint_duration_seconds", _H, JOB, "From when a checkpoint was due until it was durable"),
    Metric("limnad_checkpoint_phase_duration_seconds", _H, (*JOB, "phase"), "How long each phase of one took"),
    Metric("limnad_checkpoint_halt_seconds", _H, JOB, "How long the slowest worker stood still for one"),
    Metric("limnad_checkpoint_size_bytes", _G, JOB, "What the workers wrote for the newest one"),
    Metric("limnad_checkpoint_written_bytes_total", _C, JOB, "What the workers have written for all of them"),
    Metric(
        "limnad_store_request_duration_seconds",
        _H,
        WORKER,
        "One request to Redis, also one that failed; without a worker: the leader's own",
    ),
    # A worker of a job.
    Metric("limnad_worker_cpu_seconds_total", _C, WORKER, "Processor time of its process"),
    Metric("limnad_worker_resident_memory_bytes", _G, WORKER, "Memory of its process"),
    Metric("limnad_worker_backpressure_seconds_total", _C, WORKER, "How long its sources have waited for credit"),
    Metric("limnad_worker_buffered_bytes", _G, WORKER, "What waits in outgoing buffers"),
    Metric("limnad_worker_in_flight_bytes", _G, WORKER, "What it has sent and no peer has acknowledged"),
    Metric(
        "limnad_worker_progress_bytes_total",
        _C,
        WORKER,
        "Of progress updates it has sent, to each receiver, or a coordinator has sent it",
    ),
    Metric("limnad_worker_progress_updates_total", _C, WORKER, "Progress updates, likewise"),
    Metric(
        "limnad_worker_notification_delay_seconds",
        _H,
        WORKER,
        "From when a frontier moved at a stage until the notification ran that became due by it",
    ),
    Metric("limnad_worker_event_loop_delay_seconds", _H, WORKER, "How long streams could not move because it worked"),
    Metric("limnad_worker_gc_pause_seconds", _H, WORKER, "How long Python's cyclic collector held it up"),
    Metric(
        "limnad_loop_iterations_total",
        _C,
        LOOP,
        "How often data went round the loop there: take the most of all workers",
    ),
    # A stage on a worker.
    Metric("limnad_stage_rows_received_total", _C, STAGE, "Rows that its vertex was given"),
    Metric("limnad_stage_rows_sent_total", _C, STAGE, "Rows that its vertex has sent"),
    Metric("limnad_stage_batches_received_total", _C, STAGE, "Batches that its vertex was given"),
    Metric("limnad_stage_notifications_total", _C, STAGE, "Notifications that its vertex was given"),
    Metric("limnad_stage_busy_seconds_total", _C, STAGE, "Time in its vertex's callbacks"),
    Metric("limnad_stage_state_bytes", _G, STAGE, "About how much its vertex holds of the state that it declares"),
    # A connector on the worker where it ends.
    Metric("limnad_connector_rows_total", _C, CONNECTOR, "Rows that have come over it to the worker's vertex"),
    Metric("limnad_connector_batches_total", _C, CONNECTOR, "Batches, likewise"),
    Metric("limnad_connector_bytes_total", _C, CONNECTOR, "Their estimated size in memory"),
    Metric("limnad_connector_queued_bytes", _G, CONNECTOR, "What waits there for the worker's vertex"),
    Metric(
        "limnad_connector_sent_bytes_total", _C, CONNECTOR, "What the worker has sent over it to other workers, encoded"
    ),
    Metric(
        "limnad_connector_info",
        _G,
        (*JOB, "connector", "source", "target"),
        "Always 1; between which stages a connector lies",
    ),
)
