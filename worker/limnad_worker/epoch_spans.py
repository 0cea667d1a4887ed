"""The spans that an engine records: its part of each epoch, of each checkpoint, and of its start.

Only an engine whose job is traced makes one of these, and the scheduler that feeds it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from limnad.cluster.worker import Worker
from limnad.timely.graph import Stage
from limnad.timely.scheduler import Scheduler
from limnad.timely.timestamp import Timestamp
from limnad_proto.v1 import control_pb2 as wire
from limnad_worker.tracing import JobTrace, Key, from_environment

LOOK_INTERVAL_NS = 5_000_000
"""How often at most a busy engine looks which epochs are complete: that costs a look at every place in the graph."""

MOST_NEW_EPOCHS = 10_000
"""Of epochs that are opened at once only the last so many are traced: an input may leap by a billion."""


@dataclass(slots=True)
class StageSpan:
    """What one stage did in one epoch."""

    start_ns: int
    end_ns: int = 0
    busy_ns: int = 0
    callbacks: int = 0


class EpochSpans:
    """One engine's.

    Args:
        trace: Its job's.
        job: The job's name.
        generation: Its run.
        worker: Which worker this is; worker 0 also records the epoch itself.
        clock_ns: What callbacks are timed with.
        calendar_ns: Nanoseconds since 1970.
    """

    def __init__(
        self,
        trace: JobTrace,
        job: str,
        generation: int,
        worker: int,
        clock_ns: Callable[[], int] = time.perf_counter_ns,
        calendar_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._trace = trace
        self._job = job
        self._generation = generation
        self._worker = worker
        self._clock_ns = clock_ns
        self._since_1970_ns = calendar_ns() - clock_ns()
        self._began = False
        self._opened = 0
        self._complete = 0
        self._looked_ns = 0
        self._began_ns: dict[int, int] = {}
        self._stages: dict[int, dict[str, StageSpan] | None] = {}

    # -- epochs --------------------------------------------------------------------------------------------------------

    def ran(self, epoch: int, stage: str, began_ns: int, ended_ns: int) -> None:
        """A callback has run."""
        if epoch not in self._stages:
            sampled = self._trace.root(self._key(epoch)).trace_flags.sampled
            self._stages[epoch] = {} if sampled else None
        stages = self._stages[epoch]
        if stages is None:
            return
        span = stages.get(stage)
        if span is None:
            span = stages[stage] = StageSpan(began_ns)
        span.end_ns = ended_ns
        span.busy_ns += ended_ns - began_ns
        span.callbacks += 1

    def look(self, machine: Worker, *, at_rest: bool) -> None:
        """Records the epochs that have become complete; of a busy engine not each time."""
        now_ns = self._clock_ns()
        scheduler = machine.scheduler
        if scheduler.notifying and (at_rest or now_ns - self._looked_ns >= LOOK_INTERVAL_NS):
            self._looked_ns = now_ns
            if not self._began:
                self._began = True
                self.goes_on(scheduler.epochs_opened if machine.first_epoch is None else machine.first_epoch)
            self.moved(scheduler.epochs_opened, machine.epoch, now_ns)

    def goes_on(self, epoch: int) -> None:
        """Those before ``epoch`` are covered by the checkpoint from which the job goes on: they are not its own."""
        self._opened = epoch

    def moved(self, opened: int, frontier: int | None, now_ns: int) -> None:
        """So many epochs are open, and ``frontier`` is the first that is not complete; None: there is none."""
        for epoch in range(max(self._opened, opened - MOST_NEW_EPOCHS), opened):
            self._began_ns[epoch] = now_ns
        self._opened = max(self._opened, opened)
        complete = self._opened if frontier is None else min(frontier, self._opened)
        if complete > self._complete:
            self._complete = complete
            self._finish(complete, now_ns)

    def _finish(self, complete: int, now_ns: int) -> None:
        for epoch in sorted(each for each in self._stages.keys() | self._began_ns.keys() if each < complete):
            stages = self._stages.pop(epoch, None) or {}
            began_ns = min([self._began_ns.pop(epoch, now_ns), *(span.start_ns for span in stages.values())])
            key = self._key(epoch)
            if self._worker == 0:
                self._trace.record_root(key, self._at(began_ns), self._at(now_ns), self._told)
            for name, span in stages.items():
                told = {
                    **self._told,
                    "limnad.worker": self._worker,
                    "limnad.stage": name,
                    "limnad.busy_seconds": span.busy_ns / 1e9,
                    "limnad.callbacks": span.callbacks,
                }
                self._trace.record_part(key, f"stage {name}", self._at(span.start_ns), self._at(span.end_ns), told)

    def _key(self, epoch: int) -> Key:
        return Key("epoch", self._generation, epoch)

    # -- checkpoints and starts ----------------------------------------------------------------------------------------

    def part(self, kind: str, number: int, name: str, began_ns: int, took_ns: int) -> None:
        """The engine did something for a checkpoint or a start."""
        key = Key(kind, self._generation, number)
        start_ns = self._at(began_ns)
        self._trace.record_part(key, name, start_ns, start_ns + took_ns, {**self._told, "limnad.worker": self._worker})

    def flush(self) -> None:
        """Sends what is recorded."""
        self._trace.tracer.flush()

    @property
    def _told(self) -> dict[str, str | int | float | bool]:
        return {"limnad.job": self._job, "limnad.generation": self._generation}

    def _at(self, clock_ns: int) -> int:
        return clock_ns + self._since_1970_ns


class TracedScheduler(Scheduler):
    """A scheduler that tells what it runs."""

    def __init__(self, spans: EpochSpans, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._spans = spans

    def _call(
        self,
        stage: Stage,
        callback: str,
        time: Timestamp | None,
        capabilities: tuple[Timestamp, ...],
        run: Callable[[], None],
    ) -> None:
        began_ns = self._clock_ns()
        super()._call(stage, callback, time, capabilities, run)
        if time is not None:
            self._spans.ran(time[0], stage.name, began_ns, self._clock_ns())


def epoch_spans(prepare: wire.Prepare) -> EpochSpans | None:
    """For an engine; None: its job is not traced, or it cannot send traces."""
    tracer = from_environment() if prepare.traceparent else None
    if tracer is None:
        return None
    trace = JobTrace.parse(tracer, prepare.traceparent)
    return EpochSpans(trace, prepare.job, prepare.generation, prepare.worker)
