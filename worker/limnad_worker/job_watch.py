"""What becomes of one job, for those who watch it: numbers for metrics, lines for logs, spans for traces."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from limnad.cluster import checkpoints as points
from limnad.cluster import leader
from limnad.histogram import Histogram
from limnad_proto.v1 import jobs_pb2
from limnad_worker.job_metrics import JobMetrics
from limnad_worker.tracing import Attributes, JobTrace, Key

_LOG = logging.getLogger("limnad_worker.job")


class JobWatch:
    """One job's.

    Args:
        name: The job's.
        trace: Its traces; None: none are wanted.
        store_requests: See `JobMetrics`.

    Attributes:
        metrics: See `JobMetrics`.
    """

    def __init__(self, name: str, trace: JobTrace | None, store_requests: Callable[[], Histogram | None]) -> None:
        self.metrics = JobMetrics(store_requests)
        self._name = name
        self._trace = trace
        self._generation = 0
        self._start: tuple[Key, int] | None = None
        self._checkpoint: tuple[int, int] | None = None
        self._due_ns = 0

    @property
    def traceparent(self) -> str:
        """For the job's engines; empty: they trace nothing."""
        return self._trace.traceparent if self._trace is not None else ""

    # -- its life ------------------------------------------------------------------------------------------------------

    def begins(self, generation: int, workers: int, checkpoint: int) -> None:
        """A generation begins, from a checkpoint or (0) from the inputs' beginning."""
        self._generation = generation
        self.metrics.begin(workers)
        self._end_checkpoint("the generation ended")
        self._start = (Key("start", generation, checkpoint), time.time_ns())
        self._log(logging.INFO, "starting %d workers from %s", workers, _origin(checkpoint))

    def running(self) -> None:
        """All workers of the generation run."""
        self._end_start()
        self._log(logging.INFO, "running")

    def lost(self, failure: leader.Failure) -> None:
        """The generation is lost, and another one takes its place."""
        self._end_start(failure.summary)
        self._log(logging.WARNING, "starting again: %s", failure.summary, worker=failure.worker)

    def ended(self, state: leader.State, failure: leader.Failure | None) -> None:
        """The job has ended."""
        self.metrics.ended_s = time.monotonic()
        self._end_start(failure.summary if failure is not None else "")
        self._end_checkpoint("the job ended")
        if failure is None:
            self._log(logging.INFO, "%s", state.value)
        else:
            told = f"{failure.summary}\n{failure.traceback}".rstrip()
            self._log(logging.ERROR, "%s: %s", state.value, told, worker=failure.worker)

    # -- its checkpoints -----------------------------------------------------------------------------------------------

    def saw(self, effect: points.Effect, view: jobs_pb2.JobView) -> None:
        """The machine of its checkpoints wants something done."""
        self.metrics.checkpoints.saw(effect, view)
        match effect:
            case points.Open():
                self._due_ns = time.time_ns()
            case points.Begin(number):
                self._checkpoint = (number, self._due_ns)
            case points.Announce(number):
                size_bytes = self.metrics.checkpoints.size_bytes
                self._end_checkpoint("", {"limnad.size_bytes": size_bytes})
                self._log(logging.INFO, "checkpoint is durable: %d bytes written", size_bytes, checkpoint=number)
            case points.Drop(dropped, reason):
                self._end_checkpoint(reason)
                self._log(logging.WARNING, "checkpoint was given up: %s", reason, checkpoint=dropped)

    def _end_checkpoint(self, error: str, attributes: Attributes | None = None) -> None:
        if self._checkpoint is not None and self._trace is not None:
            number, began_ns = self._checkpoint
            key = Key("checkpoint", self._generation, number)
            told = {"limnad.job": self._name, **(attributes or {})}
            self._trace.record_root(key, began_ns, time.time_ns(), told, error)
        self._checkpoint = None

    def _end_start(self, error: str = "") -> None:
        if self._start is not None and self._trace is not None:
            key, began_ns = self._start
            self._trace.record_root(key, began_ns, time.time_ns(), {"limnad.job": self._name}, error)
        self._start = None

    def _log(self, level: int, message: str, *values: object, **fields: Any) -> None:
        _LOG.log(level, message, *values, extra={"job": self._name, "generation": self._generation, **fields})


def _origin(checkpoint: int) -> str:
    return f"checkpoint {checkpoint}" if checkpoint else "the inputs' beginning"
