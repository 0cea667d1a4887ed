"""An agent's metrics for Prometheus: made from what it knows at the moment of a scrape.

Nothing is counted here, so nothing is slower for it. ``prometheus_client`` asks from a thread; what it is told is
read in the agent's event loop, where all of it belongs.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from limnad.cluster.checkpoints import Phase
from limnad.histogram import BOUNDS_NS, Histogram
from limnad_proto.v1 import control_pb2 as wire
from limnad_proto.v1 import jobs_pb2
from limnad_worker.job import Job
from limnad_worker.measures import GcPauses
from limnad_worker.metric_table import METRICS, Kind, Metric

KEPT_S = 600.0
"""For how long a job that has ended is shown: several scrapes, even where they are minutes apart."""

SCRAPE_S = 5.0
"""How long a scrape waits for the agent; Prometheus itself waits for ten seconds by default."""

DELAY_INTERVAL_S = 0.5
"""How often it is looked how late the event loop is."""

_ENDS = (*(repr(bound / 1e9) for bound in BOUNDS_NS), "+Inf")
_STATES = {number: name.removeprefix("JOB_STATE_").lower() for name, number in jobs_pb2.JobState.items() if number}


class Families:
    """The metrics of one scrape.

    >>> families = Families()
    >>> families.add("limnad_jobs", 2, "running")
    >>> [family.samples[0].value for family in families if family.name == "limnad_jobs"]
    [2]
    """

    def __init__(self) -> None:
        self._families = {metric.name: _family(metric) for metric in METRICS}

    def __iter__(self) -> Iterator[Family]:
        return (family for family in self._families.values() if family.samples)

    def add(self, name: str, value: float | Histogram | wire.Histogram, *labels: str) -> None:
        """Adds a series: the values of its labels in the order of the table."""
        family: Any = self._families[name]
        if isinstance(value, (Histogram, wire.Histogram)):
            total, buckets = 0, []
            for end, count in zip(_ENDS, value.counts or (0,) * len(_ENDS), strict=True):
                total += count
                buckets.append((end, total))
            family.add_metric(labels, buckets, sum_value=value.sum_ns / 1e9)
        else:
            family.add_metric(labels, value)

    def one_of(self, name: str, current: str, known: Iterable[str], *labels: str) -> None:
        """Adds 1 for the current one of some states and 0 for the others."""
        for each in known:
            self.add(name, float(each == current), *labels, each)


def _family(metric: Metric) -> Family:
    make: Any = {
        Kind.COUNTER: CounterMetricFamily,
        Kind.GAUGE: GaugeMetricFamily,
        Kind.HISTOGRAM: HistogramMetricFamily,
    }[metric.kind]
    family: Family = make(metric.name, metric.help, labels=metric.labels)
    return family


def tell_job(job: Job, families: Families) -> None:
    """The metrics of one job."""
    name, view, told = job.name, job.snapshot(), job.watch.metrics
    families.one_of("limnad_job_state", _STATES[view.state], _STATES.values(), name)
    families.add("limnad_job_workers", job.workers, name)
    families.add("limnad_job_generation", job.generation, name)
    families.add("limnad_job_restarts_total", view.restarts, name)
    if told.frontier_known:
        families.add("limnad_job_frontier_epoch", told.lag.frontier, name)
        families.add("limnad_job_opened_epochs", told.lag.opened, name)
        families.add("limnad_job_frontier_lag_epochs", told.lag.epochs, name)
        now_s = told.ended_s or time.monotonic()
        families.add("limnad_job_frontier_lag_seconds", told.lag.seconds(now_s), name)
    if told.store_requests is not None:
        _tell_checkpoints(job, view, families)
        families.add("limnad_store_request_duration_seconds", told.store_requests, name, "")
    for connector in told.connectors:
        families.add("limnad_connector_info", 1, name, connector.name, connector.source, connector.target)
    for worker, (status, measures) in enumerate(zip(view.workers, told.measures, strict=True)):
        where = (name, str(worker))
        _tell_worker(where, status, measures, families)
        _tell_stages(where, job, status, families)
        if told.store_requests is not None:
            families.add("limnad_store_request_duration_seconds", measures.store_request, *where)


def _tell_checkpoints(job: Job, view: jobs_pb2.JobView, families: Families) -> None:
    name, times = job.name, job.watch.metrics.checkpoints
    families.add("limnad_checkpoints_committed_total", view.checkpoints_committed, name)
    families.add("limnad_checkpoints_failed_total", view.checkpoints_dropped, name)
    families.add("limnad_checkpoint_newest", view.checkpoint, name)
    families.add("limnad_checkpoint_committed_timestamp_seconds", times.committed_at_s, name)
    families.one_of("limnad_checkpoint_phase", times.phase.value, [phase.value for phase in Phase], name)
    families.add("limnad_checkpoint_duration_seconds", times.whole, name)
    for phase, took in times.phases.items():
        families.add("limnad_checkpoint_phase_duration_seconds", took, name, phase.value)
    families.add("limnad_checkpoint_halt_seconds", times.halts, name)
    families.add("limnad_checkpoint_size_bytes", times.size_bytes, name)
    families.add("limnad_checkpoint_written_bytes_total", times.written_bytes, name)


def _tell_worker(where: tuple[str, str], status: wire.Status, measures: wire.Measures, families: Families) -> None:
    values: Mapping[str, float | wire.Histogram] = {
        "limnad_worker_cpu_seconds_total": measures.cpu_us / 1e6,
        "limnad_worker_resident_memory_bytes": measures.resident_bytes,
        "limnad_worker_backpressure_seconds_total": measures.waited_us / 1e6,
        "limnad_worker_buffered_bytes": measures.buffered_bytes,
        "limnad_worker_in_flight_bytes": status.in_flight_bytes,
        "limnad_worker_progress_bytes_total": status.progress_bytes,
        "limnad_worker_progress_updates_total": status.progress_updates,
        "limnad_worker_notification_delay_seconds": measures.notification_delay,
        "limnad_worker_event_loop_delay_seconds": measures.loop_delay,
        "limnad_worker_gc_pause_seconds": measures.gc_pause,
    }
    for metric, value in values.items():
        families.add(metric, value, *where)
    for loop, count in measures.trips.items():
        families.add("limnad_loop_iterations_total", count, *where, loop)


def _tell_stages(where: tuple[str, str], job: Job, status: wire.Status, families: Families) -> None:
    for info, stage in zip(job.view.stages, status.stages, strict=False):  # before its first word a worker has none
        if info.kind not in ("input", "compute"):
            continue
        labels = (*where, info.name)
        families.add("limnad_stage_rows_received_total", stage.rows_in, *labels)
        families.add("limnad_stage_rows_sent_total", stage.rows_out, *labels)
        families.add("limnad_stage_batches_received_total", stage.batches_in, *labels)
        families.add("limnad_stage_notifications_total", stage.notifications, *labels)
        families.add("limnad_stage_busy_seconds_total", stage.busy_us / 1e6, *labels)
        families.add("limnad_stage_state_bytes", stage.state_bytes, *labels)
    for named, connector in zip(job.watch.metrics.connectors, status.connectors, strict=False):
        labels = (*where, named.name)
        families.add("limnad_connector_rows_total", connector.rows, *labels)
        families.add("limnad_connector_batches_total", connector.batches, *labels)
        families.add("limnad_connector_bytes_total", connector.bytes, *labels)
        families.add("limnad_connector_queued_bytes", connector.queued_bytes, *labels)
        families.add("limnad_connector_sent_bytes_total", connector.sent_bytes, *labels)


class AgentMetrics(Collector):
    """What an agent shows.

    Args:
        jobs: The jobs that it leads, whenever it is asked.
    """

    def __init__(self, jobs: Callable[[], Iterable[Job]]) -> None:
        self._jobs = jobs
        self._gc = GcPauses()
        self._loop_delay = Histogram()
        self._loop = asyncio.get_running_loop()

    async def watch(self) -> None:
        """Looks how late the event loop is, for as long as it runs."""
        self._gc.watch()
        while True:
            due_s = self._loop.time() + DELAY_INTERVAL_S
            await asyncio.sleep(DELAY_INTERVAL_S)
            self._loop_delay.add(int((self._loop.time() - due_s) * 1e9))

    def collect(self) -> Iterable[Family]:
        """Called by ``prometheus_client`` in a thread of a scrape."""
        return asyncio.run_coroutine_threadsafe(self.families(), self._loop).result(SCRAPE_S)

    async def families(self) -> list[Family]:
        """All metrics as they are now."""
        families = Families()
        families.add("limnad_build_info", 1, version("limnad"))
        families.add("limnad_agent_event_loop_delay_seconds", self._loop_delay)
        families.add("limnad_agent_gc_pause_seconds", self._gc.pauses)
        jobs = list(self._jobs())
        states = [_STATES[job.snapshot().state] for job in jobs]
        for state in _STATES.values():
            families.add("limnad_jobs", states.count(state), state)
        for job in jobs:
            ended_s = job.watch.metrics.ended_s
            if ended_s is None or time.monotonic() < ended_s + KEPT_S:
                tell_job(job, families)
        return list(families)
